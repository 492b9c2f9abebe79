"""Jobs that cross from an M-Bus meter to its gateway and back: what each side makes of the other's messages.

An M-Bus meter is a device of its own: it owns its commands, their expiry and attempts. Its job is not a worker's but
its gateway's, who takes the commands into its own queue and gives each back exactly once: with its end, or as not
started when it was not begun in time. So the M-Bus meter never waits for ever, and its lease (`lease_end`) is there
for messages that are lost, which Kafka does not.

Messages between two devices arrive in the order they were sent (one transactional producer a partition), but a message
may be seen again at any later time. A gateway knows it by the number of the job, which rises per M-Bus meter
(`Served`); an M-Bus meter by the job it has out.
"""

from operations import catalogue
from operations._rules import ELECTRICITY
from schemas.records import Delegated, DelegatedCommand, DelegatedEnded, Ended, Fault
from streams.device import doubt, faults
from streams.device.events import CommandReturned, Event, JobReceived, JobRefused, JobReported, JobTaken, ReturnReceived
from streams.device.limits import Limits
from streams.device.messages import own_name
from streams.device.possible import no_room, registration_pending, unsupported
from streams.device.settle import ended_as, taught
from streams.device.state import Device, Flight


def take(device: Device, message: JobReceived, limits: Limits) -> list[Event]:
    """What a gateway makes of a job. A repeat of the message changes nothing."""
    job, at = message.job, message.at
    if not device.version:
        named = tuple([each.correlation_id for each in job.commands])
        return [JobRefused(job.mbus_device_id, job.number, named, faults.unknown_gateway(job.device_id), at)]
    if job.number <= _last_taken(device, job.mbus_device_id):
        return []
    events: list[Event] = [
        JobTaken(job.mbus_device_id, job.number, job.channel, job.answer_by, at, job.commands),
    ]
    waiting, held = len(device.queue), sum(len(pending.command) for pending in device.queue)
    for command in job.commands:
        ended, fault = _unfit(device, command)
        if fault is None:
            fault, ended = no_room(waiting, held, len(command.command), limits), Ended.NOT_STARTED
        if fault is None:
            waiting, held = waiting + 1, held + len(command.command)
        else:
            whose = Delegated(job.mbus_device_id, job.number, command.correlation_id, job.channel)
            events.append(CommandReturned(own_name(whose), whose, command.operation, ended, fault, None, at))
    return events


def give_back(device: Device, message: ReturnReceived, limits: Limits) -> list[Event]:
    """What an M-Bus meter makes of a command that its gateway gives back. A late answer, and one seen twice, settles
    nothing, but teaches what it can.
    """
    returned = message.returned
    command, flight = returned.command, device.flight
    if not _awaited(flight, returned) or flight is None:
        return taught(device, (command,))
    remaining = tuple([name for name in flight.correlation_ids if name != command.correlation_id])
    (held,) = (each for each in device.queue if each.correlation_id == command.correlation_id)
    events: list[Event] = [JobReported(flight.number, unreached=False, at=message.at, remaining=remaining)]
    events += taught(device, (command,))
    if held.doubt is not None:
        return events + doubt.looked(held, command, message, limits)
    return [*events, ended_as(held, command, message, limits)]


def _last_taken(device: Device, mbus_device_id: str) -> int:
    return next((each.number for each in device.served if each.device_id == mbus_device_id), 0)


def _unfit(device: Device, command: DelegatedCommand) -> tuple[Ended, Fault | None]:
    """Why this gateway cannot carry a command out."""
    registration = device.registration
    if registration is None:
        ended = Ended.NOT_STARTED if registration_pending(device) else Ended.FAILED
        return ended, faults.unknown_gateway(device.device_id)
    if registration.device_type != ELECTRICITY:
        return Ended.FAILED, faults.invalid_gateway(device.device_id, registration.device_type)
    if command.operation not in catalogue():
        return Ended.FAILED, faults.unknown_operation(command.operation)
    return Ended.FAILED, unsupported(registration, command.operation)


def _awaited(flight: Flight | None, returned: DelegatedEnded) -> bool:
    return (
        flight is not None
        and flight.gateway_id == returned.gateway_id
        and flight.number == returned.number
        and returned.command.correlation_id in flight.correlation_ids
    )
