"""What a received record says: a message for its device, or why it cannot be one. Reads bytes, decides nothing.

Whoever can be told is told (`Refusal`), whatever nobody can be asked about is set aside (`DeadLetter`). Raises for
nothing that can arrive.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from operations import catalogue
from schemas import headers
from schemas.codec import Unreadable, decode, decode_command, name_of, operation_of
from schemas.records import (
    DelegatedEnded,
    DelegatedJob,
    Fault,
    JobAttempting,
    JobEnded,
    PermitGranted,
    PermitRefused,
    Tick,
)
from streams.device import faults
from streams.device.accept import sane_time
from streams.device.events import (
    AttemptReported,
    CommandReceived,
    CommandRefused,
    GrantReceived,
    JobReceived,
    RefusalReceived,
    ResultReported,
    ReturnReceived,
)
from streams.device.limits import Limits
from streams.keeper import Received

_LONGEST_ID: Final = 200  # characters of a correlation id we repeat to the caller when it is not one


A = TypeVar("A", JobAttempting, DelegatedJob, PermitGranted)
B = TypeVar("B", JobEnded, DelegatedEnded, PermitRefused)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that could not be read as one of this device, with somebody to tell."""

    device_id: str
    refused: CommandRefused


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Bytes nobody can be asked about."""

    reason: str


def read_command(received: Received, limits: Limits) -> CommandReceived | Refusal | DeadLetter:
    """A record of the topic `commands`."""
    if len(received.value) > limits.record_bytes:
        reason = f"a record of {len(received.value)} bytes is larger than {limits.record_bytes}"
        return _unattributed(received, faults.invalid("request", reason))
    try:
        command = decode_command(received.value)
    except Unreadable as error:
        return _unattributed(received, faults.invalid("request", f"unreadable: {error.reason}"), unread=True)
    header = command.header
    fault: Fault | None = None
    if not received.key:
        fault = faults.invalid("key", "the record has none; it has to be the device identification")
    elif received.key != header.device_id.encode(errors="surrogatepass"):
        fault = faults.invalid("device_id", f"{header.device_id[:80]!r} is not the key of the record")
    if fault is not None:
        refused = CommandRefused(
            header.correlation_id[:_LONGEST_ID],
            command.operation,
            fault,
            sane_time(header.created_at),
            received.timestamp,
        )
        return Refusal(header.device_id, refused)
    return CommandReceived(header, command.operation, command.request, received.value, received.timestamp)


def read_result(received: Received, seed: int) -> AttemptReported | ResultReported | DeadLetter:
    """A record of the topic `job-results`."""
    record = _either(received, JobAttempting, JobEnded)
    if isinstance(record, JobAttempting):
        return AttemptReported(record)
    if isinstance(record, JobEnded):
        return ResultReported(record, received.timestamp, seed)
    return record


def read_message(received: Received, seed: int) -> JobReceived | ReturnReceived | DeadLetter:
    """A record of the topic `device-messages`."""
    record = _either(received, DelegatedJob, DelegatedEnded)
    if isinstance(record, DelegatedJob):
        return JobReceived(record, received.timestamp)
    if isinstance(record, DelegatedEnded):
        return ReturnReceived(record, received.timestamp, seed)
    return record


def read_permit(received: Received) -> GrantReceived | RefusalReceived | DeadLetter:
    """A record of the topic `permits`."""
    record = _either(received, PermitGranted, PermitRefused)
    if isinstance(record, PermitGranted):
        return GrantReceived(record.permit)
    if isinstance(record, PermitRefused):
        return RefusalReceived(record, received.timestamp)
    return record


def read_tick(received: Received) -> Tick | DeadLetter:
    """A record of the topic `ticks`."""
    try:
        record = decode(received.value)
    except Unreadable as error:
        return DeadLetter(error.reason)
    return record if isinstance(record, Tick) else DeadLetter(f"{type(record).__name__} is not a Tick")


def _either(received: Received, one: type[A], other: type[B]) -> A | B | DeadLetter:
    """A record of one of two classes, of the device that is its key."""
    try:
        record = decode(received.value)
    except Unreadable as error:
        return DeadLetter(error.reason)
    if not isinstance(record, (one, other)):
        return DeadLetter(f"{type(record).__name__} is neither {one.__name__} nor {other.__name__}")
    if record.device_id.encode(errors="surrogatepass") != received.key:
        return DeadLetter(f"device_id {record.device_id[:80]!r} is not the key of the record")
    return record


def _unattributed(received: Received, fault: Fault, *, unread: bool = False) -> Refusal | DeadLetter:
    """A command that cannot be decoded is still answered when its Kafka headers and its key say whose it is; an
    `unread` one of an operation that nobody knows is told that, as its schema cannot be known either.
    """
    said = headers.read(received.headers)
    correlation_id = (said.correlation_id or "").strip()[:_LONGEST_ID]
    try:
        device_id = received.key.decode()
    except UnicodeDecodeError:
        device_id = ""
    if not correlation_id or not device_id:
        return DeadLetter(fault.message)
    operation = (said.operation or "").strip()[:_LONGEST_ID] or _operation(received.value)
    if unread and operation and operation not in catalogue():
        fault = faults.unknown_operation(operation)
    return Refusal(device_id, CommandRefused(correlation_id, operation, fault, None, received.timestamp))


def _operation(value: bytes) -> str:
    try:
        return operation_of(name_of(value)) or ""
    except Unreadable:
        return ""
