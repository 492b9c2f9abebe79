"""ScanMbusChannels: operations-reading 5 and its worked cases."""

from typing import Any

import pytest

from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable
from operations._steps import Attribute, GetList
from operations.scan_mbus_channels import Channel
from tests.unit.operations.conversation import VERSIONS, PlayedMeter, meter_of, octets, play, u32

NAME = "ScanMbusChannels"
LGB = 12514
FREE = ("00000000", None, 0, 0)
BCD = [each for each in VERSIONS if each[1] in ("2.2", "4.2.2", "4.3")]
PLAIN = [each for each in VERSIONS if each[1].startswith("5")]
versions = pytest.mark.parametrize(("protocol", "version"), VERSIONS)


def address(channel: int, index: int) -> Attribute:
    return Attribute(72, bytes((0, channel, 24, 1, 0, 255)), index)


def scanned(protocol: str, version: str, *first: Any) -> PlayedMeter:
    """`first`: identification, manufacturer, version, device type of channel 1; the others are free."""
    tags = (Tag.DOUBLE_LONG_UNSIGNED, Tag.LONG_UNSIGNED, Tag.UNSIGNED, Tag.UNSIGNED)
    values = {(1, index): value for index, value in enumerate(first, start=6)}
    return PlayedMeter(
        {
            address(channel, index): value if isinstance(value, Data) else Data(tag, value)
            for channel in (1, 2, 3, 4)
            for index, tag in enumerate(tags, start=6)
            for value in (values.get((channel, index), 0),)
        }
    )


@versions
def test_a_gas_meter_on_channel_1(protocol: str, version: str) -> None:
    identification = 0x12056731 if (protocol, version) in BCD else 12056731
    meter = scanned(protocol, version, identification, LGB, 66, 3)
    result = play(NAME, {}, meter_of(protocol, version), meter.answer).result
    assert meter.steps == [
        GetList(tuple(address(channel, index) for channel in (1, 2, 3, 4) for index in (6, 7, 8, 9)))
    ]
    assert result.channels == (Channel(1, "12056731", "LGB", 66, 3), *(Channel(n, *FREE) for n in (2, 3, 4)))


@pytest.mark.parametrize(("protocol", "version"), BCD)
def test_a_number_that_is_no_bcd_is_told_as_it_is(protocol: str, version: str) -> None:
    meter = scanned(protocol, version, 0xA2056731, LGB, 66, 3)
    first = play(NAME, {}, meter_of(protocol, version), meter.answer).result.channels[0]
    text = "DOUBLE_LONG_UNSIGNED Value: 2718263089 (Cannot not be correctly interpreted)"
    assert first == Channel(1, text, "LGB", 66, 3)


@pytest.mark.parametrize(("protocol", "version"), PLAIN)
def test_a_plain_number_of_more_than_eight_digits(protocol: str, version: str) -> None:
    meter = scanned(protocol, version, 302_289_504, LGB, 66, 3)
    first = play(NAME, {}, meter_of(protocol, version), meter.answer).result.channels[0]
    assert first.identification_number == "DOUBLE_LONG_UNSIGNED Value: 302289504 (Cannot not be correctly interpreted)"


def test_null_data_is_null() -> None:
    nothing = Data(Tag.NULL_DATA, None)
    meter = scanned("SMR", "5.0.0", nothing, nothing, nothing, nothing)
    assert play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer).result.channels[0] == Channel(
        1, None, None, None, None
    )


@pytest.mark.parametrize(("code", "letters"), [(1057, "AAA"), (27482, "ZZZ"), (12514, "LGB"), (13703, "MLG")])
def test_manufacturers_are_three_letters(code: int, letters: str) -> None:
    meter = scanned("SMR", "5.0.0", 1, code, 0, 0)
    found = play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer).result.channels[0]
    assert found.manufacturer_identification == letters


@pytest.mark.parametrize("code", [1, 1056, 27483, 27488, 65_535])
def test_a_manufacturer_that_is_no_three_letters_fails_the_request(code: int) -> None:
    with pytest.raises(MeterUnusable, match=f"manufacturer_id of channel 1: {code}"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), scanned("SMR", "5.0.0", 1, code, 0, 0).answer)


@pytest.mark.parametrize(
    ("channel", "index", "field"), [(1, 6, "identification_number"), (3, 7, "manufacturer_id"), (4, 9, "device_type")]
)
def test_a_refusal_names_field_and_channel(channel: int, index: int, field: str) -> None:
    meter = scanned("SMR", "5.0.0")
    meter.refusals[address(channel, index)] = (11, "object-unavailable")
    with pytest.raises(MeterRefused, match=rf"{field} of channel {channel}: object-unavailable \(11\)"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer)


def test_another_number_of_answers_and_another_type_are_unusable() -> None:
    with pytest.raises(MeterUnusable, match="16 attributes were asked for, 15 came"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), lambda step: scanned("SMR", "5.0.0").answer(step)[:-1])
    with pytest.raises(MeterUnusable, match="version of channel 1"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), scanned("SMR", "5.0.0", 1, LGB, octets(b"B"), 3).answer)
    with pytest.raises(MeterUnusable, match="identification_number of channel 1"):
        play(NAME, {}, meter_of("SMR", "5.0.0"), scanned("SMR", "5.0.0", octets(b"12056731")).answer)


def test_any_integer_type_is_a_number() -> None:
    meter = scanned("SMR", "5.0.0", Data(Tag.LONG64_UNSIGNED, 12056731), u32(LGB), Data(Tag.LONG_UNSIGNED, 66))
    assert play(NAME, {}, meter_of("SMR", "5.0.0"), meter.answer).result.channels[0] == Channel(
        1, "12056731", "LGB", 66, 0
    )
