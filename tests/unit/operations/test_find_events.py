"""FindEvents: operations-reading 9 and its worked cases; the names of all codes."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest

from operations import build_request, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._events import NAMES, UNKNOWN, name_of
from operations._profile import Traits
from operations._steps import Attribute, Range, ReadRows
from operations.find_events import EventLogCategory, needs_of, scaling_of
from schemas.records import CommandHeader, MeterEvent, MeterEvents
from tests.unit.operations.conversation import (
    AMSTERDAM,
    DEVICE,
    VERSIONS,
    PlayedMeter,
    clock,
    meter_of,
    millis,
    octets,
    play,
    utc,
)

NAME = "FindEvents"
FIRST = utc("2015-09-01T00:00:00")
LOGS: dict[
    str, tuple[int, list[tuple[int, ...]]]
] = {  # category -> group E of its logical name, entries of 9.3: code and further columns
    "STANDARD_EVENT_LOG": (0, [(code,) for code in (255, *range(1, 21))]),
    "FRAUD_DETECTION_LOG": (1, [(code,) for code in (255, *range(40, 48))]),
    "COMMUNICATION_SESSION_LOG": (4, [(code, number) for number, code in enumerate((255, *range(71, 77)), start=7)]),
    "M_BUS_EVENT_LOG": (
        3,
        [(code,) for code in sorted({90 + 10 * c + k for c in range(1, 5) for k in range(8)})[-30:]],
    ),
    "POWER_QUALITY_EVENT_LOG": (5, [(code,) for code in (255, 25, 99, *range(77, 93))]),
    "AUXILIARY_EVENT_LOG": (6, [(code,) for code in sorted(NAMES["SMR"]) if code > 255]),
    "POWER_QUALITY_EXTENDED_EVENT_LOG": (7, [(93 + n, 1 + n, 6 - n) for n in range(6)]),
    "POWER_QUALITY_THD_EVENT_LOG": (8, [(51 + n, 1 + n) for n in range(9)]),
}
TAGS = {
    "FRAUD_DETECTION_LOG": "FRAUD_DETECTION_EVENT_LOG",
    "COMMUNICATION_SESSION_LOG": "COMMUNICATION_SESSION_EVENT_LOG",
    "M_BUS_EVENT_LOG": "MBUS_EVENT_LOG",
}
COUNTS = {  # 9.3, the bundle matrix; 0: the profile has no such log
    ("DSMR", "2.2"): (21, 9, 0, 30, 0, 0, 0, 0),
    ("DSMR", "4.2.2"): (21, 9, 7, 30, 0, 0, 0, 0),
    ("SMR", "4.3"): (21, 9, 7, 30, 0, 0, 0, 0),
    ("SMR", "5.0.0"): (21, 9, 7, 30, 19, 0, 0, 0),
    ("SMR", "5.1"): (21, 9, 7, 30, 19, 169, 0, 0),
    ("SMR", "5.2"): (21, 9, 7, 30, 19, 169, 6, 9),
    ("SMR", "5.5"): (21, 9, 7, 30, 19, 169, 6, 9),
}
MATRIX = [(*version, log, count) for version in VERSIONS for log, count in zip(LOGS, COUNTS[version], strict=True)]


def buffer(log: str) -> Attribute:
    return Attribute(7, bytes((0, 0, 99, 98, LOGS[log][0], 255)), 2)


def rows(log: str, at: datetime = FIRST) -> list[tuple[Any, ...]]:
    """The worked entries, a minute apart."""
    return [(clock(at + timedelta(minutes=n), AMSTERDAM), *values) for n, values in enumerate(LOGS[log][1])]


def asked(*logs: str, first: str = "2015-09-01T00:00:00Z", last: str = "2015-10-01T00:00:00Z") -> dict[str, Any]:
    return {"queries": [{"event_log_category": log, "from_date": first, "until_date": last} for log in logs]}


def found(log: str, protocol: str = "SMR", version: str = "5.2", **asking: str) -> Any:
    return play(NAME, asked(log, **asking), meter_of(protocol, version), PlayedMeter(rows=rows(log)).answer).result


@pytest.mark.parametrize(("protocol", "version", "log", "count"), MATRIX)
def test_every_log_on_every_version(protocol: str, version: str, log: str, count: int) -> None:
    meter = PlayedMeter(rows=rows(log))
    device = meter_of(protocol, version, time_zone=AMSTERDAM)
    request = catalogue()[NAME]
    if not count:
        with pytest.raises(Rejected) as caught:
            play(NAME, asked(log), device, meter.answer)
        refusal = f"No address found for {TAGS.get(log, log)} in protocol {protocol} {version}"
        assert (str(caught.value), caught.value.code, meter.steps) == (refusal, 416, [])
        return
    result = play(NAME, asked(log), device, meter.answer).result
    (step,) = meter.steps
    assert isinstance(step, ReadRows) and isinstance(step.selection, Range)
    assert step.buffer == buffer(log)
    assert (step.selection.start.isoformat(), step.selection.end.isoformat(), step.selection.columns) == (
        "2015-09-01T02:00:00+02:00",
        "2015-10-01T02:00:00+02:00",
        (),
    )
    assert (result.protocol, result.counts, len(result.events)) == (protocol, (count,), count)
    assert [event.event_code for event in result.events] == [values[0] for values in LOGS[log][1]]
    assert {event.event_log_category for event in result.events} == {EventLogCategory(log)}
    assert UNKNOWN not in {event.event_type for event in result.events}
    assert result.events[0].timestamp == FIRST
    assert request.reads is not None
    (record,) = request.reads(CommandHeader("id", DEVICE, 0), result, 99)
    assert isinstance(record, MeterEvents)
    assert (record.device_id, record.correlation_id, record.protocol) == (DEVICE, "id", protocol)
    assert (record.category, record.received_at, len(record.events)) == (log, 99, count)


def test_a_log_the_profile_lacks_is_refused_before_a_meter_is_called() -> None:
    operation = catalogue()[NAME]
    profile = meter_of("SMR", "5.0.0").profile
    both = build_request(NAME, asked("STANDARD_EVENT_LOG", "POWER_QUALITY_THD_EVENT_LOG"))
    assert needs_of(both) == ("STANDARD_EVENT_LOG", "POWER_QUALITY_THD_EVENT_LOG")
    with pytest.raises(Rejected, match="No address found for POWER_QUALITY_THD_EVENT_LOG in protocol SMR 5.0.0"):
        operation.check(profile, both)
    operation.check(profile, build_request(NAME, asked("STANDARD_EVENT_LOG")))
    operation.check(profile)


def test_the_communication_log_has_a_counter() -> None:
    events = found("COMMUNICATION_SESSION_LOG", "DSMR", "4.2.2").events
    assert [(event.event_type, event.event_counter) for event in events[:2]] == [
        ("EVENTLOG_CLEARED", 7),
        ("METROLOGICAL_MAINTENANCE", 8),
    ]
    assert {(event.magnitude, event.magnitude_unit, event.duration) for event in events} == {(None, None, None)}


def test_sags_and_swells_have_volts_and_seconds_with_the_scale_of_their_registers() -> None:
    events = found("POWER_QUALITY_EXTENDED_EVENT_LOG").events
    assert [(e.event_type, e.magnitude, e.magnitude_unit, e.duration) for e in events] == [
        ("VOLTAGE_SAG_IN_PHASE_L1", Decimal("0.1"), "V", Decimal("0.6")),
        ("VOLTAGE_SAG_IN_PHASE_L2", Decimal("0.2"), "V", Decimal("0.5")),
        ("VOLTAGE_SAG_IN_PHASE_L3", Decimal("0.3"), "V", Decimal("0.4")),
        ("VOLTAGE_SWELL_IN_PHASE_L1", Decimal("0.4"), "V", Decimal("0.3")),
        ("VOLTAGE_SWELL_IN_PHASE_L2", Decimal("0.5"), "V", Decimal("0.2")),
        ("VOLTAGE_SWELL_IN_PHASE_L3", Decimal("0.6"), "V", Decimal("0.1")),
    ]


def test_thd_has_per_cent() -> None:
    events = found("POWER_QUALITY_THD_EVENT_LOG", version="5.5").events
    assert [(str(e.magnitude), e.magnitude_unit) for e in events] == [(str(n), "%") for n in range(1, 10)]
    assert {event.duration for event in events} == {None}


def test_the_scale_of_a_code_is_that_of_its_register() -> None:
    profile = meter_of("SMR", "5.2").profile
    for code in range(93, 99):
        for what in ("magnitude", "duration"):
            scaling = scaling_of(code, what, profile)
            assert scaling is not None and scaling.scaler == -1
            assert scaling.unit == (35 if what == "magnitude" else 7)
    assert scaling_of(51, "duration", profile) is None
    assert scaling_of(79, "magnitude", profile) is None  # ends in L3 as well
    assert scaling_of(93, "magnitude", meter_of("SMR", "5.0.0").profile) is None


def test_the_record_has_numbers_only() -> None:
    reads = catalogue()[NAME].reads
    assert reads is not None
    (record,) = reads(CommandHeader("id", DEVICE, 0), found("POWER_QUALITY_EXTENDED_EVENT_LOG"), 99)
    assert isinstance(record, MeterEvents)
    assert record.events[0] == MeterEvent(millis("2015-09-01T00:00:00"), 93, None, 100_000, "V", 600_000)
    (record,) = reads(CommandHeader("id", DEVICE, 0), found("COMMUNICATION_SESSION_LOG"), 99)
    assert isinstance(record, MeterEvents)
    assert record.events[1] == MeterEvent(millis("2015-09-01T00:01:00"), 71, counter=8)


def test_a_code_without_a_register_keeps_its_raw_numbers() -> None:
    log = "POWER_QUALITY_EXTENDED_EVENT_LOG"
    meter = PlayedMeter(rows=[(clock(FIRST), 255, 0, 0), (clock(FIRST), 199, 12, 34)])
    result = play(NAME, asked(log), meter_of("SMR", "5.2"), meter.answer).result
    assert [(e.event_type, e.magnitude, e.magnitude_unit, e.duration) for e in result.events] == [
        ("EVENTLOG_CLEARED", 0, None, 0),
        (UNKNOWN, 12, None, 34),
    ]


def test_an_unknown_code_is_told_by_its_number() -> None:
    log = "AUXILIARY_EVENT_LOG"
    entries = [*rows(log), (clock(utc("2013-09-02T00:00:00")), 0x9999)]
    meter = PlayedMeter(rows=entries)
    result = play(NAME, asked(log, first="2013-09-01T00:00:00Z"), meter_of("SMR", "5.5"), meter.answer).result
    assert len(result.events) == 170
    assert [event.event_code for event in result.events if event.event_type == UNKNOWN] == [0x9999]
    result = play(NAME, asked(log), meter_of("SMR", "5.1"), PlayedMeter(rows=entries).answer).result
    assert len(result.events) == 169, "an entry outside of the range is left out, whatever the meter sends"


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        ("2015-08-15T00:00:00+02:00", "2015-08-25T00:00:00+02:00", 0),
        ("2015-09-01T00:00:00Z", "2015-09-05T00:00:00Z", 21),
        ("2015-09-01T00:01:00Z", "2015-09-01T00:03:00Z", 3),  # both ends belong to it
        ("2015-09-01T00:20:00.010Z", "2015-09-05T00:00:00Z", 0),
    ],
)
def test_only_what_lies_in_the_range(first: str, last: str, count: int) -> None:
    result = found("STANDARD_EVENT_LOG", "DSMR", "4.2.2", first=first, last=last)
    assert (len(result.events), result.counts) == (count, (count,))


def test_a_meter_that_cannot_select_is_read_whole() -> None:
    meter = PlayedMeter(rows=rows("STANDARD_EVENT_LOG"))
    shipped = meter_of("DSMR", "4.2.2")
    whole = replace(shipped, profile=replace(shipped.profile, traits=Traits(range_selection=False)))
    request = asked("STANDARD_EVENT_LOG", last="2015-09-01T00:04:00Z")
    assert play(NAME, request, whole, meter.answer).result.counts == (5,)
    assert meter.steps == [ReadRows(buffer("STANDARD_EVENT_LOG"), None)]


def test_several_logs_are_answered_in_the_order_of_the_queries() -> None:
    asking = asked("FRAUD_DETECTION_LOG", "STANDARD_EVENT_LOG", "FRAUD_DETECTION_LOG")
    asking["queries"][0]["until_date"] = "2015-08-31T23:59:00Z"
    asking["queries"][0]["from_date"] = "2015-08-30T23:59:00Z"
    entries = {buffer(log): rows(log) for log in ("FRAUD_DETECTION_LOG", "STANDARD_EVENT_LOG")}
    result = play(NAME, asking, meter_of("SMR", "5.0.0"), lambda step: entries[step.buffer]).result  # type: ignore[union-attr]
    assert result.counts == (0, 21, 9)
    logs = [event.event_log_category.value for event in result.events]
    assert logs == ["STANDARD_EVENT_LOG"] * 21 + ["FRAUD_DETECTION_LOG"] * 9
    reads = catalogue()[NAME].reads
    assert reads is not None
    records = list(reads(CommandHeader("id", DEVICE, 0), result, 99))
    assert [(record.category, len(record.events)) for record in records if isinstance(record, MeterEvents)] == [
        ("STANDARD_EVENT_LOG", 21),
        ("FRAUD_DETECTION_LOG", 9),
    ]


@pytest.mark.parametrize("row", [(1,), (1, 2, 3), (1, None, 3), (octets(b"1"), 2, 3)])
def test_an_entry_nobody_can_use_fails_the_request(row: tuple[Any, ...]) -> None:
    meter = PlayedMeter(rows=[(clock(FIRST), *row)])
    log = "POWER_QUALITY_EXTENDED_EVENT_LOG" if len(row) < 3 or row[1] is None else "STANDARD_EVENT_LOG"
    with pytest.raises(MeterUnusable, match=log):
        play(NAME, asked(log), meter_of("SMR", "5.2"), meter.answer)


@pytest.mark.parametrize("time", [None, bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF"), 12, Data(Tag.BOOLEAN, True)])
def test_an_entry_without_a_time_fails_the_request(time: Any) -> None:
    with pytest.raises(MeterUnusable, match="STANDARD_EVENT_LOG"):
        play(NAME, asked("STANDARD_EVENT_LOG"), meter_of("SMR", "5.2"), PlayedMeter(rows=[(time, 1)]).answer)


def test_a_log_that_is_refused_fails_the_request() -> None:
    meter = PlayedMeter(refusals={buffer("STANDARD_EVENT_LOG"): (3, "read-write-denied")})
    with pytest.raises(MeterRefused, match="read-write-denied"):
        play(NAME, asked("STANDARD_EVENT_LOG"), meter_of("SMR", "5.2"), meter.answer)


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (
            "2015-09-02T00:00:00Z",
            "2015-09-01T00:00:00Z",
            "queries[0].from_date: The 'from' timestamp designates a time",
        ),
        ("2015-09-01T00:00:00Z", "2015-09-01T00:00:00Z", "after 'until' timestamp."),
        ("2015-09-01T00:00:00Z", "9999-01-01T00:00:00Z", "queries[0].until_date: 9999 is no year"),
    ],
)
def test_from_lies_before_until(first: str, last: str, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        found("STANDARD_EVENT_LOG", first=first, last=last)
    assert (caught.value.code, text in str(caught.value)) == (401, True)


@pytest.mark.parametrize("queries", [[], asked(*["STANDARD_EVENT_LOG"] * 33)["queries"]])
def test_one_to_thirty_two_queries(queries: list[Any]) -> None:
    with pytest.raises(Rejected, match="queries: "):
        play(NAME, {"queries": queries}, meter_of("SMR", "5.2"), PlayedMeter().answer)


def test_a_full_log_fits_into_what_it_is_said_to_cost() -> None:
    cost = catalogue()[NAME].cost_of(build_request(NAME, asked("COMMUNICATION_SESSION_LOG")))
    assert cost.frames >= 8 + 1 + 2190 * (2 + 14 + 2 + 3) // 90
    whole = catalogue()[NAME].cost_of(build_request(NAME, asked(*LOGS)))
    assert whole.frames > cost.frames and whole.seconds > cost.seconds


class TestNames:
    """9.2, spelled out where the table is made of runs."""

    @pytest.mark.parametrize(
        ("code", "name"),
        [
            (255, "EVENTLOG_CLEARED"), (1, "POWER_FAILURE"), (12, "HARDWARE_ERROR_PROGRAM_MEMORY"),
            (13, "HARDWARE_ERROR_RAM"), (15, "WATCHDOG_ERROR"), (16, "HARDWARE_ERROR_MEASUREMENT_SYSTEM"),
            (20, "SUCCESSFUL_SELFCHECK_AFTER_FIRMWARE_UPDATE"), (25, "LAST_GASP_TEST"), (40, "TERMINAL_COVER_REMOVED"),
            (46, "FAILED_LOGIN_ATTEMPT"), (49, "MODULE_COVER_CLOSED"), (53, "THD_OVER_LIMIT_L3"), (54, "THD_NORMAL_L1"),
            (59, "THD_LONG_OVER_LIMIT_L3"), (71, "METROLOGICAL_MAINTENANCE"), (76, "RETRIEVE_INTERVAL_DATA_G"),
            (77, "UNDER_VOLTAGE_L1"), (88, "PHASE_OUTAGE_L3"), (89, "PHASE_OUTAGE_TEST"), (92, "PHASE_RETURNED_L3"),
            (93, "VOLTAGE_SAG_IN_PHASE_L1"), (98, "VOLTAGE_SWELL_IN_PHASE_L3"), (99, "LAST_GASP"),
            (100, "COMMUNICATION_ERROR_M_BUS_CHANNEL_1"), (115, "NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_2"),
            (126, "PERMANENT_ERROR_FROM_M_BUS_DEVICE_CHANNEL_3"), (137, "DEAD_BATTERY_ERROR_M_BUS_DEVICE_CHANNEL_4"),
            (230, "MANUFACTURER_SPECIFIC_230"), (249, "MANUFACTURER_SPECIFIC_249"),
            (0x1000, "MBUS_FW_UPGRADE_SUCCESSFUL_CHANNEL_1"),
            (0x1307, "MBUS_FW_UPGRADE_INVALID_FIRMWARE_FOR_THIS_DEVICE_CHANNEL_4"),
            (0x8080, "MBUS_STATUS_BIT_0_BATTERY_LOW_CHANNEL_1"),
            (0x818D, "MBUS_STATUS_BIT_13_HIGH_FLOW_GREATER_THAN_QMAX_CHANNEL_2"),
            (0x839F, "MBUS_STATUS_BIT_31_MANUFACTURER_SPECIFIC_CHANNEL_4"),
            (0x80A0, "KEY_SENT_TO_MBUS_DEVICE_ON_CHANNEL_1"), (0x83A1, "KEY_ACKNOWLEDGED_BY_MBUS_DEVICE_ON_CHANNEL_4"),
            (0xFFFF, "AUXILIARY_EVENTLOG_CLEARED"),
        ],
    )  # fmt: skip
    def test_codes(self, code: int, name: str) -> None:
        assert name_of(code, "DSMR") == name_of(code, "SMR") == name

    def test_80_to_85_mean_another_thing_on_dsmr(self) -> None:
        assert [name_of(code, "DSMR") for code in (80, 82, 83, 85)] == [
            "PV_VOLTAGE_SAG_L1", "PV_VOLTAGE_SAG_L3", "PV_VOLTAGE_SWELL_L1", "PV_VOLTAGE_SWELL_L3",
        ]  # fmt: skip
        assert [name_of(code, "SMR") for code in (80, 82, 83, 85)] == [
            "OVER_VOLTAGE_L1", "OVER_VOLTAGE_L3", "VOLTAGE_L1_NORMAL", "VOLTAGE_L3_NORMAL",
        ]  # fmt: skip

    def test_what_is_undefined_is_unknown_and_nothing_else(self) -> None:
        undefined = {*range(26, 40), 50, *range(60, 71), 108, 109, 118, 119, 128, 129, *range(138, 230)}
        undefined |= {0, *range(250, 255)}
        for protocol in NAMES:
            assert {code for code in range(256) if name_of(code, protocol) == UNKNOWN} == undefined
        assert sum(code > 255 for code in NAMES["SMR"]) == 169

    def test_no_two_codes_have_one_name(self) -> None:
        for names in NAMES.values():
            assert len(set(names.values())) == len(names)
        assert all(
            name.isidentifier() and name.isupper() for name in chain(*(each.values() for each in NAMES.values()))
        )
