"""Commands that may not be repeated, and whose answer was lost: doubted, looked for, and seen done, seen not done, or
Unknown.

A job that only looks (the operation's `verify`) may itself be repeated: it has as many tries as an attempt has, with
the same back-off. What ends the command meanwhile ends it as Unknown, under the fault that brought the doubt
(`outcome.settled`).

`bypass_retry` forbids to do something again, not to look once: its caller wants to know the outcome of the one
attempt. So there is one look, without another try when the meter does not answer it, and no other attempt when it shows
that nothing was done.
"""

from dataclasses import replace

from operations import catalogue
from schemas.records import CommandEnded, Ended, Fault, Status
from streams.device import partial
from streams.device.events import (
    AttemptBegun,
    AttemptDisproved,
    CommandDoubted,
    CommandReturned,
    CommandSettled,
    Event,
    Judged,
    ResultReported,
    ReturnReceived,
    VerifyPostponed,
)
from streams.device.leases import repeatable
from streams.device.limits import Limits
from streams.device.outcome import again, next_try, settled
from streams.device.state import Device, Pending


def begun_unread(device: Device) -> list[AttemptBegun]:
    """What the job in flight may have begun, where its announcements were deleted unread: everything in it that may not
    be repeated, but what it only looks for.
    """
    flight = device.flight
    if flight is None or flight.gateway_id is not None:  # a gateway does not say what it begins
        return []
    events = []
    for held in device.queue:
        name = held.correlation_id
        if name not in flight.correlation_ids or name in flight.attempting or held.doubt is not None:
            continue
        if not repeatable(held):
            events.append(AttemptBegun(flight.number, name))
        known = {each.action for each in flight.actions if each.correlation_id == name}
        events += [AttemptBegun(flight.number, name, place) for place in partial.unrepeatable(held) - known]
    return events


def doubted(
    held: Pending, fault: Fault, message: Judged, limits: Limits
) -> CommandDoubted | CommandSettled | CommandReturned:
    """After an attempt of which nobody knows whether it was carried out."""
    attempts = held.attempts + 1
    not_before = next_try(held, 0, message, limits)
    if not _verifiable(held) or _too_late(held, not_before):
        return settled(held, Status.UNKNOWN, fault, message.at, attempts=attempts)
    return CommandDoubted(held.correlation_id, not_before, attempts, fault)


def looked(
    held: Pending,
    outcome: CommandEnded,
    message: ResultReported | ReturnReceived,
    limits: Limits,
    rest: int | None = None,
) -> list[Event]:
    """After a job that was to look for a command in doubt. `rest`: as in `next_try`."""
    match outcome.ended:
        case Ended.SUCCESSFUL:
            return [settled(held, Status.SUCCESSFUL, None, message.at, large_result=outcome.large_result)]
        case Ended.NOT_DONE:
            # The attempt in doubt was counted when it came into doubt.
            sure = replace(held, doubt=None, attempts=held.attempts - 1)
            return [AttemptDisproved(held.correlation_id), again(sure, held.doubt, message, limits)]
        case Ended.UNKNOWN | Ended.FAILED:
            return [settled(held, Status.UNKNOWN, outcome.fault, message.at)]
        case Ended.RETRIABLE:
            return [look_again(held, outcome.fault, message, limits)]
        case Ended.NOT_STARTED:
            return [look_again(held, outcome.fault or held.fault, message, limits, tried=False, rest=rest)]


def look_again(
    held: Pending,
    fault: Fault | None,
    message: Judged,
    limits: Limits,
    *,
    tried: bool = True,
    rest: int | None = None,
) -> VerifyPostponed | CommandSettled | CommandReturned:
    """Another look, unless that was the last one or the next would come too late."""
    looks = held.looks + tried
    not_before = next_try(held, held.looks, message, limits, rest)
    last = tried and (held.bypass_retry or looks >= limits.attempts)
    if last or _too_late(held, not_before):
        return settled(held, Status.UNKNOWN, fault, message.at)
    return VerifyPostponed(held.correlation_id, not_before, looks, fault)


def _too_late(held: Pending, not_before: int) -> bool:
    return held.expires_at is not None and not_before >= held.expires_at


def _verifiable(held: Pending) -> bool:
    found = catalogue().get(held.operation)
    return found is not None and found.verify is not None
