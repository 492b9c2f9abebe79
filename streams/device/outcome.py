"""What can become of an accepted command next: its outcome, or another attempt; and of those that hang on another's.

While it is in doubt whether an attempt was carried out (`doubt`), there are two outcomes only: Successful, when
somebody has seen that it was, and Unknown. Whatever else would end it then, an expiry or the last attempt at looking,
`settled` turns into Unknown, so that nobody is told Expired, Cancelled or Error of what may have happened.
"""

from collections.abc import Iterable
from zlib import crc32

from schemas.records import Ended, Fault, Registration, Status
from streams.device import faults, partial
from streams.device.events import CommandPostponed, CommandReturned, CommandSettled, Event, Judged
from streams.device.limits import Limits
from streams.device.possible import REGISTERS, unsupported
from streams.device.state import Device, Pending

_RETURNED = {  # how a gateway tells an outcome of its own judgement to the M-Bus meter
    Status.SUCCESSFUL: Ended.SUCCESSFUL,
    Status.ERROR: Ended.FAILED,
    Status.REJECTED: Ended.FAILED,
    Status.UNKNOWN: Ended.UNKNOWN,
    Status.EXPIRED: Ended.NOT_STARTED,
    Status.CANCELLED: Ended.NOT_STARTED,
}


def settled(
    held: Pending,
    status: Status,
    fault: Fault | None,
    at: int,
    *,
    attempts: int | None = None,
    large_result: str | None = None,
    result: bytes | None = None,
) -> CommandSettled | CommandReturned:
    """The outcome of an accepted command: as given, or Unknown with the fault that brought the doubt. One that is
    carried out for an M-Bus meter is given back: that is who settles it. A bundle that was answered in part tells that
    in any case (`partial`).
    """
    if held.delegated is not None:
        return returned(held, _RETURNED[status], fault, at, large_result)
    if held.kept is not None and status is not Status.SUCCESSFUL:
        result = partial.answer(held.kept)
        if result is not None and status in (Status.ERROR, Status.EXPIRED):
            status, fault = Status.SUCCESSFUL, None
    if held.doubt is not None and status is not Status.SUCCESSFUL:
        status, fault = Status.UNKNOWN, faults.unverified(held.doubt, fault)
    return CommandSettled(
        correlation_id=held.correlation_id,
        operation=held.operation,
        status=status,
        fault=fault,
        attempts=held.attempts if attempts is None else attempts,
        digest=held.digest,
        created_at=held.created_at,
        received_at=held.received_at,
        settled_at=at,
        large_result=large_result,
        result=result,
    )


def settled_in(events: Iterable[Event]) -> set[str]:
    """The commands that leave the queue by these events."""
    return {event.correlation_id for event in events if isinstance(event, CommandSettled | CommandReturned)}


def returned(
    held: Pending, ended: Ended, fault: Fault | None, at: int, large_result: str | None = None
) -> CommandReturned:
    """Back to the M-Bus meter whose command it is: that one says whether and when again."""
    assert held.delegated is not None
    return CommandReturned(held.correlation_id, held.delegated, held.operation, ended, fault, large_result, at)


def again(
    held: Pending,
    fault: Fault | None,
    message: Judged,
    limits: Limits,
    *,
    tried: bool = True,
    rest: int | None = None,
) -> CommandPostponed | CommandSettled | CommandReturned:
    """Back in the queue for another attempt, unless that was the last one, another is not wanted, or too late.

    A command that was not tried has had no attempt, so `bypass_retry` and the bound do not speak of it. `rest`: as in
    `next_try`.
    """
    at, attempts = message.at, held.attempts + tried
    if tried and (held.bypass_retry or attempts >= limits.attempts):
        return settled(held, Status.ERROR, fault, at, attempts=attempts)
    if held.cancelled_by is not None:
        return settled(held, Status.CANCELLED, faults.cancelled(held.cancelled_by, fault), at, attempts=attempts)
    not_before = next_try(held, held.attempts, message, limits, rest)
    if held.expires_at is not None and not_before >= held.expires_at:
        return settled(held, Status.EXPIRED, faults.too_late(held.expires_at, fault), at, attempts=attempts)
    return CommandPostponed(held.correlation_id, not_before, attempts, fault, held.kept)


def next_try(held: Pending, tries: int, message: Judged, limits: Limits, rest: int | None = None) -> int:
    """When a command may be tried, or looked for, again: after `rest`, ms, when it is given, else after the back-off of
    30 s x 2^tries, spread by the message's seed so that a street that failed together does not return together.
    """
    if rest is not None:
        return message.at + rest
    delay = limits.retry_delay << min(tries, 10)
    spread = crc32(held.correlation_id.encode(), message.seed & 0xFFFF_FFFF) / 0xFFFF_FFFF * 2 - 1
    return message.at + delay + int(delay * limits.retry_jitter * spread)


def orphans(device: Device, events: Iterable[Event], registration: Registration | None, at: int) -> list[Event]:
    """Commands that waited for the registration and learn now what it means for them.

    Without one, and with no AddDevice left that could bring it: unknown device. With one that has come just now: a
    second AddDevice is a duplicate, and what the profile does not have is refused.
    """
    if registration is not None and device.registration is not None:
        return []  # nobody waited
    gone = settled_in(events)
    left = [held for held in device.queue if held.correlation_id not in gone]
    found: list[Event] = []
    if registration is not None:
        for held in left:
            fault = (
                faults.existing_device(device.device_id)
                if held.operation == REGISTERS
                else unsupported(registration, held.operation)
            )
            if fault is not None:
                found.append(settled(held, Status.REJECTED, fault, at))
    elif not any(held.operation == REGISTERS for held in left):
        fault = faults.unknown_device(device.device_id)
        found += [settled(held, Status.REJECTED, fault, at) for held in left]
    return found
