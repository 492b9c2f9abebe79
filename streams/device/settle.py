"""How a command comes to its outcome: by a result, by a lease that ran out, by its expiry, or because its device never
came to be.

A command that may not be repeated and whose answer was lost is in doubt: its next jobs only look what became of it
(`doubt`).
"""

from collections.abc import Iterable, Mapping

from operations import catalogue
from schemas._quick import replace
from schemas.records import CommandEnded, DeviceRegistered, Ended, JobEnded, Status, TimeZoneSet
from streams.device import doubt, faults, partial, permits
from streams.device.decided import due, misfits
from streams.device.events import (
    CounterDoubted,
    CounterRaised,
    Event,
    JobLost,
    JobReported,
    ResultReported,
    ReturnReceived,
    TimePassed,
)
from streams.device.leases import lease_end, repeatable
from streams.device.limits import Limits
from streams.device.outcome import again, orphans, returned, settled, settled_in
from streams.device.possible import REGISTERS
from streams.device.state import LAST_COUNTER, Device, Pending


def report(device: Device, message: ResultReported, limits: Limits) -> list[Event]:
    """What follows from the end of a job. A late one settles nothing; what it teaches is learnt."""
    ended = message.ended
    flight = device.flight
    if flight is None or flight.number != ended.number:
        return _learnt(device, ended, None, limits)
    outcomes: dict[str, CommandEnded] = {}
    for outcome in ended.commands:
        outcomes.setdefault(outcome.correlation_id, outcome)
    flying = [held for held in device.queue if held.correlation_id in flight.correlation_ids]
    called = ended.reached or any(_called(held, outcomes) for held in flying)
    unreached = called and not ended.reached
    events: list[Event] = [JobReported(ended.number, unreached=unreached, at=message.at, called=called)]
    events += permits.dropped(device, lapsed=ended.lapsed)
    registration = _registration(device, ended)
    events += _learnt(device, ended, registration, limits)
    doubted = _doubted(device, ended, limits)
    rest = permits.rest(device) if ended.lapsed else None
    kept = {held.correlation_id: len(held.kept) for held in device.queue if held.kept is not None}
    for held in flying:
        outcome = outcomes.get(held.correlation_id) or CommandEnded(held.correlation_id, Ended.NOT_STARTED)
        if rest is not None and outcome.ended is Ended.NOT_STARTED:
            outcome = replace(outcome, fault=None)  # no word of the meter's: its cell had no time for it
        held = partial.obtained(held, outcome)
        if doubted is not None and outcome.ended is Ended.RETRIABLE and outcome.fault is not None:
            outcome = replace(outcome, fault=faults.floor_doubted(doubted, device.counter, outcome.fault))
        if held.delegated is not None:
            begun = outcome.ended is Ended.NOT_STARTED and held.correlation_id in flight.attempting
            how = Ended.UNKNOWN if begun else outcome.ended
            events.append(returned(held, how, outcome.fault, message.at, outcome.large_result))
        elif held.doubt is not None:
            events += doubt.looked(held, outcome, message, limits, rest)
        elif outcome.ended is Ended.NOT_STARTED and held.correlation_id in flight.attempting:
            events.append(doubt.doubted(held, faults.not_told("it was begun, and its end not told"), message, limits))
        elif partial.no_room(held, outcome, kept, limits):
            at, large = message.at, outcome.large_result
            events.append(settled(held, Status.SUCCESSFUL, None, at, attempts=held.attempts + 1, large_result=large))
        else:
            events.append(ended_as(held, outcome, message, limits, registration, rest))
    known = device.registration or (registration.registration if registration is not None else None)
    events += orphans(device, events, known, message.at)
    return events + misfits(device, events, message.at) if registration is not None else events


def pass_time(device: Device, message: TimePassed, limits: Limits) -> list[Event]:
    """What follows from time alone: a lease that ran out, commands that expired."""
    events: list[Event] = []
    flight = device.flight
    gateway = flight.gateway_id if flight is not None else None
    decided = message.results_decided if gateway is None else message.messages_decided
    if flight is not None and decided and lease_end(device, limits) <= message.at:
        events += [JobLost(flight.number, message.at), *permits.dropped(device)]
        fault = faults.no_result(flight.number) if gateway is None else faults.gateway_silent(gateway, flight.number)
        for held in device.queue:
            begun = held.correlation_id in flight.attempting
            if gateway is not None:  # it does not say what it begins
                begun = held.correlation_id in flight.correlation_ids and not repeatable(held)
            if held.delegated is not None and held.correlation_id in flight.correlation_ids:
                events.append(returned(held, Ended.UNKNOWN if begun else Ended.RETRIABLE, fault, message.at))
            elif held.correlation_id in flight.correlation_ids and held.doubt is not None:
                events.append(doubt.look_again(held, fault, message, limits))
            elif begun:
                events.append(doubt.doubted(held, fault, message, limits))
            elif held.correlation_id in flight.correlation_ids:
                left = partial.lost(held, flight, fault)
                if left is None:
                    events.append(settled(held, Status.UNKNOWN, fault, message.at, attempts=held.attempts + 1))
                else:
                    events.append(again(left, fault, message, limits))
        flight = None
    flying = flight.correlation_ids if flight is not None else ()
    gone = settled_in(events)
    for held in device.queue:
        if (
            held.expires_at is not None
            and held.expires_at <= message.at
            and held.correlation_id not in flying
            and held.correlation_id not in gone
        ):
            events.append(settled(held, Status.EXPIRED, faults.too_late(held.expires_at, held.fault), message.at))
    events += due(device, events, message.at, limits)
    return events + orphans(device, events, device.registration, message.at)


def _called(held: Pending, outcomes: Mapping[str, CommandEnded]) -> bool:
    """Whether the meter was called for a command: not for one that needs none, as AddDevice, nor for one that the
    worker refused or did not come to.
    """
    outcome, found = outcomes.get(held.correlation_id), catalogue().get(held.operation)
    if outcome is None or found is None or not found.connects:
        return False
    return outcome.ended in (Ended.RETRIABLE, Ended.UNKNOWN)


def _registration(device: Device, ended: JobEnded) -> DeviceRegistered | None:
    """The registration that a successful AddDevice of this job brought. A late one brings none: its caller may have
    been told Error.
    """
    for outcome in ended.commands:
        if outcome.ended is Ended.SUCCESSFUL and device.registration is None:
            for fact in outcome.facts:
                if isinstance(fact, DeviceRegistered):
                    return fact
    return None


def taught(device: Device, outcomes: Iterable[CommandEnded], registered: DeviceRegistered | None = None) -> list[Event]:
    """What outcomes say of this device; what one says of an M-Bus meter is for that one to learn."""
    events: list[Event] = []
    registration = registered.registration if registered is not None else device.registration
    zone = registration.time_zone if registration is not None else None
    for outcome in outcomes:
        for fact in outcome.facts if outcome.device_id is None else ():
            if isinstance(fact, TimeZoneSet) and registration is not None and fact.time_zone != zone:
                events.append(fact)
                zone = fact.time_zone
    return events


def _learnt(device: Device, ended: JobEnded, registered: DeviceRegistered | None, limits: Limits) -> list[Event]:
    events: list[Event] = [] if registered is None else [registered]
    events += taught(device, ended.commands, registered)
    doubted = _doubted(device, ended, limits)
    if doubted is not None:
        events.append(CounterDoubted(doubted))
    told = ended.counter_floor or 0 if doubted is None else 0
    floor = min(max(told, ended.counter_next), LAST_COUNTER + 1)
    if floor > device.counter:
        events.append(CounterRaised(floor))
    return events


def _doubted(device: Device, ended: JobEnded, limits: Limits) -> int | None:
    """A counter that is not believed to be the meter's.

    Where the meter says what it expects, nothing proves that it was the meter: the counter is read without security, or
    comes in an error in the clear. Who can answer in its place could name the last one there is, and with it use up the
    counters of the key for ever: they never go down. So one answer moves us by no more than a meter can be ahead in its
    life (`Limits.counter_leap`); to use up a key so takes thousands of jobs, each in the log and the metrics. A meter
    that is really further ahead is registered with its counter, or the setting is raised for a while.
    """
    told = ended.counter_floor
    return told if told is not None and told > device.counter + limits.counter_leap else None


def ended_as(
    held: Pending,
    outcome: CommandEnded,
    message: ResultReported | ReturnReceived,
    limits: Limits,
    registered: DeviceRegistered | None = None,
    rest: int | None = None,
) -> Event:
    """What follows for a command from its end in a job. `rest`: how long it waits if it was not begun, ms; None: as
    after an attempt.
    """
    at = message.at
    match outcome.ended:
        case Ended.SUCCESSFUL:
            if held.operation == REGISTERS and registered is None:
                fault = faults.not_told("the worker told no registration")
                return settled(held, Status.ERROR, fault, at, attempts=held.attempts + 1)
            large = outcome.large_result
            return settled(held, Status.SUCCESSFUL, None, at, attempts=held.attempts + 1, large_result=large)
        case Ended.FAILED:
            fault = outcome.fault or faults.not_told("the worker told no reason")
            return settled(held, Status.ERROR, fault, at, attempts=held.attempts + 1)
        case Ended.UNKNOWN:
            return doubt.doubted(held, outcome.fault or faults.not_told("sent and not answered"), message, limits)
        case Ended.NOT_DONE:
            return doubt.doubted(held, faults.not_told("looked for, and not carried out as was asked"), message, limits)
        case Ended.RETRIABLE:
            fault = outcome.fault or faults.not_told("the worker told no reason")
            return again(held, fault, message, limits)
        case Ended.NOT_STARTED:
            # What an attempt met says more than why there was none.
            return again(held, held.fault or outcome.fault, message, limits, tried=False, rest=rest)
