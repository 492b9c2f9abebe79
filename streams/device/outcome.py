"""The one terminal outcome of a command the device holds, whoever comes to it."""

from collections.abc import Iterable

from schemas.records import Fault, Status
from streams.device.events import CommandSettled, Event
from streams.device.state import Pending


def settled_in(events: Iterable[Event]) -> set[str]:
    return {event.correlation_id for event in events if isinstance(event, CommandSettled)}


def settled(
    held: Pending,
    status: Status,
    fault: Fault | None,
    at: int,
    *,
    attempts: int | None = None,
    large_result: str | None = None,
    result: bytes | None = None,
) -> CommandSettled:
    """The outcome of an accepted command."""
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
