"""Say where a device is in its life: in stock, in use, destroyed; no meter is called.

Reference operations-managing 1.32 and 2.14: any state may follow any other. Whether a state keeps commands away from
the meter is a setting of the platform (`METERLOG_STREAMS_REFUSED_LIFECYCLES`), so this one is taken in any state.
"""

from dataclasses import dataclass

from operations import Device, decided
from operations._steps import Answer
from schemas.records import Lifecycle, LifecycleSet


@dataclass(frozen=True, slots=True)
class Request:
    """The state the device is in from now on."""

    status: Lifecycle


@dataclass(frozen=True, slots=True)
class Result:
    """The state it was in before."""

    previous: Lifecycle


@decided("SetDeviceLifecycleStatus", in_any_lifecycle=True)
def decide(request: Request, device: Device) -> Answer[Result]:
    """Refuses nothing."""
    return Answer(Result(device.lifecycle), facts=(LifecycleSet(request.status),))
