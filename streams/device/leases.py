"""How long a job may be out before it counts as lost."""

from typing import Final

from operations import catalogue
from streams.device.limits import Limits
from streams.device.state import Device, Pending

NEVER: Final = 1 << 62


def seconds_of(held: Pending, limits: Limits) -> int:
    """What a command's operation may take with the meter."""
    found = catalogue().get(held.operation)
    return min(found.seconds, limits.operation_seconds) if found is not None else 0


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
