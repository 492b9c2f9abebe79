"""What a device is: the fold of its log, one value of the table. Frozen, without clock or I/O.

The Avro record is `meterlog.DeviceState` (`schemas/avro/shared/DeviceState.avsc`). Its first field, `idle`, is the
first byte of the body, so a recovery decodes only the devices that have something to do.
"""

import struct
from dataclasses import dataclass
from typing import Final

from schemas._quick import quick
from schemas.records import Delegated, Fault, Lifecycle, Permit, Registration, Status

SETTLED_KEPT: Final = 64  # a caller repeating itself later than this is told so
FIRST_COUNTER: Final = 1
LAST_COUNTER: Final = 0xFFFF_FFFF  # the invocation counter of suite 0 has 32 bits (Green Book 9.2.3.3.7)

_SETTLED = struct.Struct(">16s8sqBHB")  # id, request digest, settled at, status, fault code, attempts
_STATUSES: Final = tuple(Status)  # stored by place: append to Status, never reorder it
_IDLE: Final = 10  # where a value says so: after C3 01 and 8 bytes of fingerprint


@quick
@dataclass(frozen=True, slots=True)
class Pending:
    """One accepted command that has no outcome yet, in work or not."""

    correlation_id: str
    operation: str
    command: bytes  # the caller's record, byte for byte
    digest: bytes  # 8 bytes of the request, to know a repeat from another request under the same id
    priority: int
    created_at: int
    received_at: int
    not_before: int = 0  # scheduled time, then the end of the back-off
    expires_at: int | None = None
    bypass_retry: bool = False
    attempts: int = 0  # jobs that carried it and ended; those that only looked are not counted
    fault: Fault | None = None  # of the last job that carried it
    doubt: Fault | None = None  # an attempt may have been carried out, its answer was lost: now it is only looked for
    looks: int = 0  # jobs that were to look and could not
    cancelled_by: str | None = None  # the Cancel that came while a worker had it
    delegated: Delegated | None = None  # whose it is, when this gateway carries it out for an M-Bus meter
    kept: bytes | None = None  # of a bundle: what its jobs obtained so far (`partial`)


def due_since(held: Pending) -> int:
    """Since when a command that is due has been: one that was scheduled, or backs off, waits for nobody until then."""
    return max(held.received_at, held.not_before)


@dataclass(frozen=True, slots=True)
class AttemptedAction:
    """An action of a bundle whose step that may not be repeated has begun. `action`: its place, from 0."""

    correlation_id: str
    action: int


@quick
@dataclass(frozen=True, slots=True)
class Flight:
    """The job that is out: one association at a time."""

    number: int
    dispatched_at: int
    deadline: int
    correlation_ids: tuple[str, ...]
    counter_from: int
    counter_to: int
    attempting: tuple[str, ...] = ()  # commands whose step that may not be repeated has begun
    gateway_id: str | None = None  # who carries it out for an M-Bus meter; None: a worker
    actions: tuple[AttemptedAction, ...] = ()  # actions of bundles whose step that may not be repeated has begun


@dataclass(frozen=True, slots=True)
class Served:
    """An M-Bus meter this gateway works for."""

    device_id: str
    number: int  # of the last job taken from it: none is taken twice
    channel: int


@quick
@dataclass(frozen=True, slots=True)
class Claim:
    """A request for a permit of the radio cell, or the permit it led to (`permits`)."""

    number: int
    cell_id: str
    priority: int  # as it was asked with
    again_at: int  # it is asked anew then, if nothing came
    granted: Permit | None = None  # in use while a job is out


@quick
@dataclass(frozen=True, slots=True)
class Device:
    """A device after `version` decisions."""

    idle: bool = True  # `at_rest`; first, see above
    device_id: str = ""
    version: int = 0
    registration: Registration | None = None  # None until AddDevice succeeded
    counter: int = FIRST_COUNTER  # next invocation counter not given to any job; never falls
    jobs: int = 0  # number of the last job
    flight: Flight | None = None
    queue: tuple[Pending, ...] = ()  # in order of arrival, those in flight included
    settled: bytes = b""  # ring of the last SETTLED_KEPT outcomes, oldest first, packed
    failures: int = 0  # jobs in a row that did not reach the meter
    unreachable_since: int | None = None
    lifecycle: Lifecycle = Lifecycle.NEW_IN_INVENTORY
    served: tuple[Served, ...] = ()  # of a gateway: the last 16, the latest last
    permits: int = 0  # number of the last request for a permit
    claim: Claim | None = None  # on the radio cell
    debug_until: int | None = None  # the frames of jobs dispatched before it are logged


@quick
@dataclass(frozen=True, slots=True)
class Settled:
    """What is remembered of a command with an outcome; never its result."""

    correlation_id: bytes  # the UUID's 16 bytes
    digest: bytes
    settled_at: int
    status: Status
    fault_code: int  # 0 = no fault, or a technical one without code
    attempts: int


def at_rest(device: Device) -> bool:
    """Whether it has nothing to do: nothing queued, nothing in flight, nothing asked of its cell."""
    return not device.queue and device.flight is None and device.claim is None


def is_idle(value: bytes) -> bool:
    """Whether a table value belongs to a device with nothing to do, without decoding it."""
    return value[_IDLE] == 1


def id_bytes(correlation_id: str) -> bytes:
    return bytes.fromhex(correlation_id.replace("-", ""))


def remember(ring: bytes, outcome: Settled) -> bytes:
    """The ring with one more outcome; the oldest falls out of a full one. No time in it lies before an earlier one,
    though topics come with times of their own: the oldest tells until when outcomes may have been forgotten.
    """
    last = _unpack(ring, len(ring) - _SETTLED.size).settled_at if ring else outcome.settled_at
    entry = _SETTLED.pack(
        outcome.correlation_id,
        outcome.digest,
        max(outcome.settled_at, last),
        _STATUSES.index(outcome.status),
        outcome.fault_code & 0xFFFF,
        min(outcome.attempts, 255),
    )
    return (ring + entry)[-SETTLED_KEPT * _SETTLED.size :]


def recall(ring: bytes, correlation_id: bytes) -> Settled | None:
    """The outcome of a command, if it is still remembered."""
    at = ring.find(correlation_id)
    while at >= 0:
        if at % _SETTLED.size == 0:
            return _unpack(ring, at)
        at = ring.find(correlation_id, at + 1)
    return None


def oldest(ring: bytes) -> Settled | None:
    """The outcome that falls out next, once the ring is full; None before."""
    return _unpack(ring, 0) if len(ring) >= SETTLED_KEPT * _SETTLED.size else None


def _unpack(ring: bytes, at: int) -> Settled:
    correlation_id, digest, settled_at, status, fault_code, attempts = _SETTLED.unpack_from(ring, at)
    return Settled(correlation_id, digest, settled_at, _STATUSES[status], fault_code, attempts)
