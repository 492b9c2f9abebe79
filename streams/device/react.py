"""What the world is told of an event: jobs to the workers, responses and notifications to the callers, to other
devices what crosses between an M-Bus meter and its gateway, and to radio cells what is asked of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas._quick import quick
from schemas.records import (
    CommandEnded,
    DelegatedEnded,
    DelegatedJob,
    Job,
    JobCommand,
    Notice,
    Notification,
    PermitAsked,
    PermitReturned,
    ResponseHeader,
    Status,
)
from streams.device import messages
from streams.device.events import (
    CommandAccepted,
    CommandRefused,
    CommandRepeated,
    CommandReturned,
    CommandSettled,
    Event,
    JobDispatched,
    JobRefused,
    Message,
    PermitDeclined,
    PermitDropped,
    PermitPostponed,
    PermitRequested,
    ResultReported,
    ReturnReceived,
)
from streams.device.possible import asks_the_store
from streams.device.state import Device, Pending


@quick
@dataclass(frozen=True, slots=True)
class Response:
    """A response before it is encoded: the result as the operation's Avro body, copied as it came."""

    header: ResponseHeader
    result: bytes | None = None


Said = DelegatedJob | DelegatedEnded
Request = PermitAsked | PermitReturned
Told = Job | Response | Notification | Said | Request


def react(device: Device, event: Event, message: Message | None) -> Iterator[Told]:
    """`device` is as it stands after the event; `message` is what was decided, None for a dispatch. It alone holds
    results.
    """
    match event:
        case CommandAccepted():
            yield _received(device.device_id, event.correlation_id, event.operation, event.received_at)
        case JobDispatched(gateway_id=None):
            yield _job(device, event)
        case JobDispatched():
            if device.flight is not None and device.registration is not None:
                yield messages.asked(device, device.flight, device.registration)
        case CommandReturned():
            yield messages.answer(device.device_id, event, _outcome(event, message))
        case JobRefused():
            yield from messages.refusals(device.device_id, event)
        case PermitRequested(number, cell_id, priority, since, connections, hold):
            yield PermitAsked(cell_id, device.device_id, number, priority, since, connections, hold)
        case PermitPostponed(number, cell_id):
            yield PermitReturned(cell_id, device.device_id, number, lapsed=True)
        case PermitDropped(number, cell_id, lapsed):
            yield PermitReturned(cell_id, device.device_id, number, lapsed)
        case PermitDeclined(number, cell_id):
            yield PermitReturned(cell_id, device.device_id, number)
        case CommandSettled():
            header = ResponseHeader(
                correlation_id=event.correlation_id,
                device_id=device.device_id,
                operation=event.operation,
                status=event.status,
                fault=event.fault,
                attempts=event.attempts,
                repeated=False,
                created_at=event.created_at,
                received_at=event.received_at,
                settled_at=event.settled_at,
                large_result=event.large_result,
            )
            yield Response(header, _result(event, message))
            yield _ready(header)
        case CommandRefused():
            header = ResponseHeader(
                correlation_id=event.correlation_id,
                device_id=device.device_id,
                operation=event.operation,
                status=Status.REJECTED,
                fault=event.fault,
                attempts=0,
                repeated=False,
                created_at=event.created_at,
                received_at=event.received_at,
                settled_at=event.received_at,
            )
            yield Response(header)
            yield _ready(header)
        case CommandRepeated(status=None):
            yield _received(device.device_id, event.correlation_id, event.operation, event.received_at)
        case CommandRepeated():
            header = ResponseHeader(
                correlation_id=event.correlation_id,
                device_id=device.device_id,
                operation=event.operation,
                status=event.status or Status.UNKNOWN,
                fault=event.fault,
                attempts=event.attempts,
                repeated=True,
                created_at=event.created_at,
                received_at=event.received_at,
                settled_at=event.settled_at or event.received_at,
            )
            yield Response(header)
            yield _ready(header)


def _job(device: Device, event: JobDispatched) -> Job:
    held = {pending.correlation_id: pending for pending in device.queue}
    commands = tuple([_job_command(held[name]) for name in event.correlation_ids])
    return Job(
        device_id=device.device_id,
        number=event.number,
        deadline=event.deadline,
        counter_from=event.counter_from,
        counter_to=event.counter_to,
        registration=None if asks_the_store(commands) else device.registration,  # sealed keys are for the worker
        commands=commands,
        debug=device.debug_until is not None and event.dispatched_at < device.debug_until,
        permit=device.claim.granted if device.claim is not None else None,
    )


def _job_command(held: Pending) -> JobCommand:
    """While it is in doubt whether it was carried out, the worker may only look."""
    verify = held.doubt is not None
    attempt = held.attempts if verify else held.attempts + 1
    return JobCommand(held.correlation_id, held.operation, attempt, held.command, verify, held.delegated, held.kept)


def _result(event: CommandSettled, message: Message | None) -> bytes | None:
    if event.result is not None:
        return event.result
    outcome = _outcome(event, message) if event.status is Status.SUCCESSFUL else None
    return outcome.result if outcome is not None else None


def _outcome(event: CommandSettled | CommandReturned, message: Message | None) -> CommandEnded | None:
    """What the message that was decided says of the command itself."""
    told: tuple[CommandEnded, ...] = ()
    if isinstance(message, ResultReported):
        told = message.ended.commands
    elif isinstance(message, ReturnReceived):
        told = (message.returned.command,)
    return next((outcome for outcome in told if outcome.correlation_id == event.correlation_id), None)


def _received(device_id: str, correlation_id: str, operation: str, at: int) -> Notification:
    return Notification(correlation_id, device_id, operation, Notice.RECEIVED, at)


def _ready(header: ResponseHeader) -> Notification:
    return Notification(
        header.correlation_id,
        header.device_id,
        header.operation,
        Notice.RESULT_READY,
        header.settled_at,
        header.status,
    )
