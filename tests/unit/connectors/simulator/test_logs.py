"""Event logs grow: by what happens to a meter, and by what is done to it (meter-model 12, 13, 10.4)."""

from datetime import timedelta
from typing import Any

import pytest

from connectors.dlms.cosem import Data, axdr, by_entry
from connectors.simulator.logs import Event, Kept
from operations._profile import profiles

from .stand import NOW, Stand, between

OBJECT = (3, bytes((1, 0, 32, 7, 0, 255)), 2, 0)
CLOCK = (8, bytes((0, 0, 1, 0, 0, 255)), 2, 0)


def captured(*columns: tuple[int, bytes, int, int]) -> Data:
    return axdr.array(
        *(
            axdr.structure(
                axdr.long_unsigned(kind), axdr.octet_string(obis), axdr.integer(attribute), axdr.long_unsigned(index)
            )
            for kind, obis, attribute, index in columns
        )
    )


@pytest.mark.parametrize(("protocol", "version"), list(profiles()))
def test_every_log_has_a_past_that_grows(protocol: str, version: str) -> None:
    stand = Stand(protocol, version, past=True)
    logs = [tag for tag in stand.meter.model.profile.objects if tag.endswith("_LOG")]
    before: dict[str, Any] = {tag: stand.rows(tag) for tag in logs}
    stand.now += 2_500 * 86_400  # even covers are opened by then
    for tag in logs:
        found = stand.meter.model.profile.objects[tag]
        assert 0 < len(before[tag]) <= found.entries, tag
        times = [row[0] for row in before[tag]]
        assert stand.get(tag, 8) == axdr.double_long_unsigned(found.entries)
        if tag == "COMMUNICATION_SESSION_EVENT_LOG":  # once watched, its sessions are the real ones
            assert stand.rows(tag) == before[tag]
            assert [row[2] for row in before[tag]] == list(range(before[tag][0][2], before[tag][-1][2] + 1))
            continue
        after = stand.rows(tag)
        assert after != before[tag], tag
        assert stand.get(tag, 7) == axdr.double_long_unsigned(len(after))
        if len(before[tag]) + 20 < found.entries:
            assert times == [row[0] for row in after][: len(times)], tag
    again = Stand(protocol, version, past=True)
    assert {tag: again.rows(tag) for tag in logs} == before


def test_a_log_is_read_by_entry_and_by_time() -> None:
    stand = Stand("SMR", "5.2", past=True)
    rows: Any = stand.rows("STANDARD_EVENT_LOG")
    assert stand.rows("STANDARD_EVENT_LOG", by_entry(2, 4)) == rows[1:4]
    recent = stand.rows("STANDARD_EVENT_LOG", between(NOW - timedelta(days=365), NOW))
    assert 0 < len(recent) < len(rows)
    assert recent == rows[-len(recent) :]


def test_an_event_code_shows_the_last_row() -> None:
    stand = Stand("SMR", "5.2", past=True)
    stand.meter.log("STANDARD_EVENT_LOG", 18)
    assert stand.get("STANDARD_EVENT_CODE") == axdr.unsigned(18)
    last: Any = stand.rows("POWER_QUALITY_EXTENDED_EVENT_LOG")[-1]
    shown: list[Any] = [stand.get(f"POWER_QUALITY_EXTENDED_EVENT_{part}") for part in ("CODE", "MAGNITUDE", "DURATION")]
    assert tuple(each.value for each in shown) == last[1:]
    assert Stand("SMR", "5.2").get("STANDARD_EVENT_CODE") == axdr.unsigned(0)


def test_sessions_are_logged_by_what_they_were_for() -> None:
    stand = Stand("SMR", "5.0.0", past=True)
    counter: Any = stand.get("COMMUNICATION_SESSION_COUNTER")
    for reads, reason in (
        (["ACTIVE_ENERGY_IMPORT_TOTAL"], 73),
        (["MBUS_VALUE_1", "ACTIVE_ENERGY_IMPORT_TOTAL"], 74),
        (["INTERVAL_PROFILE"], 75),
        (["MBUS_INTERVAL_PROFILE_1"], 76),
    ):
        for tag in reads:
            stand.get(tag)
        stand.meter.session_ended(0)
        assert stand.rows("COMMUNICATION_SESSION_EVENT_LOG")[-1][1] == reason
    stand.set("ALARM_FILTER_1", axdr.double_long_unsigned(1))
    stand.meter.session_ended(0)
    stand.get("CLOCK", client=16)
    stand.meter.session_ended(0)  # the public client holds no session to speak of
    rows: Any = stand.rows("COMMUNICATION_SESSION_EVENT_LOG")[-5:]
    assert [row[1] for row in rows] == [73, 74, 75, 76, 72]
    assert [row[2] for row in rows] == [counter.value + k for k in range(1, 6)]


def test_failed_logins_go_to_the_fraud_log() -> None:
    stand = Stand()
    stand.meter.session_ended(2)
    assert [code for _, code in stand.rows("FRAUD_DETECTION_EVENT_LOG")] == [46, 46]


def test_alarms_and_settings_are_logged() -> None:
    stand = Stand("SMR", "5.0.0")
    stand.meter.raise_alarm(1 << 0 | 1 << 13 | 1 << 17 | 1 << 27)
    assert [code for _, code in stand.rows("STANDARD_EVENT_LOG")] == [6]
    assert [code for _, code in stand.rows("FRAUD_DETECTION_EVENT_LOG")] == [40]
    assert [code for _, code in stand.rows("MBUS_EVENT_LOG")] == [110, 135]
    assert stand.set("CONFIGURATION_OBJECT", axdr.bit_string("0001001000100000")) == 0
    assert [code for _, code in stand.rows("FRAUD_DETECTION_EVENT_LOG")] == [40, 47]
    assert stand.set("ACTIVITY_CALENDAR", axdr.octet_string(b"NEW"), 6) == 0
    assert [code for _, code in stand.rows("STANDARD_EVENT_LOG")] == [6, 19]


def test_a_log_of_its_own_keeps_so_many_rows_packed() -> None:
    kept = Kept()
    for at in range(3_000):
        kept.add(Event(float(at), (71, at)), 2_190)
    rows = list(kept)
    assert (len(kept), rows[0], rows[-1]) == (2_190, Event(810.0, (71, 810)), Event(2_999.0, (71, 2_999)))


def test_a_client_defines_what_the_load_profile_captures() -> None:
    stand = Stand("SMR", "5.0.0")
    assert len(stand.rows("DEFINABLE_LOAD_PROFILE")) == 960
    assert stand.set("DEFINABLE_LOAD_PROFILE", captured(CLOCK, OBJECT), 3) == 0
    assert stand.rows("DEFINABLE_LOAD_PROFILE") == []  # a write empties the buffer
    stand.now += 3_600
    rows: Any = stand.rows("DEFINABLE_LOAD_PROFILE")
    assert [len(row) for row in rows] == [2] * 4
    assert all(2_070 < row[1] < 2_530 for row in rows)
    assert stand.set("DEFINABLE_LOAD_PROFILE", axdr.double_long_unsigned(3_600), 4) == 0
    stand.now += 3 * 3_600
    assert len(stand.rows("DEFINABLE_LOAD_PROFILE")) == 3
    assert stand.set("DEFINABLE_LOAD_PROFILE", axdr.double_long_unsigned(2), 8) == 0
    stand.now += 5 * 3_600
    assert len(stand.rows("DEFINABLE_LOAD_PROFILE")) == 2
    assert stand.get("DEFINABLE_LOAD_PROFILE", 7) == axdr.double_long_unsigned(2)


@pytest.mark.parametrize(
    ("index", "value", "code"),
    [
        pytest.param(3, captured(CLOCK, (3, bytes(6), 2, 0)), 250, id="no-such-object"),
        pytest.param(3, captured(CLOCK, (1, OBJECT[1], 2, 0)), 250, id="another-class"),
        pytest.param(3, axdr.array(axdr.long_unsigned(1)), 250, id="no-structure"),
        pytest.param(3, axdr.array(), 250, id="nothing"),
        pytest.param(3, axdr.long_unsigned(1), 12, id="no-array"),
        pytest.param(4, axdr.double_long_unsigned(7), 250, id="odd-period"),
        pytest.param(8, axdr.double_long_unsigned(961), 250, id="too-many"),
        pytest.param(8, axdr.double_long_unsigned(0), 250, id="none"),
    ],
)
def test_what_a_load_profile_cannot_be_is_refused(index: int, value: Data, code: int) -> None:
    stand = Stand("SMR", "5.0.0")
    assert stand.set("DEFINABLE_LOAD_PROFILE", value, index) == code
    assert len(stand.rows("DEFINABLE_LOAD_PROFILE")) == 960
    assert stand.set("POWER_QUALITY_PROFILE_1", axdr.double_long_unsigned(900), 4) == 3  # only its columns may be set


def test_a_client_may_set_the_scaler_of_a_dsmr_4_voltage() -> None:
    stand = Stand("DSMR", "4.2.2")
    whole: Any = stand.get("INSTANTANEOUS_VOLTAGE_L1")
    tenth, kilo = (axdr.structure(axdr.integer(scaler), axdr.enum(35)) for scaler in (-1, 120))
    assert stand.set("INSTANTANEOUS_VOLTAGE_L1", tenth, 3) == 0
    fine: Any = stand.get("INSTANTANEOUS_VOLTAGE_L1")
    assert round(fine.value / 10) == whole.value
    assert stand.set("INSTANTANEOUS_VOLTAGE_L1", kilo, 3) == 250
    assert stand.set("AVERAGE_VOLTAGE_L1", tenth, 3) == 3


def test_anything_a_meter_holds_can_be_captured() -> None:
    stand = Stand("SMR", "5.0.0")
    tariff, cell = (1, bytes((0, 0, 96, 14, 0, 255)), 2, 0), (47, bytes((0, 0, 25, 6, 0, 255)), 6, 1)
    assert stand.set("DEFINABLE_LOAD_PROFILE", captured(CLOCK, tariff, cell), 3) == 0
    stand.now += 900
    ((_, shown, number),) = stand.rows("DEFINABLE_LOAD_PROFILE")
    assert (shown, number) == (b"\x00\x02", 77)
