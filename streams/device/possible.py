"""What a device can be asked as it stands: known, of a profile that has the object, and not to be left alone."""

from typing import Final

from operations import catalogue
from operations._errors import Rejected
from operations._profile import Profile, profile
from schemas.records import Fault, Registration
from streams.device import faults
from streams.device.limits import Limits
from streams.device.state import Device

REGISTERS: Final = "AddDevice"  # the one operation an unknown device can be asked


def profile_of(registration: Registration) -> Profile | None:
    try:
        return profile(registration.protocol, registration.protocol_version)
    except KeyError:
        return None


def unsupported(registration: Registration, operation: str) -> Fault | None:
    """The object of `operation` that the device's profile does not have."""
    found = catalogue().get(operation)
    if found is None or operation == REGISTERS:
        return None
    resolved = profile_of(registration)
    if resolved is None:
        return faults.unknown_profile(registration.protocol, registration.protocol_version)
    try:
        found.check(resolved)
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


def registration_pending(device: Device) -> bool:
    return any(held.operation == REGISTERS for held in device.queue)
