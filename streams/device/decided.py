"""Operations that need no meter: carried out here by their own `decide`, when the command comes or when its time does.

What they answer and what they change of the device is one decision: there is no job, no attempt, and nothing to be
lost. One that is scheduled, or waits for the registration of its device, is decided by the first tick after that.
"""

from collections.abc import Iterable
from functools import partial

from operations import Device as View
from operations import Known, build_request, catalogue
from operations._errors import OperationError
from operations._steps import Answer
from schemas.codec import Unreadable, decode_command, encode_result
from schemas.records import CancelAsked, DebuggingSet, Fault, LifecycleSet, Status, TimeZoneSet
from streams.device import faults
from streams.device.events import CancelNoted, Event
from streams.device.evolve import evolve, evolved
from streams.device.limits import Limits
from streams.device.outcome import orphans, settled
from streams.device.possible import gateway_of, inactive, is_mbus
from streams.device.state import Device, Pending, id_bytes, recall


def carried_out_here(operation: str) -> bool:
    found = catalogue().get(operation)
    return found is not None and found.steps is None


def may_be_decided(device: Device, operation: str) -> bool:
    """Whether it is one of ours, and waits for no registration."""
    found = catalogue().get(operation)
    if found is None or found.steps is not None:
        return False
    return device.registration is not None or found.before_registration


def due_here(device: Device, operation: str, not_before: int, at: int) -> bool:
    return not_before <= at and may_be_decided(device, operation)


def view(device: Device, at: int) -> View:
    """What an operation may know of a device at a time."""
    registration = device.registration
    return View(
        device_id=device.device_id,
        registered=registration is not None,
        device_type=registration.device_type if registration is not None else "",
        lifecycle=device.lifecycle,
        command=partial(_known, device),
        gateway_id=registration.gateway_id if registration is not None else None,
        channel=registration.channel if registration is not None else None,
        at=at,
        debug_until=device.debug_until,
    )


def _known(device: Device, correlation_id: str) -> Known | None:
    for held in device.queue:
        if held.correlation_id == correlation_id:
            return Known(held.operation, in_flight=_sent(device, held))
    settled_as = recall(device.settled, id_bytes(correlation_id))
    return Known("", status=settled_as.status) if settled_as is not None else None


def ask(device: Device, operation: str, request: object, at: int) -> Answer[object] | Fault | None:
    """What an operation says to its checked request: its answer, why it refuses, or None for one that asks a meter."""
    found = catalogue()[operation]
    try:
        answer = found.decide(request, view(device, at)) if found.decide is not None else None
        if answer is None and found.steps is None:
            return faults.not_told(f"{operation} gave no answer")
        registration = device.registration
        if registration is not None and found.connects and is_mbus(registration) and gateway_of(registration) is None:
            return faults.no_gateway(device.device_id)
        return answer
    except OperationError as refused:
        return refused.fault()
    except Exception as error:  # an operation's mistake must not stop all devices of the partition, again and again
        return faults.not_told(f"{operation} failed to decide: {type(error).__name__}: {error}")


def misfits(device: Device, so_far: Iterable[Event], at: int) -> list[Event]:
    """What waited for the registration of its device, and is refused by its operation now that this has come: what
    calls electricity meters, of an M-Bus meter.
    """
    device = evolved(device, so_far)
    events: list[Event] = []
    for waiting in device.queue:
        if not carried_out_here(waiting.operation):
            said = _asked_again(device, waiting, at)
            if isinstance(said, Fault):
                events.append(settled(waiting, Status.REJECTED, said, at))
    return events


def due(device: Device, so_far: Iterable[Event], at: int, limits: Limits) -> list[Event]:
    """Decisions on the commands whose time has come, in order of arrival, each after the one before and `so_far`."""
    if not any(carried_out_here(held.operation) for held in device.queue):
        return []
    device = evolved(device, so_far)
    events: list[Event] = []
    for name in [held.correlation_id for held in device.queue]:
        waiting = next((held for held in device.queue if held.correlation_id == name), None)
        if waiting is None:
            continue  # a decision before it gave it an outcome
        if not due_here(device, waiting.operation, waiting.not_before, at):
            continue
        fault = inactive(device, waiting.operation, limits)
        refused: list[Event] = [settled(waiting, Status.REJECTED, fault, at)] if fault is not None else []
        decision = refused or when_due(device, waiting, at)
        device = evolved(device, decision)
        events += decision
    return events


def when_due(device: Device, held: Pending, at: int) -> list[Event]:
    """The decision on a command whose time has come."""
    said = _asked_again(device, held, at)
    if isinstance(said, Answer):
        return carried_out(device, held, said, at)
    return [settled(held, Status.REJECTED, said or faults.not_told(f"{held.operation} gave no answer"), at)]


def _asked_again(device: Device, held: Pending, at: int) -> Answer[object] | Fault | None:
    try:
        request = build_request(held.operation, decode_command(held.command).request)
    except OperationError as refused:
        return refused.fault()
    except Unreadable as error:
        return faults.invalid("request", f"unreadable: {error.reason}")
    return ask(device, held.operation, request, at)


def carried_out(device: Device, held: Pending, answer: Answer[object], at: int) -> list[Event]:
    """What an answer changes of the device, and the outcome of the command that asked for it."""
    try:
        result = encode_result(held.operation, answer.result)
    except (LookupError, ValueError) as error:
        fault = faults.not_told(f"the result of {held.operation} cannot be written: {error}")
        return [settled(held, Status.ERROR, fault, at)]
    outcome = settled(held, Status.SUCCESSFUL, None, at, result=result)
    others = evolve(device, outcome)  # what it changes is others' fate, never once more its own
    return [*_changes(others, held, answer, at), outcome]


def _changes(device: Device, asking: Pending, answer: Answer[object], at: int) -> list[Event]:
    events: list[Event] = []
    for fact in answer.facts:
        match fact:
            case LifecycleSet() if fact.lifecycle is not device.lifecycle:
                events.append(fact)
            case DebuggingSet() if fact.until != device.debug_until:
                events.append(fact)
            case TimeZoneSet() if device.registration is not None:
                events.append(fact)
            case CancelAsked():
                events += _cancelled(device, fact.correlation_id, asking.correlation_id, at)
    return events


def _cancelled(device: Device, correlation_id: str, by: str, at: int) -> list[Event]:
    """What waits is over. What a worker has cannot be called back, and what is in doubt is better looked for: that
    nobody wants it is noted for its end.
    """
    for held in device.queue:
        if held.correlation_id == correlation_id:
            if _sent(device, held):
                return [CancelNoted(correlation_id, by)] if held.cancelled_by is None else []
            events: list[Event] = [settled(held, Status.CANCELLED, faults.cancelled(by, held.fault), at)]
            return events + orphans(device, events, device.registration, at)
    return []


def _sent(device: Device, held: Pending) -> bool:
    """Whether the meter may be hearing of it, or may have."""
    flying = device.flight is not None and held.correlation_id in device.flight.correlation_ids
    return flying or held.doubt is not None
