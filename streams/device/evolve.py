"""What a device is after an event. Refuses nothing: it has happened. The only place where a device changes."""

from collections.abc import Iterable
from typing import Any, assert_never

from schemas._quick import replace
from schemas.records import (
    DebuggingSet,
    Delegated,
    DelegatedCommand,
    DeviceRegistered,
    LifecycleSet,
    Status,
    TimeZoneSet,
)
from streams.device.events import (
    UNVERSIONED,
    AttemptBegun,
    AttemptDisproved,
    CancelNoted,
    CommandAccepted,
    CommandDoubted,
    CommandPostponed,
    CommandRefused,
    CommandRepeated,
    CommandReturned,
    CommandSettled,
    CounterDoubted,
    CounterRaised,
    DeviceEvents,
    Event,
    JobDispatched,
    JobLost,
    JobRefused,
    JobReported,
    JobTaken,
    PermitDeclined,
    PermitDropped,
    PermitPostponed,
    PermitRequested,
    PermitTaken,
    Snapshotted,
    VerifyPostponed,
)
from streams.device.messages import own_name, serve
from streams.device.snapshot import state_in
from streams.device.state import AttemptedAction, Claim, Device, Flight, Pending, Settled, at_rest, id_bytes, remember


def fold(device: Device, decision: DeviceEvents) -> Device:
    """The device after a decision. One of version 0 leaves it as it is, one that carries the state is believed
    whatever the device was before. Gaps are not looked for here. Raises Unreadable for a state that cannot be read.
    """
    if decision.version == UNVERSIONED:
        return device
    whole = state_in(decision)
    if whole is not None:
        return whole
    device = evolved(device, decision.events)
    return replace(
        device,
        idle=at_rest(device),
        device_id=decision.device_id,
        version=decision.version,
    )


def replay(decisions: Iterable[DeviceEvents], device: Device | None = None) -> Device:
    """The device after its decisions, from the first one on or from a given state."""
    current = device or Device()
    for decision in decisions:
        current = fold(current, decision)
    return current


def evolve(device: Device, event: Event) -> Device:
    """The device after one event; `idle` and `version` are `fold`'s to set."""
    match event:
        case CommandAccepted():
            return replace(device, queue=(*device.queue, _pending(event)))
        case JobDispatched():
            flight = Flight(
                event.number,
                event.dispatched_at,
                event.deadline,
                event.correlation_ids,
                event.counter_from,
                event.counter_to,
                gateway_id=event.gateway_id,
            )
            counter = max(device.counter, event.counter_to + 1)
            return replace(device, jobs=event.number, flight=flight, counter=counter)
        case AttemptBegun():
            if device.flight is None:
                return device
            if event.action is not None:
                actions = (*device.flight.actions, AttemptedAction(event.correlation_id, event.action))
                return replace(device, flight=replace(device.flight, actions=actions))
            attempting = (*device.flight.attempting, event.correlation_id)
            return replace(device, flight=replace(device.flight, attempting=attempting))
        case JobReported(remaining=remaining) if remaining and device.flight is not None:
            return replace(device, flight=replace(device.flight, correlation_ids=remaining))
        case JobReported(called=False):
            return replace(device, flight=None)
        case JobReported():
            if not event.unreached:
                return replace(device, flight=None, failures=0, unreachable_since=None)
            since = event.at if device.unreachable_since is None else device.unreachable_since
            return replace(device, flight=None, failures=device.failures + 1, unreachable_since=since)
        case JobLost():
            return replace(device, flight=None)
        case CommandPostponed():
            changes = {"attempts": event.attempts, "fault": event.fault, "kept": event.kept}
            return _held(device, event.correlation_id, not_before=event.not_before, **changes)
        case CommandDoubted():
            name, fault = event.correlation_id, event.fault
            changes = {"attempts": event.attempts, "fault": fault, "doubt": fault, "looks": 0}
            return _held(device, name, not_before=event.not_before, **changes)
        case VerifyPostponed():
            name, looks = event.correlation_id, event.looks
            return _held(device, name, not_before=event.not_before, looks=looks, fault=event.fault)
        case AttemptDisproved():
            return _held(device, event.correlation_id, doubt=None, looks=0)
        case CommandSettled():
            queue = _without(device, event.correlation_id)
            return replace(device, queue=queue, settled=remember(device.settled, _settled(event)))
        case CancelNoted():
            return _held(device, event.correlation_id, cancelled_by=event.by)
        case JobTaken():
            taken = tuple([_taken(event, command) for command in event.commands])
            return replace(device, queue=device.queue + taken, served=serve(device.served, event))
        case CommandReturned():
            return replace(device, queue=_without(device, event.correlation_id))
        case PermitRequested(number, cell_id, priority):
            return replace(device, permits=number, claim=Claim(number, cell_id, priority, event.again_at))
        case PermitTaken(permit):
            return device if device.claim is None else replace(device, claim=replace(device.claim, granted=permit))
        case PermitPostponed(again_at=at) if device.claim is not None:
            return replace(device, claim=replace(device.claim, granted=None, again_at=at))
        case PermitDropped():
            return replace(device, claim=None)
        case CounterRaised():
            return replace(device, counter=max(device.counter, event.counter))
        case TimeZoneSet():
            if device.registration is None:
                return device
            return replace(device, registration=replace(device.registration, time_zone=event.time_zone))
        case DeviceRegistered():
            counter = max(device.counter, event.invocation_counter)
            return replace(device, registration=event.registration, counter=counter)
        case LifecycleSet():
            return replace(device, lifecycle=event.lifecycle)
        case DebuggingSet():
            return replace(device, debug_until=event.until)
        case CommandRefused() | CommandRepeated() | JobRefused() | CounterDoubted() | Snapshotted():
            return device
        case PermitPostponed() | PermitDeclined():
            return device
        case _:
            assert_never(event)


def evolved(device: Device, events: Iterable[Event]) -> Device:
    """The device after several events."""
    for event in events:
        device = evolve(device, event)
    return device


def _held(device: Device, correlation_id: str, **changes: Any) -> Device:
    """With one command of the queue changed."""
    queue = [replace(held, **changes) if held.correlation_id == correlation_id else held for held in device.queue]
    return replace(device, queue=tuple(queue))


def _without(device: Device, correlation_id: str) -> tuple[Pending, ...]:
    """The queue without one command."""
    return tuple([held for held in device.queue if held.correlation_id != correlation_id])


def _pending(event: CommandAccepted) -> Pending:
    return Pending(
        correlation_id=event.correlation_id,
        operation=event.operation,
        command=event.command,
        digest=event.digest,
        priority=event.priority,
        created_at=event.created_at,
        received_at=event.received_at,
        not_before=event.not_before,
        expires_at=event.expires_at,
        bypass_retry=event.bypass_retry,
    )


def _taken(event: JobTaken, command: DelegatedCommand) -> Pending:
    whose = Delegated(event.mbus_device_id, event.number, command.correlation_id, event.channel)
    return Pending(
        correlation_id=own_name(whose),
        operation=command.operation,
        command=command.command,
        digest=b"",
        priority=command.priority,
        created_at=event.at,
        received_at=command.received_at,
        expires_at=event.answer_by if command.expires_at is None else min(event.answer_by, command.expires_at),
        attempts=command.attempt - (command.doubt is None),
        doubt=command.doubt,
        delegated=whose,
    )


def _settled(event: CommandSettled) -> Settled:
    code = event.fault.code if event.fault is not None else 0
    status: Status = event.status
    return Settled(id_bytes(event.correlation_id), event.digest, event.settled_at, status, code, event.attempts)
