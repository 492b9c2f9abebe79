"""GetActualMeterReadsGas: operations-reading 6.2, the registers of 2.3 and the worked cases of 6.3."""

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest

from operations import Device, Meter, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._profile import Profile, ScalerUnit
from operations._steps import Attribute, GetList, Now
from schemas.records import CommandHeader, RegisterRead, RegisterReads
from tests.unit.operations.conversation import (
    AMSTERDAM,
    CUBIC_METRES,
    NOW,
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

NAME = "GetActualMeterReadsGas"
TIME = "2024-07-01T09:00:00"
GAS = "TESTG101205673117"
CHANNELS = (1, 2, 3, 4)


def register(channel: int, attribute: int = 2) -> Attribute:
    return Attribute(4, bytes((0, channel, 24, 2, 1, 255)), attribute)


def scaled(scaler: int, unit: int = 13) -> Data:
    return Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaler), Data(Tag.ENUMERATE, unit)))


def played(channel: int = 1) -> PlayedMeter:
    return PlayedMeter(
        {
            register(channel): u32(12345),
            register(channel, 3): CUBIC_METRES,
            register(channel, 5): octets(clock(utc(TIME), AMSTERDAM)),
        }
    )


def of_channel(channel: int = 1, protocol: str = "SMR", version: str = "5.0.0") -> Meter:
    return replace(meter_of(protocol, version, channel=channel), device_id=GAS)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("protocol", "version"), VERSIONS)
def test_value_time_and_scaler_of_the_channel(protocol: str, version: str, channel: int) -> None:
    meter = played(channel)
    result = play(NAME, {}, of_channel(channel, protocol, version), meter.answer).result
    assert meter.steps == [GetList((register(channel), register(channel, 5), register(channel, 3))), Now()]
    assert result.consumption == Decimal("12.345")
    assert result.capture_time == utc(TIME)
    assert result.log_time == NOW, "the head-end's time, not a meter's"


@pytest.mark.parametrize(
    ("scaling", "value"),
    [
        (scaled(-3), "12.345"),  # G4, G6
        (scaled(-2), "123.45"),  # G10, G16, G25
        (scaled(0, 14), "12345"),  # converted m3
        (scaled(-6), "0.012345"),
    ],
)
def test_the_gas_meter_says_its_scaler(scaling: Data, value: str) -> None:
    meter = played()
    meter.attributes[register(1, 3)] = scaling
    assert play(NAME, {}, of_channel(), meter.answer).result.consumption == Decimal(value)


def test_a_scaler_that_the_profile_fixes_is_not_asked_for() -> None:
    shipped = of_channel().profile
    fixed = replace(shipped["MBUS_VALUE_1"], scaler_unit=ScalerUnit(-2, 13))
    profile = Profile("SMR", "maker", MappingProxyType({**shipped.objects, "MBUS_VALUE_1": fixed}))
    meter = played()
    assert play(NAME, {}, replace(of_channel(), profile=profile), meter.answer).result.consumption == Decimal("123.45")
    assert meter.steps[0] == GetList((register(1), register(1, 5)))


def test_a_null_value_is_none_and_is_told_as_such() -> None:
    meter = played()
    meter.attributes[register(1)] = Data(Tag.NULL_DATA, None)
    result = play(NAME, {}, of_channel(), meter.answer).result
    assert result.consumption is None
    (record,) = reads(result)
    assert record.registers == (RegisterRead("consumption", "m3", None),)


@pytest.mark.parametrize("attribute", [2, 3, 5])
def test_a_refusal_is_a_refusal(attribute: int) -> None:
    """Nothing on the channel: meters answer object-unavailable (meter-model 15.1)."""
    meter = played()
    meter.refusals[register(1, attribute)] = (11, "object-unavailable")
    with pytest.raises(MeterRefused, match=r"object-unavailable"):
        play(NAME, {}, of_channel(), meter.answer)


@pytest.mark.parametrize("time", [octets(bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")), Data(Tag.NULL_DATA, None)])
def test_without_a_capture_time_nothing_is_told(time: Data) -> None:
    meter = played()
    meter.attributes[register(1, 5)] = time
    with pytest.raises(MeterUnusable, match="Unexpected null/unspecified value for M-Bus Capture Time"):
        play(NAME, {}, of_channel(), meter.answer)


@pytest.mark.parametrize("scaling", [WATT_HOURS, scaled(-3, 0), scaled(-7), scaled(100), u32(1)])
def test_what_is_no_volume_or_too_fine_or_too_large_is_unusable(scaling: Data) -> None:
    meter = played()
    meter.attributes[register(1, 3)] = scaling
    with pytest.raises(MeterUnusable):
        play(NAME, {}, of_channel(), meter.answer)


def test_another_number_of_answers_is_unusable() -> None:
    with pytest.raises(MeterUnusable, match="3 attributes were asked for, 2 came"):
        play(NAME, {}, of_channel(), lambda step: played().answer(step)[:-1])


@pytest.mark.parametrize("device_type", ["SMART_METER_G", "SMART_METER_W"])
@pytest.mark.parametrize(
    ("gateway", "channel", "reason"),
    [
        ("E" * 17, None, "Meter for gas reads should have a channel configured."),
        (None, 1, "Meter for gas reads should have an energy meter as gateway device."),
        (None, None, "Meter for gas reads should have a channel configured."),
        ("E" * 17, 1, None),
    ],
)
def test_only_a_meter_on_a_channel_of_a_gateway_is_read(
    gateway: str | None, channel: int | None, reason: str | None, device_type: str
) -> None:
    decide = catalogue()[NAME].decide
    assert decide is not None
    device = Device(GAS, registered=True, device_type=device_type, gateway_id=gateway, channel=channel)
    if reason is None:
        decide(None, device)
        return
    with pytest.raises(Rejected) as caught:
        decide(None, device)
    assert (caught.value.code, caught.value.reason) == (401, reason)


def test_a_conversation_without_a_channel_is_refused() -> None:
    with pytest.raises(Rejected, match="channel"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), played().answer)


def test_reads_are_the_gas_meters_dated_when_the_gateway_took_them() -> None:
    (record,) = reads(play(NAME, {}, of_channel(), played().answer).result)
    assert (record.device_id, record.correlation_id, record.received_at) == (GAS, "id", 99)
    assert record.captured_at == millis(TIME)
    assert record.registers == (RegisterRead("consumption", "m3", 12_345_000),)


def reads(result: object) -> list[RegisterReads]:
    declared = catalogue()[NAME].reads
    assert declared is not None
    return [each for each in declared(CommandHeader("id", GAS, 0), result, 99) if isinstance(each, RegisterReads)]
