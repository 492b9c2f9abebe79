"""Profile buffers: rows, ranges, entries and columns (meter-model 10, 11)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms.cosem import Selection, axdr, by_entry, by_range, capture_object
from connectors.dlms.cosem.axdr import Data
from connectors.dlms.cosem.cosem_time import CosemDateTime
from connectors.simulator import buffers
from connectors.simulator.curves import HOUR
from operations._profile import profile

from .stand import NOW, Stand

ZONE = ZoneInfo("Europe/Amsterdam")
QUARTER = timedelta(minutes=15)


def instants(rows: list[tuple[Any, ...]]) -> list[datetime]:
    found = [CosemDateTime.from_bytes(bytes(row[0])).instant() for row in rows]
    assert all(found)
    return [each for each in found if each is not None]


def day(year: int, month: int, number: int) -> datetime:
    return datetime(year, month, number, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("start", "rows"),
    [(day(2022, 11, 22), 96), (day(2022, 3, 27), 92), (day(2022, 10, 30), 100)],
    ids=["ordinary", "march", "october"],
)
def test_a_day_has_as_many_quarters_as_it_has(start: datetime, rows: int) -> None:
    """Both ends belong to the range; a repeated hour is told apart by deviation and status."""
    end = (start + timedelta(days=1)).replace(hour=0)
    stand = Stand(now=end.astimezone(UTC) + timedelta(hours=5))
    found = stand.rows("INTERVAL_PROFILE", by_range(start, end))
    at = instants(found)
    assert len(found) == rows + 1
    assert (at[0], at[-1]) == (start, end)
    assert {after - before for before, after in zip(at, at[1:], strict=False)} == {QUARTER}
    assert len({row[0] for row in found}) == rows + 1
    for row, moment in zip(found, at, strict=True):
        summer = moment.astimezone(ZONE).dst() != timedelta()
        clock: Any = row[0]
        assert (clock[11], row[1]) == ((0x80, 0x08) if summer else (0, 0))
        assert clock[9:11] == (b"\xff\x88" if summer else b"\xff\xc4")
        assert (row[2], row[3]) == tuple(
            stand.meter.household.series(parts, [int(moment.timestamp())])[0] for parts in ((0, 1), (2, 3))
        )


def test_a_whole_buffer_ends_at_the_last_quarter() -> None:
    stand = Stand()
    rows = stand.rows("INTERVAL_PROFILE")
    at = instants(rows)
    assert len(rows) == 960
    assert at[-1] == NOW.replace(minute=0, second=0)
    assert at[0] == at[-1] - 959 * QUARTER
    assert stand.get("INTERVAL_PROFILE", 7) == axdr.double_long_unsigned(960)
    assert stand.get("INTERVAL_PROFILE", 4) == axdr.double_long_unsigned(900)
    assert stand.get("INTERVAL_PROFILE", 8) == axdr.double_long_unsigned(960)


def test_days_and_months_begin_at_local_midnight() -> None:
    stand = Stand("SMR", "5.0.0")
    days = instants(stand.rows("DAILY_PROFILE"))
    assert len(days) == 40
    assert days[-1] == day(2022, 11, 23)
    assert [moment.astimezone(ZONE).hour for moment in days] == [0] * 40
    assert {(after - before) for before, after in zip(days, days[1:], strict=False)} == {
        timedelta(days=1),
        timedelta(hours=25),
    }
    months = instants(stand.rows("MONTHLY_PROFILE"))
    assert [(m.astimezone(ZONE).year, m.astimezone(ZONE).month, m.astimezone(ZONE).day) for m in months] == [
        (2021 + (10 + n) // 12, (10 + n) % 12 + 1, 1) for n in range(13)
    ]


@pytest.mark.parametrize(
    ("tag", "width"), [("DAILY_PROFILE", 14), ("MONTHLY_PROFILE", 13), ("MBUS_INTERVAL_PROFILE_1", 4)]
)
def test_combined_profiles_hold_value_and_time_of_four_channels(tag: str, width: int) -> None:
    stand = Stand("DSMR", "4.2.2", gas_meters=2)
    rows = stand.rows(tag)
    assert {len(row) for row in rows} == {width}
    defined = stand.get(tag, 3)
    assert isinstance(defined, Data)
    assert axdr.plain(defined) == tuple(column.definition for column in stand.meter.model.profile.objects[tag].columns)
    if width == 4:
        return
    first = width - 8
    for row, moment in zip(rows, instants(rows), strict=True):
        taken: Any = row[first + 1]
        assert CosemDateTime.from_bytes(taken).instant() == moment - timedelta(hours=1)
        assert row[first] == stand.meter.household.gas(1).at(moment.timestamp() - HOUR)
        assert row[first + 4 :] == (0, buffers_absent(), 0, buffers_absent())
    values = [row[first] for row in rows]
    assert values == sorted(values)  # type: ignore[type-var]


def buffers_absent() -> bytes:
    return bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")


START, END = datetime(2022, 11, 22, 23, tzinfo=UTC), datetime(2022, 11, 22, 23, 30, tzinfo=UTC)
TOTAL = Stand().at("ACTIVE_ENERGY_IMPORT_TOTAL")
CLOCK = Stand().at("CLOCK")


def local(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("selection", "rows", "width"),
    [
        pytest.param(by_range(START, END), 3, 4, id="both-ends"),
        pytest.param(by_range(START + timedelta(seconds=1), END - timedelta(seconds=1)), 1, 4, id="between"),
        pytest.param(by_range(END, START), 0, 0, id="backwards"),
        pytest.param(by_range(NOW + timedelta(days=1), NOW + timedelta(days=2)), 0, 0, id="future"),
        pytest.param(by_range(START - timedelta(days=90), END - timedelta(days=60)), 0, 0, id="forgotten"),
        pytest.param(by_range(START, END, [capture_object(TOTAL)]), 3, 1, id="one-column"),
        pytest.param(by_range(START, END, [capture_object(TOTAL), capture_object(CLOCK)]), 3, 2, id="their-order"),
        pytest.param(
            by_range(local("07E60B17FF000000FF8000FF"), local("07E60B17FF001E00FF8000FF")), 3, 4, id="local-time"
        ),
        pytest.param(by_entry(1, 10), 10, 4, id="entries"),
        pytest.param(by_entry(951), 10, 4, id="to-the-last"),
        pytest.param(by_entry(961), 0, 0, id="beyond"),
        pytest.param(by_entry(5, 4), 0, 0, id="entries-backwards"),
        pytest.param(by_entry(1, 2, 1, 1), 2, 1, id="entries-one-column"),
        pytest.param(by_entry(1, 2, 3), 2, 2, id="entries-last-columns"),
    ],
)
def test_what_a_selection_leaves(selection: Selection, rows: int, width: int) -> None:
    found = Stand().rows("INTERVAL_PROFILE", selection)
    assert [len(row) for row in found] == [width] * rows


def test_columns_come_in_the_order_of_capture() -> None:
    found = Stand().rows("INTERVAL_PROFILE", by_range(START, END, [capture_object(TOTAL), capture_object(CLOCK)]))
    assert all(isinstance(row[0], bytes) and isinstance(row[1], int) for row in found)


def damaged(index: int, value: Data) -> Selection:
    selection = by_range(START, END)
    parts = list(selection.parameters.value)
    parts[index] = value
    return Selection(1, axdr.structure(*parts))


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection(3, axdr.null()), id="selector"),
        pytest.param(Selection(1, axdr.null()), id="null"),
        pytest.param(Selection(1, axdr.structure()), id="empty"),
        pytest.param(Selection(2, axdr.structure(*[axdr.octet_string(b"1")] * 4)), id="entries-as-text"),
        pytest.param(damaged(0, capture_object(TOTAL)), id="restricted-by-a-register"),
        pytest.param(damaged(1, axdr.double_long_unsigned(0)), id="bound-is-a-number"),
        pytest.param(damaged(1, axdr.octet_string(b"\xff" * 12)), id="bound-without-a-date"),
        pytest.param(damaged(3, axdr.null()), id="columns-null"),
        pytest.param(damaged(3, axdr.array(axdr.unsigned(1))), id="columns-as-numbers"),
        pytest.param(damaged(3, axdr.array(capture_object(Stand().at("ALARM_REGISTER_1")))), id="not-captured"),
    ],
)
def test_a_selection_it_does_not_know_is_out_of_scope(selection: Selection) -> None:
    assert Stand().get("INTERVAL_PROFILE", 2, selection) == 13


def test_selection_is_for_buffers_only() -> None:
    assert Stand().get("INTERVAL_PROFILE", 3, by_entry(1, 2)) == 13
    assert Stand().get("CLOCK", 2, by_entry(1, 2)) == 13


def test_logs_are_selected_like_profiles() -> None:
    stand = Stand()
    for number in range(5):
        stand.meter.log("STANDARD_EVENT_LOG", 40 + number, at=START.timestamp() + 60 * number)
    two = by_range(START + timedelta(minutes=1), START + timedelta(minutes=2))
    assert [row[1] for row in stand.rows("STANDARD_EVENT_LOG", two)] == [41, 42]
    assert [row[1] for row in stand.rows("STANDARD_EVENT_LOG", by_entry(4))] == [43, 44]
    assert stand.rows("STANDARD_EVENT_LOG", by_entry(1, 1, 2, 2)) == [(40,)]


def test_compressed_rows_leave_out_what_follows() -> None:
    columns = [[b"a", b"b", b"d"], [b"1", b"1", b"2"]]
    packed = buffers.encode_rows(columns, compress=True, period=900, at=[0, 900, 2700])
    assert packed == b"\x01\x03" + b"\x02\x02a1" + b"\x02\x02\x00\x00" + b"\x02\x02d2"
    values = buffers.encode_rows(columns[1:], compress=True, period=900, at=[0, 900, 1800], clock=None)
    assert values == b"\x01\x03" + b"\x02\x011" + b"\x02\x01\x00" + b"\x02\x012"


@given(st.datetimes(datetime(2015, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_written_time_is_the_instant_read(moment: datetime) -> None:
    second = int(moment.timestamp())
    octets = buffers.encode_time(second, ZONE)
    assert octets[:2] == b"\x09\x0c"
    read = CosemDateTime.from_bytes(octets[2:]).instant()
    assert read is not None
    assert read.timestamp() == second


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 12 * 86_400),
    st.integers(0, 86_400),
)
def test_a_range_is_that_part_of_the_whole(now: datetime, back: int, length: int) -> None:
    found = profile("SMR", "5.0.0").objects["INTERVAL_PROFILE"]
    whole = buffers.stamps(found, False, now.timestamp(), buffers.everything(found), ZONE)
    first = now.timestamp() - back
    want = buffers.Wanted(first, first + length, (0,))
    some = buffers.stamps(found, False, now.timestamp(), want, ZONE)
    assert some == [at for at in whole if first <= at <= first + length]
    assert len(whole) == 960
