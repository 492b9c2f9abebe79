"""Operations stepped by hand, as the session does: every step is shown to a meter made of a function."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from operations import Meter, build_request, catalogue
from operations._cosem_time import encode_local
from operations._data import Data, Tag
from operations._errors import MeterRefused
from operations._profile import profile, profiles
from operations._steps import Answer, Attribute, Get, GetList, Now, ReadRows, Refusal, Set, Step

DEVICE = "E0049007469584219"
AMSTERDAM = "Europe/Amsterdam"
NOW = datetime(2024, 7, 1, 10, 0, 0, 420_000, tzinfo=UTC)
VERSIONS = list(profiles())
OBJECT_UNDEFINED = (4, "object-undefined")
WATT_HOURS = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, 0), Data(Tag.ENUMERATE, 30)))
CUBIC_METRES = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, -3), Data(Tag.ENUMERATE, 13)))


def meter_of(protocol: str, version: str, **settings: Any) -> Meter:
    return Meter(DEVICE, profile(protocol, version), **settings)


def octets(value: bytes) -> Data:
    return Data(Tag.OCTET_STRING, value)


def u32(value: int) -> Data:
    return Data(Tag.DOUBLE_LONG_UNSIGNED, value)


def clock(moment: datetime, zone: str = "UTC") -> bytes:
    return encode_local(moment.astimezone(ZoneInfo(zone)))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def millis(text: str) -> int:
    return (utc(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@dataclass
class PlayedMeter:
    """Attributes by address; rows of every buffer. What is not here is refused as undefined, or as `refusals` says."""

    attributes: dict[Attribute, Data] = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    refusals: dict[Attribute, tuple[int, str]] = field(default_factory=dict)
    now: datetime = NOW
    steps: list[Step] = field(default_factory=list)

    def answer(self, step: Step) -> Any:
        self.steps.append(step)
        match step:
            case Now():
                return self.now
            case Get(attribute):
                return self._get(attribute)
            case GetList(attributes):
                return [self._listed(attribute) for attribute in attributes]
            case ReadRows(buffer):
                self._check(buffer)
                return self.rows
            case Set(attribute, value):
                self._check(attribute)
                self.attributes[attribute] = value
                return None
        raise AssertionError(f"{step} is not for a meter")

    def _check(self, attribute: Attribute) -> None:
        if attribute in self.refusals:
            raise MeterRefused(*self.refusals[attribute], str(attribute))

    def _get(self, attribute: Attribute) -> Data:
        self._check(attribute)
        if attribute not in self.attributes:
            raise MeterRefused(*OBJECT_UNDEFINED, str(attribute))
        return self.attributes[attribute]

    def _listed(self, attribute: Attribute) -> Data | Refusal:
        try:
            return self._get(attribute)
        except MeterRefused as refused:
            return Refusal(refused.result, refused.result_name)


def play(name: str, request: dict[str, Any], meter: Meter, answer: Callable[[Step], Any]) -> Answer[Any]:
    """Run an operation to its end; a MeterRefused of `answer` is thrown in, as the session does."""
    begin = catalogue()[name].steps
    assert begin is not None
    result: Answer[Any] = converse(begin(build_request(name, request), meter), answer)
    return result


def play_verify(name: str, request: dict[str, Any], meter: Meter, answer: Callable[[Step], Any]) -> Any:
    """Run the verifying conversation of an operation to its end."""
    verify = catalogue()[name].verify
    assert verify is not None
    return converse(verify(build_request(name, request), meter), answer)


def converse(steps: Generator[Step, Any, Any], answer: Callable[[Step], Any]) -> Any:
    send: Any = None
    refused: MeterRefused | None = None
    while True:
        try:
            step = steps.throw(refused) if refused else steps.send(send)
        except StopIteration as end:
            return end.value
        send, refused = None, None
        try:
            send = answer(step)
        except MeterRefused as error:
            refused = error
