"""ReadAlarmRegister and ClearAlarmRegister: operations-reading 10 and its worked cases."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operations import catalogue
from operations._alarms import BITS, Alarm, alarms_of
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable
from operations._steps import Answer, Attribute, CannotTell, Get
from tests.unit.operations.conversation import PlayedMeter, meter_of, octets, play, play_verify, u32

REGISTER = {n: Attribute(1, bytes((0, 0, 97, 98, n - 1, 255)), 2) for n in (1, 2, 3)}
HAS = [
    (("DSMR", "4.2.2"), (1,)),
    (("SMR", "5.0.0"), (1,)),
    (("SMR", "5.1"), (1,)),
    (("SMR", "5.2"), (1, 2)),
    (("SMR", "5.5"), (1, 2, 3)),
]


def test_every_alarm_belongs_to_exactly_one_bit() -> None:
    assert sorted(alarm for bits in BITS.values() for alarm in bits.values()) == sorted(set(Alarm) - {Alarm.UNKNOWN})


def test_an_earlier_reader_takes_a_later_alarm_for_unknown_and_no_request_for_another() -> None:
    folder = Path(__file__).parents[3] / "schemas" / "avro"
    assert '"default": "UNKNOWN"' in (folder / "responses" / "ReadAlarmRegisterResponse.avsc").read_text()
    for file in (folder / "commands").glob("*.avsc"):
        assert not [each for each in _enums(json.loads(file.read_text())) if "default" in each], file.name


def _enums(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "enum":
            yield schema
        schema = list(schema.values())
    for each in schema if isinstance(schema, list) else ():
        yield from _enums(each)


@pytest.mark.parametrize(
    ("register", "bit", "alarm"),
    [
        (1, 4, Alarm.CONFIGURATION_CHANGED),
        (1, 11, Alarm.MEASUREMENT_SYSTEM_ERROR),
        (1, 12, Alarm.WATCHDOG_ERROR),
        (1, 13, Alarm.FRAUD_ATTEMPT),
        (1, 20, Alarm.FRAUD_ATTEMPT_M_BUS_CHANNEL_1),
        (1, 31, Alarm.PHASE_OUTAGE_TEST_INDICATION),
        (2, 5, Alarm.VOLTAGE_SWELL_IN_PHASE_DETECTED_L3),
        (2, 11, Alarm.THD_LONG_OVERLIMIT_IN_PHASE_L1),
        (3, 1, Alarm.LAST_GASP_TEST),
    ],
)
def test_bits(register: int, bit: int, alarm: Alarm) -> None:
    assert alarms_of(register, 1 << bit) == (alarm,)


def test_unused_bits_have_no_name() -> None:
    assert alarms_of(1, 0b11100000 | 3 << 14) == ()
    assert alarms_of(2, 0xFFFFC0C0) == ()
    assert alarms_of(3, 0xFFFFFFFC) == ()


@pytest.mark.parametrize(("version", "registers"), HAS)
def test_reads_the_registers_of_the_profile(version: tuple[str, str], registers: tuple[int, ...]) -> None:
    played = PlayedMeter({REGISTER[1]: u32(0x91040203), REGISTER[2]: u32(0x3F), REGISTER[3]: u32(1)})
    result = play("ReadAlarmRegister", {}, meter_of(*version), played.answer).result
    first = {
        Alarm.CLOCK_INVALID,
        Alarm.REPLACE_BATTERY,
        Alarm.RAM_ERROR,
        Alarm.COMMUNICATION_ERROR_M_BUS_CHANNEL_3,
        Alarm.NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_1,
        Alarm.PHASE_OUTAGE_DETECTED_L1,
        Alarm.PHASE_OUTAGE_TEST_INDICATION,
    }
    second = {alarm for alarm in Alarm if alarm.startswith("VOLTAGE_")} if 2 in registers else set()
    third = {Alarm.LAST_GASP} if 3 in registers else set()
    assert set(result.alarms) == first | second | third
    assert len(result.alarms) == len(set(result.alarms))
    assert result.register_1 == 0x91040203
    assert result.register_2 == (0x3F if 2 in registers else None)
    assert result.register_3 == (1 if 3 in registers else None)
    assert [step.attribute for step in played.steps if hasattr(step, "attribute")] == [REGISTER[n] for n in registers]


def test_an_unknown_bit_shows_in_the_raw_number_only() -> None:
    result = play(
        "ReadAlarmRegister", {}, meter_of("SMR", "5.0.0"), PlayedMeter({REGISTER[1]: u32(0x21)}).answer
    ).result
    assert result.alarms == (Alarm.CLOCK_INVALID,)
    assert result.register_1 == 0x21


@pytest.mark.parametrize("value", [octets(b"\0\0\0\1"), Data(Tag.NULL_DATA, None), Data(Tag.DOUBLE_LONG, -1)])
def test_no_number_is_no_answer(value: Data) -> None:
    with pytest.raises(MeterUnusable, match="ALARM_REGISTER_1"):
        play("ReadAlarmRegister", {}, meter_of("SMR", "5.0.0"), PlayedMeter({REGISTER[1]: value}).answer)


def test_a_refused_register_fails_the_whole_reading() -> None:
    with pytest.raises(MeterRefused):
        play("ReadAlarmRegister", {}, meter_of("SMR", "5.2"), PlayedMeter({REGISTER[1]: u32(1)}).answer)


@pytest.mark.parametrize(("version", "registers"), HAS)
def test_clears_the_registers_of_the_profile(version: tuple[str, str], registers: tuple[int, ...]) -> None:
    played = PlayedMeter({attribute: u32(7) for attribute in REGISTER.values()})
    result = play("ClearAlarmRegister", {}, meter_of(*version), played.answer).result
    assert result.cleared == registers
    for number, attribute in REGISTER.items():
        assert played.attributes[attribute] == u32(0 if number in registers else 7)


def test_the_first_refusal_ends_the_clearing() -> None:
    played = PlayedMeter(
        {attribute: u32(7) for attribute in REGISTER.values()}, refusals={REGISTER[2]: (3, "read-write-denied")}
    )
    with pytest.raises(MeterRefused, match="read-write-denied") as caught:
        play("ClearAlarmRegister", {}, meter_of("SMR", "5.5"), played.answer)
    assert caught.value.result == 3
    assert [played.attributes[REGISTER[n]].value for n in (1, 2, 3)] == [0, 7, 7]


def test_clearing_is_never_repeated_blindly() -> None:
    assert not catalogue()["ClearAlarmRegister"].repeatable


@pytest.mark.parametrize(("version", "registers"), HAS)
def test_registers_that_are_zero_hold_what_was_asked_for(version: tuple[str, str], registers: tuple[int, ...]) -> None:
    played = PlayedMeter({attribute: u32(0 if number in registers else 7) for number, attribute in REGISTER.items()})
    cleared = play("ClearAlarmRegister", {}, meter_of(*version), PlayedMeter(dict(played.attributes)).answer)
    assert play_verify("ClearAlarmRegister", {}, meter_of(*version), played.answer) == cleared
    assert cleared.result.cleared == registers
    assert played.steps == [Get(REGISTER[number]) for number in registers]


@pytest.mark.parametrize("alarmed", [(1,), (2,), (3,), (1, 3)])
def test_a_bit_that_is_set_tells_nothing(alarmed: tuple[int, ...]) -> None:
    played = PlayedMeter({attribute: u32(8 if number in alarmed else 0) for number, attribute in REGISTER.items()})
    found = play_verify("ClearAlarmRegister", {}, meter_of("SMR", "5.5"), played.answer)
    assert isinstance(found, CannotTell)
    assert [number for number in REGISTER if f"register {number} is 0x00000008" in found.why] == list(alarmed)


def test_a_register_that_is_no_number_is_to_be_read_again() -> None:
    with pytest.raises(MeterUnusable):
        play_verify(
            "ClearAlarmRegister", {}, meter_of("SMR", "5.0.0"), PlayedMeter({REGISTER[1]: octets(b"\0")}).answer
        )


@pytest.mark.parametrize("alarms", [0, 5])
def test_what_was_cleared_verifies_as_cleared(alarms: int) -> None:
    played = PlayedMeter({attribute: u32(alarms) for attribute in REGISTER.values()})
    done = play("ClearAlarmRegister", {}, meter_of("SMR", "5.5"), played.answer)
    assert isinstance(done, Answer)
    assert play_verify("ClearAlarmRegister", {}, meter_of("SMR", "5.5"), played.answer) == done
