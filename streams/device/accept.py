"""The rules a command meets when it arrives: is it well formed, new, in time, known, possible on this device, and is
there room.
"""

import re
from hashlib import blake2b
from typing import Any

from operations import build_request, catalogue
from operations._errors import OperationError
from operations._steps import Answer
from schemas.records import CORRELATION_ID, CommandHeader, Fault, Status
from streams.device import faults
from streams.device.decided import ask, carried_out, due_here
from streams.device.events import (
    CommandAccepted,
    CommandReceived,
    CommandRefused,
    CommandRepeated,
    Event,
)
from streams.device.limits import Limits
from streams.device.outcome import settled
from streams.device.possible import REGISTERS, inactive, no_room, registration_pending, unsupported
from streams.device.state import Device, Pending, id_bytes, oldest, recall

_DEVICE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._:-]{0,38}[A-Za-z0-9])?")
_PRIORITIES = range(0, 10)
_LONGEST_ID = 200  # characters of a correlation id that we repeat to the caller when it is not one
_TIMES = range(0, 1 << 53)  # JavaScript callers count no further
_REQUESTS_KEPT = 1_024
_LONGEST_KEPT = 1_024  # characters; a request that is longer is hardly asked of many

_requests: dict[str, Any] = {}  # frozen, so they may be shared: operation and mapping as text -> the request


def accept(device: Device, message: CommandReceived, limits: Limits) -> list[Event]:
    """What follows from a command: it is accepted, refused, expired, or a repeat."""
    header = message.header
    fault = malformed(header)
    if fault is not None:
        return [_refused(message, fault)]
    text = f"{message.operation} {message.request!r}"
    digest = digest_of(text)
    before = _said_before(device, message, digest)
    if before is not None:
        return [before]
    exists = device.version or message.operation == REGISTERS
    if header.expires_at is not None and header.expires_at <= message.at and exists:
        return [settled(pending(message, digest), Status.EXPIRED, faults.expired(header.expires_at), message.at)]
    said = _asked(device, message, text, limits)
    if isinstance(said, Answer):  # before the question of room: it takes none
        return carried_out(device, pending(message, digest), said, message.at)
    fault = said or _no_room(device, message, limits)
    if fault is None:
        return [
            CommandAccepted(
                correlation_id=header.correlation_id,
                operation=message.operation,
                command=message.record,
                digest=digest,
                priority=header.priority,
                created_at=header.created_at,
                received_at=message.at,
                not_before=header.scheduled_at or 0,
                expires_at=header.expires_at,
                bypass_retry=header.bypass_retry,
            )
        ]
    if device.version:  # a device that exists remembers, so that a repeat cannot have another outcome
        return [settled(pending(message, digest), Status.REJECTED, fault, message.at)]
    return [_refused(message, fault)]


def malformed(header: CommandHeader) -> Fault | None:
    """What is wrong with a header by itself."""
    if not CORRELATION_ID.fullmatch(header.correlation_id):
        return faults.invalid("correlation_id", f"{header.correlation_id[:80]!r} is not a UUID in lower case")
    if not _DEVICE_ID.fullmatch(header.device_id):
        return faults.invalid("device_id", f"{header.device_id[:80]!r} is not 1 to 40 letters, digits, spaces, . _ : -")
    if header.priority not in _PRIORITIES:
        return faults.invalid("priority", f"{header.priority} is not within 0 and 9")
    if header.created_at not in _TIMES:
        return faults.invalid("created_at", f"{header.created_at} is not a time in ms since 1970 UTC")
    for field, time in (("scheduled_at", header.scheduled_at), ("expires_at", header.expires_at)):
        if time is not None and time not in _TIMES:
            return faults.invalid(field, f"{time} is not a time in ms since 1970 UTC")
    if header.scheduled_at is not None and header.expires_at is not None and header.expires_at <= header.scheduled_at:
        return faults.invalid("expires_at", f"{header.expires_at} is not after scheduled_at ({header.scheduled_at})")
    return None


def sane_time(time: int) -> int | None:
    """A caller's time, if it is one that others can hold as well."""
    return time if time in _TIMES else None


def digest_of(text: str) -> bytes:
    """8 bytes by which a repeat of a request is known: the request alone, as callers may date or rank a repeat anew.

    `text`: the operation and the decoded mapping. Fields keep the schema's order, so it is the same for equal requests.
    """
    return blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def _built(message: CommandReceived, text: str) -> Any:
    """The request, checked. A campaign asks thousands of devices the same: it is built once.

    Raises OperationError.
    """
    found = _requests.get(text)
    if found is None:
        found = build_request(message.operation, message.request)
        if len(text) <= _LONGEST_KEPT:
            if len(_requests) == _REQUESTS_KEPT:
                _requests.clear()
            _requests[text] = found
    return found


def _said_before(device: Device, message: CommandReceived, digest: bytes) -> Event | None:
    header = message.header
    for held in device.queue:
        if held.correlation_id == header.correlation_id:
            if held.digest == digest:
                return _repeated(message, None, None, held.attempts, None)
            return _refused(message, faults.invalid("correlation_id", "another command in work has it"))
    known = recall(device.settled, id_bytes(header.correlation_id))
    if known is not None:
        if known.digest != digest:
            return _refused(message, faults.invalid("correlation_id", "an earlier command with another request has it"))
        told = None if known.status is Status.SUCCESSFUL else faults.remembered(known.fault_code)
        return _repeated(message, known.status, told, known.attempts, known.settled_at)
    last = oldest(device.settled)
    if last is not None and header.created_at <= last.settled_at:
        reason = f"{header.created_at} lies not after what the device remembers, so it may be a repeat; send it anew"
        return _refused(message, faults.invalid("created_at", reason))
    return None


def _asked(device: Device, message: CommandReceived, text: str, limits: Limits) -> Answer[object] | Fault | None:
    """What the operation says: why not, its answer when it needs no meter, None when its turn is still to come."""
    name, device_id = message.operation, message.header.device_id
    found = catalogue().get(name)
    if found is None:
        return faults.unknown_operation(name)
    registration = device.registration
    if name == REGISTERS:
        if registration is not None:
            return faults.existing_device(device_id)
    elif registration is None and not registration_pending(device):
        return faults.unknown_device(device_id)
    if registration is not None:
        fault = unsupported(registration, name) or inactive(device, name, limits)
        if fault is not None:
            return fault
    try:
        request = _built(message, text)
    except OperationError as refused:
        return refused.fault()
    except Exception as error:  # an operation's mistake must not stop all devices of the partition, again and again
        return faults.not_told(f"{name} failed to check the request: {type(error).__name__}: {error}")
    if found.needs_of is not None and registration is not None and (lacks := unsupported(registration, name, request)):
        return lacks
    if found.steps is None and not due_here(device, name, message.header.scheduled_at or 0, message.at):
        return None  # it is asked when its time has come
    return ask(device, name, request, message.at)


def _no_room(device: Device, message: CommandReceived, limits: Limits) -> Fault | None:
    held = sum(len(pending.command) for pending in device.queue)
    return no_room(len(device.queue), held, len(message.record), limits)


def pending(message: CommandReceived, digest: bytes) -> Pending:
    """The command as a device holds it."""
    header = message.header
    return Pending(
        correlation_id=header.correlation_id,
        operation=message.operation,
        command=message.record,
        digest=digest,
        priority=header.priority,
        created_at=header.created_at,
        received_at=message.at,
        not_before=header.scheduled_at or 0,
        expires_at=header.expires_at,
        bypass_retry=header.bypass_retry,
    )


def _refused(message: CommandReceived, fault: Fault) -> CommandRefused:
    header = message.header
    correlation_id = header.correlation_id[:_LONGEST_ID]
    return CommandRefused(correlation_id, message.operation, fault, sane_time(header.created_at), message.at)


def _repeated(
    message: CommandReceived, status: Status | None, fault: Fault | None, attempts: int, settled_at: int | None
) -> CommandRepeated:
    return CommandRepeated(
        correlation_id=message.header.correlation_id,
        operation=message.operation,
        status=status,
        fault=fault,
        attempts=attempts,
        created_at=message.header.created_at,
        received_at=message.at,
        settled_at=settled_at,
    )
