"""GetActualPowerQuality: operations-reading 14.2 and its worked cases."""

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from operations import Meter, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._profile import CosemObject
from operations._steps import Attribute, GetList
from schemas.records import CommandHeader, RegisterRead, RegisterReads
from tests.unit.operations.association import structure
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

NAME = "GetActualPowerQuality"
CLOCK = Attribute(8, bytes((0, 0, 1, 0, 0, 255)), 2)
TIME = "2024-07-01T10:00:00"
COUNTS = {("PUBLIC", False): 7, ("PUBLIC", True): 15, ("PRIVATE", False): 12, ("PRIVATE", True): 28}
DSMR_22 = {("PUBLIC", False): 7, ("PUBLIC", True): 15, ("PRIVATE", False): 3, ("PRIVATE", True): 5}
MATRIX = [(*version, *asked) for version in VERSIONS for asked in COUNTS]
READ_SCALER = ("4.2.2", "4.3")  # of the instantaneous voltage


def asked(kind: str = "PUBLIC") -> dict[str, Any]:
    return {"profile_type": kind}


def u16(value: int) -> Data:
    return Data(Tag.LONG_UNSIGNED, value)


def played(device: Meter, scaler: int = -1) -> PlayedMeter:
    """A meter whose values count up in the order of its profile; scalers it is asked for are volts."""
    values = {
        each.at(2): u16(1000 + n) for n, each in enumerate(device.profile.objects.values()) if each.class_id in (1, 3)
    }
    volts = structure(Data(Tag.INTEGER, scaler), Data(Tag.ENUMERATE, 35))
    scalers = {each.at(3): volts for each in device.profile.objects.values() if each.class_id == 3}
    return PlayedMeter({**values, **scalers, CLOCK: octets(clock(utc(TIME), AMSTERDAM))})


@pytest.mark.parametrize(("protocol", "version", "kind", "polyphase"), MATRIX)
def test_what_every_version_has(protocol: str, version: str, kind: str, polyphase: bool) -> None:
    device = meter_of(protocol, version, polyphase=polyphase)
    meter = played(device)
    result = play(NAME, asked(kind), device, meter.answer).result
    count = (DSMR_22 if version == "2.2" else COUNTS)[kind, polyphase]
    assert (result.log_time, 1 + len(result.values)) == (utc(TIME), count)
    (step,) = meter.steps
    assert isinstance(step, GetList)
    scalers = [each for each in step.attributes if each.index == 3]
    assert len(step.attributes) == count + len(scalers)
    voltages = (3 if polyphase else 1) if kind == "PUBLIC" and version in READ_SCALER else 0
    assert len(scalers) == voltages
    assert None not in {each.value for each in result.values}
    phases = {each.quantity[-2:] for each in result.values} & {"l1", "l2", "l3"}
    assert phases <= ({"l1", "l2", "l3"} if polyphase else {"l1"})


def test_public_single_phase() -> None:
    device = meter_of("SMR", "5.0.0")
    result = play(NAME, asked(), device, played(device).answer).result
    assert {(each.quantity, each.logical_name, each.unit) for each in result.values} == {
        ("instantaneous_voltage_l1", "1-0:32.7.0.255", "V"),
        ("average_voltage_l1", "1-0:32.24.0.255", "V"),
        ("number_of_power_failures", "0-0:96.7.21.255", None),
        ("number_of_long_power_failures", "0-0:96.7.9.255", None),
        ("number_of_voltage_sags_l1", "1-0:32.32.0.255", None),
        ("number_of_voltage_swells_l1", "1-0:32.36.0.255", None),
    }


def of(device: Meter, kind: str, tag: str, meter: PlayedMeter) -> Any:
    result = play(NAME, asked(kind), device, meter.answer).result
    return next(each for each in result.values if each.quantity == tag.lower())


@pytest.mark.parametrize(
    ("protocol", "version", "kind", "tag", "raw", "value", "unit"),
    [
        ("SMR", "5.0.0", "PUBLIC", "AVERAGE_VOLTAGE_L1", 2305, "230.5", "V"),
        ("DSMR", "4.2.2", "PUBLIC", "AVERAGE_VOLTAGE_L1", 230, "230", "V"),
        ("DSMR", "4.2.2", "PUBLIC", "INSTANTANEOUS_VOLTAGE_L1", 2305, "230.5", "V"),  # by the meter's own scaler
        ("SMR", "5.0.0", "PRIVATE", "INSTANTANEOUS_CURRENT_L1", 123, "1.23", "A"),
        ("DSMR", "4.2.2", "PRIVATE", "INSTANTANEOUS_CURRENT_L1", 3, "3", "A"),
        ("SMR", "5.2", "PRIVATE", "AVERAGE_REACTIVE_POWER_IMPORT_L1", 17, "17", "var"),
        ("SMR", "5.2", "PRIVATE", "AVERAGE_ACTIVE_POWER_IMPORT_L1", 417, "417", "W"),
        ("SMR", "5.2", "PUBLIC", "NUMBER_OF_POWER_FAILURES", 4, "4", None),
    ],
)  # fmt: skip
def test_values_are_exact_in_their_unit(
    protocol: str, version: str, kind: str, tag: str, raw: int, value: str, unit: str | None
) -> None:
    device = meter_of(protocol, version)
    meter = played(device)
    meter.attributes[device.profile[tag].at(2)] = u16(raw)
    found = of(device, kind, tag, meter)
    assert (found.value, found.unit) == (Decimal(value), unit)


def test_a_value_or_scaler_that_is_refused_or_null_is_no_value_and_the_others_stand() -> None:
    device = meter_of("DSMR", "4.2.2")
    voltage, average = (device.profile[f"{kind}_VOLTAGE_L1"] for kind in ("INSTANTANEOUS", "AVERAGE"))
    sags = device.profile["NUMBER_OF_VOLTAGE_SAGS_L1"]
    meter = played(device)
    meter.refusals = {voltage.at(3): (3, "read-write-denied"), average.at(2): (4, "object-undefined")}
    meter.attributes[sags.at(2)] = Data(Tag.NULL_DATA, None)
    result = play(NAME, asked(), device, meter.answer).result
    none = {each.quantity: each.unit for each in result.values if each.value is None}
    assert none == {"instantaneous_voltage_l1": None, "average_voltage_l1": "V", "number_of_voltage_sags_l1": None}
    assert len(result.values) == 6


def test_values_are_register_reads_dated_by_the_meter() -> None:
    device = meter_of("SMR", "5.0.0")
    meter = played(device)
    meter.attributes[device.profile["AVERAGE_VOLTAGE_L1"].at(2)] = u16(2305)
    meter.refusals[device.profile["NUMBER_OF_POWER_FAILURES"].at(2)] = (4, "object-undefined")
    reads = catalogue()[NAME].reads
    assert reads is not None
    (record,) = reads(CommandHeader("id", DEVICE, 0), play(NAME, asked(), device, meter.answer).result, 99)
    assert isinstance(record, RegisterReads)
    assert (record.captured_at, record.received_at, len(record.registers)) == (millis(TIME), 99, 6)
    assert RegisterRead("average_voltage_l1", "V", 230_500_000) in record.registers
    assert RegisterRead("number_of_power_failures", "", None) in record.registers


@pytest.mark.parametrize("time", [octets(bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")), Data(Tag.NULL_DATA, None), u16(1)])
def test_a_clock_without_time_is_unusable(time: Data) -> None:
    device = meter_of("SMR", "5.0.0")
    meter = played(device)
    meter.attributes[CLOCK] = time
    with pytest.raises(MeterUnusable):
        play(NAME, asked(), device, meter.answer)


def test_a_refused_clock_is_refused() -> None:
    device = meter_of("SMR", "5.0.0")
    meter = played(device)
    meter.refusals[CLOCK] = (3, "read-write-denied")
    with pytest.raises(MeterRefused, match="clock"):
        play(NAME, asked(), device, meter.answer)


def test_another_type_scaler_class_or_number_of_answers_is_unusable() -> None:
    device = meter_of("DSMR", "4.2.2")
    meter = played(device)
    meter.attributes[device.profile["AVERAGE_VOLTAGE_L1"].at(2)] = octets(b"230")
    with pytest.raises(MeterUnusable, match="AVERAGE_VOLTAGE_L1"):
        play(NAME, asked(), device, meter.answer)
    with pytest.raises(MeterUnusable, match="a scaler of -7 is finer than a millionth"):
        play(NAME, asked(), device, played(device, scaler=-7).answer)
    with pytest.raises(MeterUnusable, match="8 attributes were asked for, 7 came"):
        play(NAME, asked(), device, lambda step: played(device).answer(step)[:-1])
    tag = "AVERAGE_VOLTAGE_L1"
    other: dict[str, CosemObject] = {**device.profile.objects, tag: replace(device.profile[tag], class_id=4)}
    odd = replace(device, profile=replace(device.profile, objects=MappingProxyType(other)))
    with pytest.raises(MeterUnusable, match="AVERAGE_VOLTAGE_L1: values of class 4"):
        play(NAME, asked(), odd, played(device).answer)


@pytest.mark.parametrize("request_", [{}, {"profile_type": "SECRET"}])
def test_the_profile_type_is_public_or_private(request_: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        play(NAME, request_, meter_of("SMR", "5.0.0"), PlayedMeter().answer)
    assert (caught.value.code, caught.value.field) == (401, "profile_type")
