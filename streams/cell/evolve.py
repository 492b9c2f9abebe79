"""What a cell is after an event. Refuses nothing: it has happened. The only place where a cell changes."""

from collections.abc import Iterable
from typing import Final, assert_never

from schemas._quick import replace
from streams.cell.events import (
    Event,
    PermitExpired,
    PermitFreed,
    PermitGiven,
    RequestQueued,
    RequestRefused,
    RequestWithdrawn,
)
from streams.cell.state import Cell, Open, Waiting

_KEPT: Final = 10_000  # ms below the floor: further than any spacing, so that what is given next keeps its distance

_LATER: Final = 1_000  # ms: what a lapsed permit adds to the lead; one that was used takes an eighth away
_LATEST: Final = 60_000


def evolve(cell: Cell, event: Event) -> Cell:
    """The cell after one event."""
    match event:
        case RequestQueued(asked):
            waiting = Waiting(asked.device_id, asked.number, asked.priority, asked.since, asked.connections, asked.hold)
            cell = replace(cell, cell_id=asked.cell_id, waiting=(*_others(cell, asked.device_id), waiting))
        case RequestRefused() | RequestWithdrawn():
            cell = replace(cell, waiting=tuple([w for w in cell.waiting if _other(w, event)]))
        case PermitGiven(device_id, permit, floor, spaced):
            connects = cell.connects
            if spaced:
                kept = [time for time in cell.connects if time > floor - _KEPT]
                connects = tuple(sorted([*kept, *permit.connects]))
            cell = replace(
                cell,
                floor=floor,
                connects=connects,
                waiting=_others(cell, device_id),
                open=(*cell.open, Open(device_id, permit.number, permit.until)),
            )
        case PermitFreed() | PermitExpired():
            late = cell.late
            if isinstance(event, PermitFreed):
                late = min(_LATEST, late + _LATER) if event.lapsed else late * 7 // 8
            cell = replace(cell, late=late, open=tuple([each for each in cell.open if _other(each, event)]))
        case _:
            assert_never(event)
    return replace(cell, busy=bool(cell.waiting or cell.open))


def evolved(cell: Cell, events: Iterable[Event]) -> Cell:
    """The cell after several events."""
    for event in events:
        cell = evolve(cell, event)
    return cell


def _others(cell: Cell, device_id: str) -> tuple[Waiting, ...]:
    return tuple([each for each in cell.waiting if each.device_id != device_id])


def _other(entry: Waiting | Open, event: RequestRefused | RequestWithdrawn | PermitFreed | PermitExpired) -> bool:
    return entry.device_id != event.device_id or entry.number != event.number
