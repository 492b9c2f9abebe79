"""How a command comes to its outcome: by a result, by a lease that ran out, by its expiry, or because its device never
came to be.
"""

from collections.abc import Iterable
from zlib import crc32

from schemas.records import CommandEnded, DeviceRegistered, Ended, Fault, JobEnded, Registration, Status, TimeZoneSet
from streams.device import faults
from streams.device.accept import REGISTERS, inactive, unsupported
from streams.device.decided import carried_out_here, when_due
from streams.device.events import (
    CommandPostponed,
    CounterRaised,
    Event,
    JobLost,
    JobReported,
    ResultReported,
    TimePassed,
)
from streams.device.evolve import evolve
from streams.device.limits import Limits
from streams.device.outcome import settled, settled_in
from streams.device.state import LAST_COUNTER, Device, Pending


def report(device: Device, message: ResultReported, limits: Limits) -> list[Event]:
    """What follows from the end of a job. A late one settles nothing; what it teaches is learnt."""
    ended = message.ended
    flight = device.flight
    if flight is None or flight.number != ended.number:
        return _learnt(device, ended, None)
    outcomes: dict[str, CommandEnded] = {}
    for outcome in ended.commands:
        outcomes.setdefault(outcome.correlation_id, outcome)
    tried = any(outcome.ended is not Ended.NOT_STARTED for outcome in ended.commands)
    events: list[Event] = [JobReported(ended.number, unreached=tried and not ended.reached, at=message.at)]
    registration = _registration(device, ended)
    events += _learnt(device, ended, registration)
    flying = [held for held in device.queue if held.correlation_id in flight.correlation_ids]
    for held in flying:
        outcome = outcomes.get(held.correlation_id) or CommandEnded(held.correlation_id, Ended.NOT_STARTED)
        events.append(_ended(held, outcome, message, limits, registration))
    known = device.registration or (registration.registration if registration is not None else None)
    return events + orphans(device, events, known, message.at)


def pass_time(device: Device, message: TimePassed, limits: Limits) -> list[Event]:
    """What follows from time alone: a lease that ran out, commands that expired."""
    events: list[Event] = []
    flight = device.flight
    if flight is not None and message.results_decided and flight.deadline + limits.grace <= message.at:
        events.append(JobLost(flight.number, message.at))
        fault = faults.no_result(flight.number)
        for held in device.queue:
            if held.correlation_id in flight.attempting:
                events.append(settled(held, Status.UNKNOWN, fault, message.at, attempts=held.attempts + 1))
            elif held.correlation_id in flight.correlation_ids:
                events.append(_again(held, fault, message.at, message.seed, limits))
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
            events.append(settled(held, Status.EXPIRED, held.fault or faults.expired(held.expires_at), message.at))
    events += _due_here(device, events, message.at, limits)
    return events + orphans(device, events, device.registration, message.at)


def _due_here(device: Device, so_far: list[Event], at: int, limits: Limits) -> list[Event]:
    """Decisions on the commands that need no meter and whose time has come, in order, each after the one before."""
    if device.registration is None or not any(carried_out_here(held.operation) for held in device.queue):
        return []
    current = device
    for event in so_far:
        current = evolve(current, event)
    events: list[Event] = []
    for held in current.queue:
        if held.not_before <= at and carried_out_here(held.operation):
            fault = inactive(current, held.operation, limits)
            refused: list[Event] = [settled(held, Status.REJECTED, fault, at)] if fault is not None else []
            decision = refused or when_due(current, held, at)
            for event in decision:
                current = evolve(current, event)
            events += decision
    return events


def orphans(device: Device, events: Iterable[Event], registration: Registration | None, at: int) -> list[Event]:
    """Commands that waited for the registration and learn now what it means for them.

    Without one, and with no AddDevice left that could bring it: unknown device. With one that has come just now: a
    second AddDevice is a duplicate, and what the profile does not have is refused.
    """
    if registration is not None and device.registration is not None:
        return []  # nobody waited
    gone = settled_in(events)
    left = [held for held in device.queue if held.correlation_id not in gone]
    found: list[Event] = []
    if registration is not None:
        for held in left:
            fault = (
                faults.existing_device(device.device_id)
                if held.operation == REGISTERS
                else unsupported(registration, held.operation)
            )
            if fault is not None:
                found.append(settled(held, Status.REJECTED, fault, at))
    elif not any(held.operation == REGISTERS for held in left):
        fault = faults.unknown_device(device.device_id)
        found += [settled(held, Status.REJECTED, fault, at) for held in left]
    return found


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


def _learnt(device: Device, ended: JobEnded, registered: DeviceRegistered | None) -> list[Event]:
    events: list[Event] = []
    if registered is not None:
        events.append(registered)
    registration = registered.registration if registered is not None else device.registration
    zone = registration.time_zone if registration is not None else None
    for outcome in ended.commands:
        for fact in outcome.facts:
            if isinstance(fact, TimeZoneSet) and registration is not None and fact.time_zone != zone:
                events.append(fact)
                zone = fact.time_zone
    floor = min(max(ended.counter_floor or 0, ended.counter_next), LAST_COUNTER + 1)
    if floor > device.counter:
        events.append(CounterRaised(floor))
    return events


def _ended(
    held: Pending, outcome: CommandEnded, message: ResultReported, limits: Limits, registered: DeviceRegistered | None
) -> Event:
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
            fault = outcome.fault or faults.not_told("sent, not answered, and not to be repeated")
            return settled(held, Status.UNKNOWN, fault, at, attempts=held.attempts + 1)
        case Ended.RETRIABLE:
            fault = outcome.fault or faults.not_told("the worker told no reason")
            return _again(held, fault, at, message.seed, limits)
        case Ended.NOT_STARTED:
            return _again(held, outcome.fault or held.fault, at, message.seed, limits, tried=False)


def _again(held: Pending, fault: Fault | None, at: int, seed: int, limits: Limits, *, tried: bool = True) -> Event:
    """Back in the queue, unless that was the last attempt or the next would come too late.

    A command that was not tried has had no attempt, so `bypass_retry` and the bound do not speak of it.
    """
    attempts = held.attempts + tried
    if tried and (held.bypass_retry or attempts >= limits.attempts):
        return settled(held, Status.ERROR, fault, at, attempts=attempts)
    not_before = at + _delay(held, seed, limits)
    if held.expires_at is not None and not_before >= held.expires_at:
        return settled(held, Status.EXPIRED, fault or faults.expired(held.expires_at), at, attempts=attempts)
    return CommandPostponed(held.correlation_id, not_before, attempts, fault)


def _delay(held: Pending, seed: int, limits: Limits) -> int:
    """30 s x 2^attempts, spread by the tick's seed so that a street that failed together does not return together."""
    delay = limits.retry_delay << min(held.attempts, 10)
    spread = crc32(held.correlation_id.encode(), seed & 0xFFFF_FFFF) / 0xFFFF_FFFF * 2 - 1
    return delay + int(delay * limits.retry_jitter * spread)
