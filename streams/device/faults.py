"""The faults the streams themselves give; codes and names of reference `operations-managing.md` 2.16."""

from operations._errors import COMPONENT
from schemas._quick import replace
from schemas.records import Fault, Lifecycle


def _fault(code: int, name: str, message: str, field: str | None = None) -> Fault:
    text = f"{field}: {message}" if field else message
    return Fault(code=code, name=name, component=COMPONENT, message=text, field=field)


def invalid(field: str, reason: str) -> Fault:
    return _fault(401, "VALIDATION_ERROR", reason, field)


def unknown_device(device_id: str) -> Fault:
    return _fault(201, "UNKNOWN_DEVICE", f"there is no device {device_id!r}; register it with AddDevice", "device_id")


def existing_device(device_id: str) -> Fault:
    return _fault(204, "EXISTING_DEVICE", f"device {device_id!r} exists already", "device_id")


def no_gateway(device_id: str) -> Fault:
    reason = f"M-Bus meter {device_id!r} has no gateway, or no channel on it; couple it first"
    return _fault(220, "GATEWAY_DEVICE_NOT_SET_FOR_MBUS_DEVICE", reason, "device_id")


def unknown_gateway(gateway_id: str) -> Fault:
    return _fault(201, "UNKNOWN_DEVICE", f"there is no device {gateway_id!r}, the gateway", "gateway_id")


def invalid_gateway(gateway_id: str, device_type: str) -> Fault:
    reason = f"{gateway_id!r} is a {device_type}, not an electricity meter"
    return _fault(221, "GATEWAY_DEVICE_INVALID_FOR_MBUS_DEVICE", reason, "gateway_id")


def gateway_silent(gateway_id: str, number: int) -> Fault:
    return _fault(233, "RESPONSE_TIMEOUT", f"gateway {gateway_id!r} gave nothing back of job {number} in time")


def unknown_profile(protocol: str, version: str) -> Fault:
    name = "UNKNOWN_PROTOCOL_NAME_OR_VERSION_OR_VARIANT"
    return _fault(206, name, f"there is no profile of {protocol} {version}", "protocol_version")


def inactive(lifecycle: Lifecycle) -> Fault:
    reason = f"the device is {lifecycle}, and commands to such devices are refused; SetDeviceLifecycleStatus changes it"
    return _fault(207, "INACTIVE_DEVICE", reason, "device_id")


def unknown_operation(operation: str) -> Fault:
    return _fault(407, "UNSUPPORTED_DEVICE_ACTION", f"there is no operation {operation!r}", "operation")


def cancelled(by: str, last: Fault | None) -> Fault:
    """Why a command that was cancelled did not succeed; what its last attempt met lies behind it."""
    fault = _fault(0, "CANCELLED", f"cancelled by command {by}")
    return fault if last is None else replace(fault, inner=f"{last.name} ({last.code}): {last.message}")


def expired(expires_at: int) -> Fault:
    return _fault(417, "MAX_SCHEDULE_TIME_EXCEEDED", f"not begun before {expires_at} (ms since 1970 UTC)", "expires_at")


def too_late(expires_at: int, last: Fault | None) -> Fault:
    """Of a command whose time is over: the functional fault its last attempt met, when it met one; else 417, with the
    technical one behind it (reference 2.6). A 417 speaks of this command's time, not of a gateway's or a worker's.
    """
    late = expired(expires_at)
    if last is None or last.code == late.code:
        return late
    return last if last.code else replace(late, inner=f"{last.name}: {last.message}")


def no_result(number: int) -> Fault:
    return _fault(233, "RESPONSE_TIMEOUT", f"job {number} had no result by its deadline")


def unverified(lost: Fault, why: Fault | None) -> Fault:
    """How the answer was lost, and inside why nobody could tell what the meter made of it."""
    return lost if why is None or why == lost else replace(lost, inner=f"not verified: {why.message}")


def not_told(what: str) -> Fault:
    return _fault(0, "TECHNICAL", what)


def counters_used_up() -> Fault:
    reason = "the invocation counters of the encryption key are used up; replace the key"
    return _fault(808, "ATTEMPT_TO_LOWER_INVOCATION_COUNTER", reason)


def floor_doubted(told: int, ours: int, met: Fault) -> Fault:
    reason = (
        f"the meter is said to expect invocation counter {told}, ours is {ours}: too far to be believed unseen; "
        "METERLOG_STREAMS_COUNTER_LEAP says how far is"
    )
    return replace(_fault(0, "COUNTER_DOUBTED", reason), inner=f"{met.name} ({met.code}): {met.message}")


def remembered(code: int) -> Fault:
    """Of an outcome told again: of the fault only its code was kept."""
    return _fault(code, "REMEMBERED", "as answered before; the response under the same correlation id says more")
