"""How long a job may be out before it counts as lost."""

from functools import lru_cache
from typing import Final

from operations import Cost, build_request, catalogue
from operations._errors import OperationError
from schemas import codec
from streams.device.limits import Limits
from streams.device.state import Device, Pending

NEVER: Final = 1 << 62


def seconds_of(held: Pending, limits: Limits) -> int:
    """What a command's operation may take with the meter."""
    return min(cost_of(held).seconds, limits.operation_seconds)


def cost_of(held: Pending) -> Cost:
    """What a command may take: time with the meter, and invocation counters."""
    found = catalogue().get(held.operation)
    if found is None:
        return Cost(0, 0)
    if found.cost is None:
        return Cost(found.seconds, found.frames if found.connects else 0)
    return _cost_of(held.operation, held.command)


@lru_cache(maxsize=1_024)
def _cost_of(operation: str, command: bytes) -> Cost:
    """Of a request that it depends on. It was built when it was accepted; what another version cannot build any more is
    the worker's to refuse.
    """
    found = catalogue()[operation]
    try:
        return found.cost_of(build_request(operation, codec.decode_command(command).request))
    except (codec.Unreadable, OperationError):
        return Cost(found.seconds, found.frames)


def lease_end(device: Device, limits: Limits) -> int:
    """When the job in flight counts as lost, if its result has not come; NEVER when none is out.

    A gateway begins nothing after the deadline of an M-Bus meter's job, but what it began may take the time of the
    longest job, be judged after that one's grace, and the answer has a way to go.
    """
    flight = device.flight
    if flight is None:
        return NEVER
    if flight.gateway_id is None:
        return flight.deadline + limits.grace
    own = sum(seconds_of(held, limits) for held in device.queue if held.correlation_id in flight.correlation_ids)
    return flight.deadline + limits.connect + 1_000 * max(own, limits.seconds_a_job) + 2 * limits.grace


def repeatable(held: Pending) -> bool:
    """Whether it may be carried out again blindly."""
    found = catalogue().get(held.operation)
    return found is not None and found.repeatable
