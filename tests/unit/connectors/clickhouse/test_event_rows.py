"""Events and outages to rows: names from the one table, entries told apart, what is set aside and why."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clickhouse import event_rows, rows
from connectors.clickhouse.batch import COLUMNS, Batch
from connectors.clickhouse.rows import SetAside
from operations._events import UNKNOWN
from schemas import codec
from schemas.records import NO_VALUE, MeterEvent, MeterEvents, MeterOutage, MeterOutages
from tests.unit.connectors.clickhouse.test_rows import AT, ID, Given

EXTENDED = MeterEvents(
    device_id="EM0001",
    correlation_id=ID,
    protocol="SMR",
    category="POWER_QUALITY_EXTENDED_EVENT_LOG",
    received_at=AT + 5_000,
    events=(
        MeterEvent(AT, 93, magnitude=207_100_000, magnitude_unit="V", duration=1_200_000),
        MeterEvent(AT, 80),
        MeterEvent(AT, 199),
    ),
)
OUTAGES = MeterOutages("EM0001", ID, AT, (MeterOutage(AT - 1_000, 180), MeterOutage(AT - 2_000, 360)))


def told(record: MeterEvents) -> dict[str, object]:
    row, count = event_rows.events(record)
    assert count == len(record.events)
    return dict(zip(COLUMNS["meter_events_in"], row, strict=True))


def test_a_log_is_one_row_of_columns_with_the_names_of_its_codes() -> None:
    found = told(EXTENDED)
    assert (found["device_id"], found["log"], found["received_at"]) == (
        b"EM0001",
        EXTENDED.category.encode(),
        AT + 5_000,
    )
    assert (found["times"], found["codes"], found["counters"]) == ([AT] * 3, [93, 80, 199], [None] * 3)
    assert found["events"] == [b"VOLTAGE_SAG_IN_PHASE_L1", b"OVER_VOLTAGE_L1", UNKNOWN.encode()]
    assert found["packed_magnitudes"] == struct.pack("<3q", 207_100_000, NO_VALUE, NO_VALUE)
    assert (found["units"], found["packed_durations"]) == (
        [b"V", b"", b""],
        struct.pack("<3q", 1_200_000, *[NO_VALUE] * 2),
    )
    assert told(replace(EXTENDED, protocol="DSMR"))["events"] == [
        b"VOLTAGE_SAG_IN_PHASE_L1",
        b"PV_VOLTAGE_SAG_L1",
        UNKNOWN.encode(),
    ]


def test_entries_of_one_time_and_code_are_told_apart_by_their_place_or_their_counter() -> None:
    login, other = MeterEvent(AT, 46), MeterEvent(AT + 1_000, 46)
    assert event_rows.occurrences([login, login, other, login]) == [0, 1, 0, 2]
    sessions = [replace(login, counter=5), replace(login, counter=6), replace(login, counter=5)]
    assert event_rows.occurrences(sessions) == [0, 0, 1]


@given(st.lists(st.sampled_from([MeterEvent(AT, 46), MeterEvent(AT, 47), MeterEvent(AT + 1, 46)]), max_size=12))
def test_every_entry_of_a_reading_is_a_row_of_its_own(entries: list[MeterEvent]) -> None:
    numbers = event_rows.occurrences(entries)
    assert len({(e.captured_at, e.code, n) for e, n in zip(entries, numbers, strict=True)}) == len(entries)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"captured_at": 0}, "time of event 1: 0 ms"),
        ({"code": 65_536}, "code of event 1: 65536"),
        ({"code": -1}, "code of event 1: -1"),
        ({"counter": -1}, "counter of event 1: -1"),
        ({"magnitude": NO_VALUE}, "magnitude of event 1"),
        ({"duration": NO_VALUE}, "duration of event 1"),
    ],
)
def test_a_bad_event_is_set_aside_by_field(change: dict[str, int], reason: str) -> None:
    first, second, third = EXTENDED.events
    with pytest.raises(SetAside) as raised:
        event_rows.events(replace(EXTENDED, events=(first, replace(second, **change), third)))  # type: ignore[arg-type]
    assert reason in raised.value.reason


@pytest.mark.parametrize(
    "change", [{"device_id": ""}, {"correlation_id": "nobody"}, {"received_at": 0}, {"category": ""}]
)
def test_a_bad_record_is_set_aside(change: dict[str, object]) -> None:
    with pytest.raises(SetAside):
        event_rows.events(replace(EXTENDED, **change))  # type: ignore[arg-type]


def test_outages_are_one_row_of_columns() -> None:
    row, count = event_rows.outages(OUTAGES)
    assert (count, row) == (2, (b"EM0001", AT, rows.correlation(ID), [AT - 1_000, AT - 2_000], [180, 360]))
    with pytest.raises(SetAside, match="end of outage 0"):
        event_rows.outages(replace(OUTAGES, outages=(MeterOutage(0, 1),)))
    with pytest.raises(SetAside, match="duration of outage 0: -1"):
        event_rows.outages(replace(OUTAGES, outages=(MeterOutage(AT, -1),)))


def test_a_batch_counts_the_rows_its_records_become() -> None:
    wrong = replace(OUTAGES, outages=(MeterOutage(0, 1),))
    batch = Batch.of([Given(codec.encode(each), n) for n, each in enumerate([EXTENDED, OUTAGES, wrong])])
    assert {name: len(table.rows) for name, table in batch.tables.items()} == {
        "meter_events_in": 1,
        "meter_outages_in": 1,
    }
    assert dict(batch.expanded) == {0: 3, 1: 2}
    assert list(batch.aside) == [2]
