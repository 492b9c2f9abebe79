"""What follows from a message for a cell, and who is granted the next permits. Knows no clock, raises for nothing."""

from bisect import insort
from collections.abc import Sequence
from typing import assert_never

from schemas.records import Permit, PermitAsked, PermitReturned
from streams.cell.events import (
    Event,
    Message,
    PermitExpired,
    PermitFreed,
    PermitGiven,
    RequestQueued,
    RequestRefused,
    RequestWithdrawn,
    TimePassed,
)
from streams.cell.limits import NO_LIMIT, Bounds, CellLimits
from streams.cell.state import Cell, Waiting


def decide(cell: Cell, message: Message, limits: CellLimits) -> list[Event]:
    """The events of one decision; none for what is late or said before."""
    match message:
        case PermitAsked():
            return _asked(cell, message, limits)
        case PermitReturned(_, device_id, number, lapsed):
            if any(each.device_id == device_id and each.number == number for each in cell.waiting):
                return [RequestWithdrawn(device_id, number)]
            if any(each.device_id == device_id and each.number == number for each in cell.open):
                return [PermitFreed(device_id, number, lapsed)]
            return []
        case TimePassed(at):
            return [PermitExpired(each.device_id, each.number) for each in cell.open if each.until <= at]
        case _:
            assert_never(message)


def grant(cell: Cell, now: int, limits: CellLimits) -> list[Event]:
    """The next permits, as far as sessions and times are left: highest priority first, then oldest."""
    bounds = limits.of(cell.cell_id)
    free = len(cell.waiting) if bounds.sessions == NO_LIMIT else bounds.sessions - len(cell.open)
    if free <= 0 or not cell.waiting or bounds.connects == 0:
        return []
    events: list[Event] = []
    spaced = bounds.connects != NO_LIMIT
    floor, lead = max(cell.floor, now + limits.lead), limits.lead + cell.late
    earliest = max(floor, now + lead) if spaced else now
    taken = list(cell.connects)
    for waiting in sorted(cell.waiting, key=rank)[:free]:
        connects = _times(taken, earliest, waiting.connections, bounds, limits) if spaced else (now,)
        if connects[0] > now + lead + limits.ahead:
            break  # the next tick gives what comes then, to whoever is first by then
        for time in connects if spaced else ():
            insort(taken, time)
        within = limits.within if spaced else limits.unspaced
        permit = Permit(
            cell_id=cell.cell_id,
            number=waiting.number,
            connects=connects if spaced else connects * waiting.connections,
            within=within,
            until=connects[-1] + within + waiting.hold,
        )
        events.append(PermitGiven(waiting.device_id, permit, floor if spaced else cell.floor, spaced))
    return events


def rank(waiting: Waiting) -> tuple[int, int, str]:
    """Who goes first."""
    return -waiting.priority, waiting.since, waiting.device_id


def _asked(cell: Cell, asked: PermitAsked, limits: CellLimits) -> list[Event]:
    device_id = asked.device_id
    known = [each.number for each in cell.waiting if each.device_id == device_id]
    known += [each.number for each in cell.open if each.device_id == device_id]
    if any(number >= asked.number for number in known):
        return []  # said before
    # A device asks when it has no session, so a permit that it still has here is over.
    events: list[Event] = [PermitFreed(device_id, each.number) for each in cell.open if each.device_id == device_id]
    others = [each for each in cell.waiting if each.device_id != device_id]
    if len(others) < limits.waiting:
        return [*events, RequestQueued(asked)]
    last = max(others, key=rank)
    if rank(last) > (-asked.priority, asked.since, device_id):
        return [*events, RequestRefused(last.device_id, last.number), RequestQueued(asked)]
    events += [RequestWithdrawn(device_id, each.number) for each in cell.waiting if each.device_id == device_id]
    return [*events, RequestRefused(device_id, asked.number)]


def _times(
    taken: Sequence[int], earliest: int, connections: int, bounds: Bounds, limits: CellLimits
) -> tuple[int, ...]:
    """The first times for the connections of a session that lie far enough from all others."""
    spacing = limits.spacing(bounds)
    found: list[int] = []
    for _ in range(max(1, connections)):
        found.append(_gap(taken, found[-1] + limits.reconnect if found else earliest, spacing))
    return tuple(found)


def _gap(taken: Sequence[int], earliest: int, spacing: int) -> int:
    time = earliest
    for other in taken:  # in order
        if other - time >= spacing:
            break
        time = max(time, other + spacing)
    return time
