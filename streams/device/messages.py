"""What an M-Bus meter and its gateway write to each other, and the names they have for it. Decides nothing
(`delegation`).
"""

from hashlib import blake2b
from typing import Final
from uuid import UUID

from schemas.records import (
    CommandEnded,
    Delegated,
    DelegatedCommand,
    DelegatedEnded,
    DelegatedJob,
    Ended,
    Registration,
)
from streams.device.events import CommandReturned, JobRefused, JobTaken
from streams.device.state import Device, Flight, Pending, Served

SERVED_KEPT: Final = 16  # a gateway has four channels; meters come and go


def own_name(whose: Delegated) -> str:
    """The name a gateway has for a command it carries out for another device: a UUID of its own, as two devices may
    have commands of one correlation id.
    """
    said = f"{whose.device_id} {whose.number} {whose.correlation_id}".encode()
    return str(UUID(bytes=blake2b(said, digest_size=16).digest()))


def asked(device: Device, flight: Flight, registration: Registration) -> DelegatedJob:
    """The message that asks the gateway for the job an M-Bus meter has out."""
    held = {pending.correlation_id: pending for pending in device.queue}
    return DelegatedJob(
        device_id=flight.gateway_id or "",
        mbus_device_id=device.device_id,
        number=flight.number,
        channel=registration.channel or 0,
        answer_by=flight.deadline,
        commands=tuple([_command(held[name]) for name in flight.correlation_ids]),
    )


def _command(held: Pending) -> DelegatedCommand:
    return DelegatedCommand(
        held.correlation_id,
        held.operation,
        held.attempts + (held.doubt is None),
        held.command,
        held.priority,
        held.received_at,
        held.expires_at,
        held.doubt,
    )


def answer(gateway_id: str, event: CommandReturned, outcome: CommandEnded | None) -> DelegatedEnded:
    """The message that gives a command back; `outcome` is the worker's, with result and facts, when it succeeded."""
    whose = event.delegated
    ended = CommandEnded(
        whose.correlation_id,
        event.ended,
        event.fault,
        result=outcome.result if outcome is not None else None,
        large_result=event.large_result,
        facts=outcome.facts if outcome is not None else (),
    )
    return DelegatedEnded(whose.device_id, gateway_id, whose.number, ended)


def refusals(gateway_id: str, event: JobRefused) -> list[DelegatedEnded]:
    """The messages that give a whole job back."""
    return [
        DelegatedEnded(event.mbus_device_id, gateway_id, event.number, CommandEnded(name, Ended.FAILED, event.fault))
        for name in event.correlation_ids
    ]


def serve(served: tuple[Served, ...], event: JobTaken) -> tuple[Served, ...]:
    """Who a gateway works for, the latest last."""
    others = [each for each in served if each.device_id != event.mbus_device_id]
    return (*others, Served(event.mbus_device_id, event.number, event.channel))[-SERVED_KEPT:]
