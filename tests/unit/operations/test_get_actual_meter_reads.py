"""GetActualMeterReads: operations-reading 6.1 and its worked cases."""

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest

from operations import Meter, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._profile import Profile
from operations._steps import Attribute, GetList
from schemas.records import CommandHeader, RegisterRead
from tests.unit.operations.conversation import (
    AMSTERDAM,
    CUBIC_METRES,
    DEVICE,
    VERSIONS,
    WATT_HOURS,
    PlayedMeter,
    clock,
    meter_of,
    millis,
    octets,
    play,
    u32,
    utc,
)

NAME = "GetActualMeterReads"
CLOCK = Attribute(8, bytes((0, 0, 1, 0, 0, 255)), 2)
ORDER = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]  # groups C and E
REGISTERS = [Attribute(3, bytes((1, 0, c, 8, e, 255)), 2) for c, e in ORDER]
TIME = "2024-07-01T10:00:00"


def played() -> PlayedMeter:
    values = {register: u32(1000 * n) for n, register in enumerate(REGISTERS, start=1)}
    return PlayedMeter({CLOCK: octets(clock(utc(TIME), AMSTERDAM)), **values, REGISTERS[0]: u32(123456)})


@pytest.mark.parametrize(("protocol", "version"), VERSIONS)
def test_clock_and_six_registers_in_one_list(protocol: str, version: str) -> None:
    meter = played()
    result = play(NAME, {}, meter_of(protocol, version), meter.answer).result
    assert meter.steps == [GetList((CLOCK, *REGISTERS))]
    assert result.log_time == utc(TIME)
    assert result.active_energy_import == Decimal("123.456")
    assert result.active_energy_import_tariff_one == 2
    assert result.active_energy_import_tariff_two == 3
    assert result.active_energy_export == 4
    assert result.active_energy_export_tariff_one == 5
    assert result.active_energy_export_tariff_two == 6


def test_null_and_refused_registers_are_none() -> None:
    meter = played()
    meter.attributes[REGISTERS[1]] = Data(Tag.NULL_DATA, None)
    meter.refusals[REGISTERS[2]] = (4, "object-undefined")
    result = play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer).result
    assert result.active_energy_import_tariff_one is None
    assert result.active_energy_import_tariff_two is None
    assert result.active_energy_export == 4


@pytest.mark.parametrize("tag", [Tag.LONG64_UNSIGNED, Tag.LONG_UNSIGNED, Tag.DOUBLE_LONG])
def test_any_integer_type_is_a_value(tag: Tag) -> None:
    meter = played()
    meter.attributes[REGISTERS[0]] = Data(tag, 1000)
    assert play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer).result.active_energy_import == 1


def test_a_value_of_another_type_is_unusable() -> None:
    meter = played()
    meter.attributes[REGISTERS[0]] = octets(b"1000")
    with pytest.raises(MeterUnusable, match="ACTIVE_ENERGY_IMPORT_TOTAL"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer)


@pytest.mark.parametrize(
    "time", [octets(bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")), Data(Tag.NULL_DATA, None), u32(1), octets(b"\0" * 5)]
)
def test_a_clock_without_time_is_unusable(time: Data) -> None:
    meter = played()
    meter.attributes[CLOCK] = time
    with pytest.raises(MeterUnusable):
        play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer)


def test_a_refused_clock_is_refused() -> None:
    meter = played()
    meter.refusals[CLOCK] = (3, "read-write-denied")
    with pytest.raises(MeterRefused, match="clock"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer)


def test_another_number_of_answers_is_unusable() -> None:
    with pytest.raises(MeterUnusable, match="7 attributes were asked for, 6 came"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), lambda step: played().answer(step)[:-1])


def _without_fixed_scalers() -> Meter:
    shipped = meter_of("SMR", "5.0.0")
    objects = {tag: replace(each, scaler_unit=None) for tag, each in shipped.profile.objects.items()}
    return replace(shipped, profile=Profile("SMR", "maker", MappingProxyType(objects)))


def test_scalers_the_profile_does_not_fix_are_read_after_their_value() -> None:
    meter = played()
    scaler = {replace(r, index=3): WATT_HOURS for r in REGISTERS}
    scaler[replace(REGISTERS[0], index=3)] = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, -2), Data(Tag.ENUMERATE, 30)))
    meter.attributes |= scaler
    result = play(NAME, {}, _without_fixed_scalers(), meter.answer).result
    (asked,) = meter.steps
    assert isinstance(asked, GetList)
    assert [each.index for each in asked.attributes] == [2, *[2, 3] * 6]
    assert result.active_energy_import == Decimal("1.23456")
    assert result.active_energy_export == 4


@pytest.mark.parametrize(
    "scaling", [CUBIC_METRES, Data(Tag.STRUCTURE, (Data(Tag.INTEGER, 0), Data(Tag.ENUMERATE, 0))), u32(1)]
)
def test_another_unit_than_watt_hours_is_unusable(scaling: Data) -> None:
    meter = played()
    meter.attributes |= {replace(r, index=3): scaling for r in REGISTERS}
    with pytest.raises(MeterUnusable):
        play(NAME, {}, _without_fixed_scalers(), meter.answer)


def test_an_object_the_profile_lacks_is_named() -> None:
    shipped = meter_of("SMR", "5.0.0").profile
    objects = {tag: each for tag, each in shipped.objects.items() if tag != "ACTIVE_ENERGY_EXPORT_RATE_2"}
    with pytest.raises(Rejected) as caught:
        catalogue()[NAME].check(replace(shipped, objects=objects))
    assert caught.value.code == 416
    assert str(caught.value) == "No address found for ACTIVE_ENERGY_EXPORT_RATE_2 in protocol SMR 5.0.0"


def test_reads_are_millionths() -> None:
    meter = played()
    meter.attributes[REGISTERS[5]] = Data(Tag.NULL_DATA, None)
    result = play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer).result
    declared = catalogue()[NAME].reads
    assert declared is not None
    (record,) = declared(CommandHeader("id", DEVICE, 0), result, 99)
    assert (record.device_id, record.correlation_id, record.received_at) == (DEVICE, "id", 99)
    assert getattr(record, "captured_at", None) == millis(TIME)
    registers: tuple[RegisterRead, ...] = getattr(record, "registers", ())
    assert registers[0] == RegisterRead("active_energy_import", "kWh", 123_456_000)
    assert registers[-1] == RegisterRead("active_energy_export_tariff_two", "kWh", None)
    assert len(registers) == 6
