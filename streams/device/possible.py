"""What a device can be asked as it stands: known, of a profile that has the object, and not to be left alone."""

from collections.abc import Iterable
from typing import Any, Final

from operations import catalogue
from operations._errors import Rejected
from operations._profile import Profile, profile
from operations._rules import ELECTRICITY
from schemas.records import Fault, JobCommand, Registration
from streams.device import faults
from streams.device.limits import Limits
from streams.device.state import Device

REGISTERS: Final = "AddDevice"  # the one operation an unknown device can be asked


def profile_of(registration: Registration) -> Profile | None:
    try:
        return profile(registration.protocol, registration.protocol_version)
    except KeyError:
        return None


def unsupported(registration: Registration, operation: str, request: Any = None) -> Fault | None:
    """The object of `operation`, or of this `request` of it, that the device's profile does not have. What is asked of
    an M-Bus meter, its gateway must have.
    """
    found = catalogue().get(operation)
    if found is None or operation == REGISTERS or (is_mbus(registration) and found.connects):
        return None
    resolved = profile_of(registration)
    if resolved is None:
        return faults.unknown_profile(registration.protocol, registration.protocol_version)
    try:
        found.check(resolved, request)
    except Rejected as refused:
        return refused.fault()
    return None


def inactive(device: Device, operation: str, limits: Limits) -> Fault | None:
    """Where its life is, the platform leaves the device alone: a setting, off by default (reference 2.14, DESIGN).

    Looked at when a command comes and again when its turn does, for a device may be destroyed in between, or repaired.
    """
    if device.lifecycle not in limits.refused_lifecycles or device.registration is None:
        return None
    found = catalogue().get(operation)
    return None if found is not None and found.in_any_lifecycle else faults.inactive(device.lifecycle)


def asks_the_store(commands: Iterable[JobCommand]) -> bool:
    """Whether a job is to be carried out beside the store, not by a worker. Such an operation has it to itself."""
    return any((found := catalogue().get(each.operation)) is not None and found.of_store for each in commands)


def is_mbus(registration: Registration) -> bool:
    """Whether the device hangs on a gateway and has no association of its own."""
    return registration.device_type != ELECTRICITY


def gateway_of(registration: Registration) -> str | None:
    """Who carries out what an M-Bus meter is asked; None for an electricity meter, and for one that is not coupled."""
    return registration.gateway_id if is_mbus(registration) and registration.channel is not None else None


def no_room(waiting: int, held: int, more: int, limits: Limits) -> Fault | None:
    """Why a command of `more` bytes finds no place besides those that wait, `held` bytes of them."""
    if waiting >= limits.queue_commands:
        return faults.invalid("device_id", f"{waiting} commands wait at this device already")
    if held + more > limits.queue_bytes:
        return faults.invalid("device_id", f"the commands that wait at this device hold {held} bytes already")
    return None


def registration_pending(device: Device) -> bool:
    return any(held.operation == REGISTERS for held in device.queue)
