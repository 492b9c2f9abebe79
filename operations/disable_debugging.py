"""Stop logging the DLMS frames of a device; no meter is called. What was logged stays as long as it is kept.

Reference operations-reading 12, operations-managing 1.30. A session that has begun is logged to its end.
"""

from dataclasses import dataclass

from operations import Device, decided
from operations._rules import electricity_meter
from operations._steps import Answer
from schemas.records import DebuggingSet


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say."""


@dataclass(frozen=True, slots=True)
class Result:
    """Whether the device was in debug mode until now."""

    was_enabled: bool


@decided("DisableDebugging", in_any_lifecycle=True)
def decide(request: Request, device: Device) -> Answer[Result]:
    """Raises Rejected for an M-Bus meter: its frames are those of its gateway's sessions."""
    electricity_meter(request, device)
    was_enabled = device.debug_until is not None and device.at < device.debug_until
    return Answer(Result(was_enabled), facts=(DebuggingSet(None),))
