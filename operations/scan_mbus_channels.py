"""Read who is on each of the four M-Bus channels, as the meter's M-Bus clients know it.

Reference operations-reading 5, meter-model 15.2. Whether an identification number is written as BCD or as a plain
number hangs on the version of the client in the profile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from operations import Meter, operation
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable
from operations._profile import CHANNELS
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, GetList, Refusal, Steps
from operations._values import number

CLIENT: Final = "MBUS_CLIENT"
FIELDS: Final = {6: "identification_number", 7: "manufacturer_id", 8: "version", 9: "device_type"}
LETTERS: Final = range(1, 27)


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say: all four channels are scanned."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What a channel's client says of its meter; null where it says nothing. A free channel: identification 00000000,
    no manufacturer, 0 and 0.
    """

    channel: int  # 1 to 4
    identification_number: str | None  # 8 digits; a text that says so when the meter's number is none
    manufacturer_identification: str | None  # three letters
    version_identification: int | None
    device_type_identification: int | None  # 3 gas, 7 water ...


@dataclass(frozen=True, slots=True)
class Result:
    """Always four entries, channel 1 first."""

    channels: tuple[Channel, ...]


@operation(
    "ScanMbusChannels",
    needs=tuple(f"{CLIENT}_{channel}" for channel in CHANNELS),
    repeatable=True,
    seconds=60,
    frames=ASSOCIATION + 18,  # 16 attributes one by one, or a list in blocks
    decide=electricity_meter,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """All or nothing. Raises MeterRefused naming the field and channel that are refused, MeterUnusable for one of
    another type, and for a manufacturer that is no three letters.
    """
    clients = [meter.profile.on_channel(CLIENT, channel) for channel in CHANNELS]
    asked = tuple(client.at(index) for client in clients for index in FIELDS)
    answers: list[Data | Refusal] = yield GetList(asked)
    if len(answers) != len(asked):
        raise MeterUnusable(f"{len(asked)} attributes were asked for, {len(answers)} came")
    rest = iter(answers)
    channels = []
    for channel, client in zip(CHANNELS, clients, strict=True):
        identification, manufacturer, version, device_type = _read(rest, channel)
        channels.append(
            Channel(
                channel,
                _identification(identification, client.version, channel),
                _manufacturer(number(manufacturer, f"manufacturer_id of channel {channel}"), channel),
                number(version, f"version of channel {channel}"),
                number(device_type, f"device_type of channel {channel}"),
            )
        )
    return Answer(Result(tuple(channels)))


def _read(rest: Iterator[Data | Refusal], channel: int) -> list[Data]:
    """The next four answers."""
    found = []
    for name in FIELDS.values():
        answer = next(rest)
        if isinstance(answer, Refusal):
            raise MeterRefused(answer.result, answer.name, f"{name} of channel {channel}")
        found.append(answer)
    return found


def _identification(data: Data, client_version: int, channel: int) -> str | None:
    """Eight digits: those of the number in hexadecimal up to version 0 of the client (BCD), in decimal from 1 on."""
    value = number(data, f"identification_number of channel {channel}")
    if value is None:
        return None
    digits = f"{value:08X}" if client_version == 0 else f"{value:08d}"
    if len(digits) == 8 and digits.isdigit():
        return digits
    return f"{Tag(data.tag).name} Value: {value} (Cannot not be correctly interpreted)"  # sic: operations-reading 5


def _manufacturer(value: int | None, channel: int) -> str | None:
    """Three letters of five bits each; 0 is none."""
    if not value:
        return None
    letters = value >> 10, value >> 5 & 31, value & 31
    if not all(letter in LETTERS for letter in letters):
        raise MeterUnusable(f"manufacturer_id of channel {channel}: {value} is no three letters")
    return "".join(chr(64 + letter) for letter in letters)
