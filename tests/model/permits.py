"""The life of a permit, seen by its cell, and of a device's claim to one, seen from its log; drawn in `docs/states.md`.

A permit's arrow is one event of the cell (it has no log). A claim's is one decision of the device, with the events in
it that concern its permit or the job the permit is for.
"""

from collections.abc import Iterator
from random import Random
from typing import Any, Final
from unittest.mock import patch

from schemas.topics import DEVICE_EVENTS
from streams.cell import evolve
from streams.cell.events import Event, PermitExpired, PermitFreed, RequestQueued, RequestRefused, RequestWithdrawn
from streams.cell.state import Cell
from streams.device.events import (
    DeviceEvents,
    JobDispatched,
    JobLost,
    JobReported,
    PermitDropped,
    PermitPostponed,
    PermitRequested,
    PermitTaken,
)
from streams.device.evolve import fold
from streams.device.state import Device
from streams.device.wire import decode_device, decode_events
from tests.model.states import NOWHERE, Transition
from tests.unit.streams.test_cell import Cells
from tests.unit.streams.test_permit_laws import DEVICES, Street, narrow
from tests.unit.streams.world import on

STORIES: Final = 100
MOVES: Final = 60
_ENDS: Final[dict[type[Event], str]] = {
    RequestRefused: "Refused",
    RequestWithdrawn: "Withdrawn",
    PermitFreed: "Returned",
    PermitExpired: "Expired",
}
_CLAIMED: Final = (PermitRequested, PermitTaken, PermitPostponed, PermitDropped, JobDispatched, JobReported, JobLost)


def permit_state(cell: Cell, device_id: str) -> str:
    """What a cell has of a device."""
    if any(each.device_id == device_id for each in cell.open):
        return "Given"
    return "Waiting" if any(each.device_id == device_id for each in cell.waiting) else NOWHERE


def claim_state(device: Device) -> str:
    """What a device has of its cell."""
    if device.claim is None:
        return NOWHERE
    if device.claim.granted is None:
        return "Asked"
    return "InUse" if device.flight is not None else "Granted"


def claimed(before: Device, decision: DeviceEvents, after: Device) -> Iterator[Transition]:
    """What a decision did to the device's claim."""
    labels = [type(event).__name__ for event in decision.events if isinstance(event, _CLAIMED)]
    if labels:
        yield "claim", claim_state(before), ", ".join(dict.fromkeys(labels)), claim_state(after)


def tell(seed: int) -> set[Transition]:
    """The ways that permits and claims take in a story of this seed."""
    random = Random(seed)  # noqa: S311 - a story, no secret
    found = set[Transition]()
    real = evolve.evolve

    def watched(cell: Cell, event: Event) -> Cell:
        after = real(cell, event)
        device_id = event.asked.device_id if isinstance(event, RequestQueued) else event.device_id
        went = _ENDS.get(type(event)) or permit_state(after, device_id)
        found.add(("permit", permit_state(cell, device_id), type(event).__name__, went))
        return after

    with patch("streams.cell.keeper.evolve", watched):
        street = Street(cells=Cells(narrow(waiting=random.choice((2, 100)))))
        known = {key: decode_device(value) for key, value in street.devices.values.items()}
        for _ in range(MOVES):
            what, *given = _move(random)
            if what == "pass":
                street.now += given[0]
            else:
                getattr(street, what)(*given)
            street.check()
        street.rest()
    for record in on(DEVICE_EVENTS, street.devices.sent):
        decision = decode_events(record.value)
        before = known[record.key]
        known[record.key] = fold(before, decision)
        found.update(claimed(before, decision, known[record.key]))
    return found


def _move(random: Random) -> tuple[Any, ...]:
    crash = random.choice(("", "", "", "before", "after"))
    batch = random.randrange(10), random.random() < 0.3, crash
    match random.choice(("ask", "cancel", "decide", "decide", "grant", "grant", "carry", "carry", "pass", "pass")):
        case "ask":
            within = random.choice((None, None, 3_000, 20_000))
            return "ask", random.randrange(len(DEVICES)), random.randrange(10), within
        case "cancel":
            return "cancel", random.randrange(len(DEVICES)), random.randrange(10)
        case "carry":
            return "carry", random.randrange(10), random.choice(("well", "well", "well", "fails", "lost", "dies"))
        case "pass":
            return "pass", random.choice((100, 400, 1_000, 1_000, 5_000, 30_000, 900_000))
        case role:
            return role, *batch


def ways() -> set[Transition]:
    """Those of many stories, always the same."""
    return set().union(*map(tell, range(STORIES)))
