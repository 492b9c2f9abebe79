"""Date-times: the bytes of meter-model 7.2 and 17, instants, and what stands for none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms.cosem import ClockStatus, CosemDateTime, LocalProtocolError, RemoteProtocolError
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED, epoch_seconds

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.mark.parametrize(
    ("moment", "tail"),
    [(datetime(2022, 1, 15, 12, tzinfo=AMSTERDAM), "FFC400"), (datetime(2022, 7, 15, 12, tzinfo=AMSTERDAM), "FF8880")],
)
def test_amsterdam_in_winter_and_summer(moment: datetime, tail: str) -> None:
    sent = CosemDateTime.from_datetime(moment).to_bytes()
    assert sent[9:] == bytes.fromhex(tail)
    assert sent[4] == 0xFF  # weekday not specified
    assert CosemDateTime.from_bytes(sent).instant() == moment


def test_the_repeated_hour_of_october_is_two_instants() -> None:
    first, second = (datetime(2022, 10, 30, 2, 30, fold=fold, tzinfo=AMSTERDAM) for fold in (0, 1))
    sent = [CosemDateTime.from_datetime(moment).to_bytes() for moment in (first, second)]
    assert sent[0][:9] == sent[1][:9]
    instants = [CosemDateTime.from_bytes(raw).instant() for raw in sent]
    assert instants == [datetime(2022, 10, 30, 0, 30, tzinfo=UTC), datetime(2022, 10, 30, 1, 30, tzinfo=UTC)]


def test_daylight_begin_of_the_clock_is_no_instant() -> None:
    raw = bytes.fromhex("FFFF03FE0702000000FFC400")  # meter-model 17
    begin = CosemDateTime.from_bytes(raw)
    assert begin == CosemDateTime(None, 3, 0xFE, 7, 2, 0, 0, 0, -60, 0)
    assert begin.instant() is None
    assert begin.to_bytes() == raw


def test_nothing_specified() -> None:
    assert CosemDateTime.from_bytes(NOT_SPECIFIED) == CosemDateTime()
    assert CosemDateTime().to_bytes() == NOT_SPECIFIED
    assert CosemDateTime().instant() is None
    assert CosemDateTime().flags == ClockStatus(0)


def test_seconds_not_specified_count_as_zero() -> None:
    moment = CosemDateTime(2022, 1, 1, None, 0, 15, None, None, -60, 0x81)
    assert moment.instant() == datetime(2021, 12, 31, 23, 15, tzinfo=UTC)
    assert moment.flags == ClockStatus.INVALID_VALUE | ClockStatus.DAYLIGHT_SAVING_ACTIVE


@pytest.mark.parametrize("raw", ["", "07E6", "07E60B170300000000" + "02D100", "07E60B170300000000" + "FD2F00"])
def test_wrong_length_or_deviation_is_an_error(raw: str) -> None:
    for read in (CosemDateTime.from_bytes, epoch_seconds):
        with pytest.raises(RemoteProtocolError):
            read(bytes.fromhex(raw))


def test_what_cannot_be_sent() -> None:
    with pytest.raises(LocalProtocolError, match="naive"):
        CosemDateTime.from_datetime(datetime(2022, 1, 1))  # noqa: DTZ001 - naive is the point
    with pytest.raises(LocalProtocolError, match="deviation"):
        CosemDateTime.from_datetime(datetime(2022, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    with pytest.raises(LocalProtocolError, match="out of range"):
        CosemDateTime(year=70_000).to_bytes()


@given(st.binary(min_size=12, max_size=12))
def test_any_twelve_bytes(raw: bytes) -> None:
    try:
        read = CosemDateTime.from_bytes(raw)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            epoch_seconds(raw)
        return
    assert read.to_bytes() == raw
    instant = read.instant()
    assert epoch_seconds(raw) == (None if instant is None else instant.replace(microsecond=0).timestamp())


@given(st.datetimes(datetime(1980, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)), st.integers(-720, 720))  # noqa: DTZ001
def test_instants_survive_any_deviation(moment: datetime, deviation: int) -> None:
    local = moment.astimezone(timezone(timedelta(minutes=-deviation)))
    raw = CosemDateTime.from_datetime(local).to_bytes()
    assert epoch_seconds(raw) == int(moment.timestamp())
    instant = CosemDateTime.from_bytes(raw).instant()
    assert instant is not None
    assert abs(instant - moment) < timedelta(milliseconds=10)
