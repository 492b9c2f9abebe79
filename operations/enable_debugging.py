"""Log the frames of a device's sessions for a while, readable and without secrets; no meter is called.

Reference operations-reading 12, operations-managing 1.30. There the flag stays until somebody takes it back. Here it
ends by itself, a day later unless said otherwise: a forgotten one would log every session of the device for ever.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from operations import Device, decided
from operations._errors import Rejected
from operations._rules import electricity_meter
from operations._steps import Answer
from schemas.records import DebuggingSet

HOURS: Final = range(1, 169)  # a week; whoever needs longer asks again
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Request:
    """How long, counted from when the command is carried out."""

    hours: int = 24

    def __post_init__(self) -> None:
        if self.hours not in HOURS:
            raise Rejected(f"{self.hours} is not within {HOURS[0]} and {HOURS[-1]}", field="hours")


@dataclass(frozen=True, slots=True)
class Result:
    """Sessions that begin before this moment are logged."""

    until: datetime


@decided("EnableDebugging", in_any_lifecycle=True)
def decide(request: Request, device: Device) -> Answer[Result]:
    """Raises Rejected for an M-Bus meter: its frames are those of its gateway's sessions."""
    electricity_meter(request, device)
    until = device.at + request.hours * 3_600_000
    return Answer(Result(_EPOCH + timedelta(milliseconds=until)), facts=(DebuggingSet(until),))
