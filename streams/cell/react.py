"""What devices are told of an event in their cell."""

from collections.abc import Iterator

from schemas.records import PermitGranted, PermitRefused
from streams.cell.events import Event, PermitGiven, RequestRefused

Told = PermitGranted | PermitRefused


def react(cell_id: str, event: Event) -> Iterator[Told]:
    match event:
        case PermitGiven(device_id, permit):
            yield PermitGranted(device_id, permit)
        case RequestRefused(device_id, number):
            yield PermitRefused(device_id, cell_id, number)
