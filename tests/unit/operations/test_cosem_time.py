"""COSEM date-time: operations-reading 3.1, and the nights when clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations._cosem_time import encode_local, instant, instant_of, millis_of, moment_of
from operations._data import Data, Tag
from operations._errors import MeterUnusable
from tests.unit.operations.conversation import AMSTERDAM, millis

ZONES = ("UTC", AMSTERDAM, "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland")


@pytest.mark.parametrize(
    ("octets", "moment"),
    [
        ("07E80701FF0C000000FF8880", "2024-07-01T10:00:00"),
        ("07E80101010B000000FFC400", "2024-01-01T10:00:00"),
        ("07E8010101 0B 00 00 63 FFC4 00", "2024-01-01T10:00:00.990"),
        ("07E80101FF0A00FFFF0000FF", "2024-01-01T10:00:00"),  # second, hundredths, status unspecified
        ("07E8021DFF173B3B000000FF", "2024-02-29T23:59:59"),
        ("07B20101FF00000000000000", "1970-01-01T00:00:00"),
        ("07B20101FF000000000000 00", "1970-01-01T00:00:00"),
        ("07B20101FF00000000FD3000", "1969-12-31T12:00:00"),  # deviation -720
        ("07B20101FF0000000002D000", "1970-01-01T12:00:00"),
    ],
)
def test_instants(octets: str, moment: str) -> None:
    assert instant(bytes.fromhex(octets)) == millis(moment)


@pytest.mark.parametrize(
    "octets",
    [
        "FFFFFFFFFFFFFFFFFF8000FF",
        "FFFF0701FF0C000000FF8880",  # every year
        "07E8FF01FF0C000000FF8880",
        "07E8FDFEFF0C000000FF8880",  # the end of daylight saving
        "07E8FEFEFF0C000000FF8880",
        "07E807FFFF0C000000FF8880",
        "07E807FEFF0C000000FF8880",  # the last day of the month
        "07E807FDFF0C000000FF8880",
        "07E80701FFFF000000FF8880",
        "07E80701FF0CFF0000FF8880",
        "07E80701FF0C000000800080",  # no deviation
    ],
)
def test_what_is_not_specified_is_no_instant(octets: str) -> None:
    assert instant(bytes.fromhex(octets)) is None


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("07E80701FF0C00000002D180", "deviation 721"),
        ("07E80701FF0C000000FD2F80", "deviation -721"),
        ("07E8021EFF0C000000FF8880", "no such day"),
        ("07E80D01FF0C000000FF8880", "no such day"),
        ("07E80700FF0C000000FF8880", "no such day"),
        ("00000701FF0C000000FF8880", "no such day"),
        ("07E807E0FF0C000000FF8880", "no such day"),  # reserved
        ("076B0101FF0C000000FF8880", "no such day"),  # 1899
        ("270F0101FF0C000000FF8880", "no such day"),  # 9999
        ("07E80701FF18000000FF8880", "no such time"),
        ("07E80701FF0C3C0000FF8880", "no such time"),
        ("07E80701FF0C003C00FF8880", "no such time"),
        ("07E80701FF0C000064FF8880", "no such time"),
        ("", "0 bytes"),
        ("07E80701FF0C000000FF88", "11 bytes"),
        ("07E80701FF0C000000FF888000", "13 bytes"),
    ],
)
def test_what_is_no_date_time_is_unusable(octets: str, reason: str) -> None:
    with pytest.raises(MeterUnusable, match=reason):
        instant(bytes.fromhex(octets))


def test_what_a_value_may_be() -> None:
    octets = bytes.fromhex("07E80701FF0C000000FF8880")
    at = millis("2024-07-01T10:00:00")
    assert instant_of(octets, "x") == at
    assert instant_of(Data(Tag.OCTET_STRING, octets), "x") == at
    assert instant_of(Data(Tag.DATE_TIME, octets), "x") == at
    assert instant_of(Data(Tag.NULL_DATA, None), "x") is None
    assert instant_of(None, "x") is None
    for value in (5, "2024", Data(Tag.VISIBLE_STRING, octets), Data(Tag.STRUCTURE, ())):
        with pytest.raises(MeterUnusable, match="the clock"):
            instant_of(value, "the clock")


@pytest.mark.parametrize(
    ("utc", "octets"),
    [
        ("2024-03-31T00:59:59", "07E8031FFF013B3B00FFC400"),  # the last second of winter
        ("2024-03-31T01:00:00", "07E8031FFF03000000FF8880"),
        ("2024-10-27T00:59:59", "07E80A1BFF023B3B00FF8880"),  # the hour that comes twice: first
        ("2024-10-27T01:59:59", "07E80A1BFF023B3B00FFC400"),  # and again
        ("2024-10-27T02:00:00", "07E80A1BFF03000000FFC400"),
    ],
)
def test_the_nights_when_clocks_change(utc: str, octets: str) -> None:
    moment = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert encode_local(moment.astimezone(ZoneInfo(AMSTERDAM))) == bytes.fromhex(octets)
    assert instant(bytes.fromhex(octets)) == millis(utc)


@given(
    st.datetimes(datetime(1972, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(ZONES),
)
def test_round_trip_to_the_hundredth(moment: datetime, zone: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 10_000 * 10_000)
    local = moment.astimezone(ZoneInfo(zone))
    if abs(local.utcoffset().total_seconds()) > 12 * 3600:  # type: ignore[union-attr]
        return  # Auckland's summer: a deviation cannot say it
    found = instant(encode_local(local))
    assert found is not None
    assert moment_of(found) == moment
    assert millis_of(moment) == found


@given(st.binary(max_size=14))
def test_any_bytes_are_an_instant_nothing_or_unusable(octets: bytes) -> None:
    try:
        found = instant(octets)
    except MeterUnusable:
        return
    assert found is None or 1899 <= moment_of(found).year <= 9999


def test_a_naive_moment_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        encode_local(datetime(2024, 1, 1))  # noqa: DTZ001
