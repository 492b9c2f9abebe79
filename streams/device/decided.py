"""Operations that need no meter: carried out here by their own `decide`, when the command comes or when its time does.

What they answer and what they change of the device is one decision: there is no job, no attempt, and nothing to be
lost. One that is scheduled, or waits for the registration of its device, is decided by the first tick after that.
"""

from operations import Device as View
from operations import build_request, catalogue
from operations._errors import OperationError
from operations._steps import Answer
from schemas.codec import Unreadable, decode_command, encode_result
from schemas.records import Fault, LifecycleSet, Status, TimeZoneSet
from streams.device import faults
from streams.device.events import Event
from streams.device.outcome import settled
from streams.device.state import Device, Pending


def carried_out_here(operation: str) -> bool:
    found = catalogue().get(operation)
    return found is not None and found.steps is None


def view(device: Device) -> View:
    """What an operation may know of a device."""
    registration = device.registration
    return View(
        device_id=device.device_id,
        registered=registration is not None,
        device_type=registration.device_type if registration is not None else "",
        lifecycle=device.lifecycle,
    )


def ask(device: Device, operation: str, request: object) -> Answer[object] | Fault | None:
    """What an operation says to its checked request: its answer, why it refuses, or None for one that asks a meter."""
    found = catalogue()[operation]
    try:
        answer = found.decide(request, view(device)) if found.decide is not None else None
        if answer is None and found.steps is None:
            return faults.not_told(f"{operation} gave no answer")
        return answer
    except OperationError as refused:
        return refused.fault()
    except Exception as error:  # an operation's mistake must not stop all devices of the partition, again and again
        return faults.not_told(f"{operation} failed to decide: {type(error).__name__}: {error}")


def when_due(device: Device, held: Pending, at: int) -> list[Event]:
    """The decision on a command whose time has come."""
    try:
        request = build_request(held.operation, decode_command(held.command).request)
    except OperationError as refused:
        return [settled(held, Status.REJECTED, refused.fault(), at)]
    except Unreadable as error:
        return [settled(held, Status.REJECTED, faults.invalid("request", f"unreadable: {error.reason}"), at)]
    said = ask(device, held.operation, request)
    if isinstance(said, Answer):
        return carried_out(device, held, said, at)
    return [settled(held, Status.REJECTED, said or faults.not_told(f"{held.operation} gave no answer"), at)]


def carried_out(device: Device, held: Pending, answer: Answer[object], at: int) -> list[Event]:
    """What an answer changes of the device, and the outcome of the command that asked for it."""
    try:
        result = encode_result(held.operation, answer.result)
    except (LookupError, ValueError) as error:
        fault = faults.not_told(f"the result of {held.operation} cannot be written: {error}")
        return [settled(held, Status.ERROR, fault, at)]
    return [*_changes(device, answer), settled(held, Status.SUCCESSFUL, None, at, result=result)]


def _changes(device: Device, answer: Answer[object]) -> list[Event]:
    events: list[Event] = []
    for fact in answer.facts:
        match fact:
            case LifecycleSet() if fact.lifecycle is not device.lifecycle:
                events.append(fact)
            case TimeZoneSet() if device.registration is not None:
                events.append(fact)
    return events
