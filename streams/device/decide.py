"""What follows from a message, for its device alone. Knows no clock and no topic, and raises for nothing that can
arrive.
"""

from typing import assert_never

from streams.device.accept import accept
from streams.device.delegation import give_back, take
from streams.device.events import (
    AttemptBegun,
    AttemptReported,
    CommandReceived,
    CommandRefused,
    CommandRepeated,
    Event,
    GrantReceived,
    JobReceived,
    JobRefused,
    Message,
    PermitDeclined,
    RefusalReceived,
    ResultReported,
    ReturnReceived,
    TimePassed,
)
from streams.device.limits import Limits
from streams.device.permits import granted, refused
from streams.device.settle import pass_time, report
from streams.device.state import Device

_UNCHANGING = (CommandRefused, CommandRepeated, JobRefused, PermitDeclined)


def decide(device: Device, message: Message, limits: Limits) -> list[Event]:
    """The events of one decision, in order; none when the message changes nothing and nobody waits for an answer."""
    match message:
        case CommandReceived():
            return accept(device, message, limits)
        case AttemptReported(attempting):
            flight = device.flight
            if flight is None or flight.number != attempting.number:
                return []  # late: the command has been judged
            name = attempting.correlation_id
            known = {each.action for each in flight.actions if each.correlation_id == name}
            if name not in flight.correlation_ids or name in flight.attempting or attempting.action in known:
                return []
            return [AttemptBegun(attempting.number, name, attempting.action)]
        case ResultReported():
            return report(device, message, limits)
        case TimePassed():
            return pass_time(device, message, limits)
        case JobReceived():
            return take(device, message, limits)
        case ReturnReceived():
            return give_back(device, message, limits)
        case GrantReceived(permit):
            return granted(device, permit)
        case RefusalReceived():
            return refused(device, message)
        case _:
            assert_never(message)


def changes(events: list[Event]) -> bool:
    """Whether the decision changes the device: only then it has a version."""
    for event in events:  # noqa: SIM110 - `any` of a generator costs three times as much, for each decision
        if not isinstance(event, _UNCHANGING):
            return True
    return False
