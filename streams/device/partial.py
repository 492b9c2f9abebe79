"""Bundles that are answered in part: what their jobs obtained is kept in the device until nothing is left to do.

A job that could not do everything ends as Retriable with the entries there are. They go with the next job, which
carries out the rest. What ends the bundle before that, the last attempt or its expiry, is not the end of what was
obtained: the bundle is Successful with those entries, and the others say why they are none (`outcome.settled`).
"""

from dataclasses import replace

from operations import build_request, bundle
from operations._errors import OperationError
from schemas import codec
from schemas.records import CommandEnded, Ended, Fault
from streams.device.limits import Limits
from streams.device.state import Flight, Pending


def obtained(held: Pending, outcome: CommandEnded) -> Pending:
    """With what a job told that could not do everything."""
    if held.operation == bundle.NAME and outcome.ended is Ended.RETRIABLE and outcome.result is not None:
        return replace(held, kept=bundle.keep(outcome.result))
    return held


def no_room(held: Pending, outcome: CommandEnded, kept: dict[str, int], limits: Limits) -> bool:
    """Whether what a job obtained is more than its device may keep: then there is no other attempt.

    `kept`: bytes that the device keeps, by correlation id; takes up what this bundle obtained when there is room.
    """
    if held.operation != bundle.NAME or outcome.ended is not Ended.RETRIABLE:
        return False
    others = sum(size for name, size in kept.items() if name != held.correlation_id)
    size = len(held.kept or b"")
    if outcome.large_result is not None or (size and others + size > limits.kept_bytes):
        kept.pop(held.correlation_id, None)
        return True
    kept[held.correlation_id] = size
    return False


def lost(held: Pending, flight: Flight, fault: Fault) -> Pending | None:
    """After a job that told nothing: actions that may not be repeated, and had begun, are Unknown. None when what was
    kept cannot be read any more.
    """
    places = [each.action for each in flight.actions if each.correlation_id == held.correlation_id]
    if not places:
        return held
    try:
        request = build_request(held.operation, codec.decode_command(held.command).request)
        return replace(held, kept=bundle.lose(request, held.kept, places, fault))
    except (codec.Unreadable, OperationError):
        return None


def unrepeatable(held: Pending) -> set[int]:
    """Places of a bundle's actions that may not be repeated and that its next job would carry out."""
    if held.operation != bundle.NAME:
        return set()
    try:
        request = build_request(held.operation, codec.decode_command(held.command).request)
        entries = bundle.kept_entries(request, held.kept)
    except (codec.Unreadable, OperationError):
        return set()  # nor can the worker read it
    return {
        place
        for place, (action, entry) in enumerate(zip(request.actions, entries, strict=True))
        if bundle.not_done(entry) and not bundle.operation_of(action).repeatable
    }


def answer(kept: bytes) -> bytes | None:
    """The Result's body of what was obtained; None when another version wrote it."""
    return bundle.kept_result(kept)
