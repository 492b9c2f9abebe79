"""Permits of the radio cell a device is in (`streams/cell`): when one is asked for, used, and given back.

A device whose registration names a cell asks before each job, and holds no slot while it waits. What it has asked for,
or has, is its `Claim`. A permit is good for one job, whose connections are opened at the times it says; it is given
back when the job has ended or was lost, when it is not wanted any more, and when its time passes before a slot is
free. A grant that nobody waits for is given back as well, so late and repeated ones do no harm.

An M-Bus meter asks for none: its gateway's job is the one that connects.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final
from zlib import crc32

from schemas.records import Permit, Registration
from streams.device.events import (
    Event,
    PermitDeclined,
    PermitDropped,
    PermitPostponed,
    PermitRequested,
    PermitTaken,
    RefusalReceived,
)
from streams.device.leases import NEVER, seconds_of
from streams.device.limits import Limits
from streams.device.possible import is_mbus
from streams.device.state import Device, Pending

_HIGH: Final = 4  # commands above it are in a hurry; reference operations-managing 2.8
_AGAIN: Final = 3  # connections of a session that puts the invocation counter right (reference 2.11)

Rank = tuple[int, int]  # minus priority, received at: of the first due command


class Turn(Enum):
    """What a device has to do with its cell."""

    GO = "go"  # nothing: it needs no permit, or has one
    ACT = "act"  # ask, or give back
    WAIT = "wait"  # for its cell


def cell_of(registration: Registration | None) -> str | None:
    """The cell whose permit a job of this device needs."""
    if registration is None or not registration.cell_id or is_mbus(registration):
        return None
    return registration.cell_id


def turn(device: Device, first: Rank | None, now: int) -> tuple[Turn, int]:
    """And when to look again. `first`: None when no command is due. Of a device without a job."""
    claim, cell = device.claim, cell_of(device.registration) if first is not None else None
    if claim is None or first is None or cell != claim.cell_id:
        return (Turn.GO if claim is None and cell is None else Turn.ACT), NEVER
    if claim.granted is not None:
        last = claim.granted.connects[0] + claim.granted.within
        return (Turn.GO, last + 1) if now <= last else (Turn.ACT, NEVER)
    if claim.again_at <= now or -first[0] > claim.priority:
        return Turn.ACT, NEVER
    return Turn.WAIT, claim.again_at


def act(device: Device, due: Sequence[Pending], first: Rank | None, now: int, limits: Limits) -> Event:
    """What a device does whose turn it is to."""
    claim, cell = device.claim, cell_of(device.registration)
    if claim is not None and claim.granted is not None and first is not None and cell == claim.cell_id:
        return PermitPostponed(claim.number, claim.cell_id, now + _rest(device, -first[0]))  # its time has passed
    if first is None or cell is None or (claim is not None and cell != claim.cell_id):
        assert claim is not None
        return PermitDropped(claim.number, claim.cell_id)
    seconds = max(limits.seconds_a_job, *(seconds_of(held, limits) for held in due))
    again = any(held.attempts or held.bypass_retry for held in due)
    return PermitRequested(
        number=device.permits + 1,
        cell_id=cell,
        priority=-first[0],
        since=first[1],
        connections=_AGAIN if again else 1,
        hold=limits.connect + 1_000 * seconds + 2 * limits.grace,
        again_at=now + limits.permit_patience,
    )


def usable(device: Device, deadline: int, limits: Limits) -> bool:
    """Whether a job with this deadline is surely over while its permit counts; one that needs none always is."""
    claim = device.claim
    return claim is None or claim.granted is None or deadline + limits.grace <= claim.granted.until


def start_of(device: Device, now: int) -> int:
    """When the last connection of the next job is opened, at the latest: from then on its time runs."""
    if device.claim is None or device.claim.granted is None:
        return now
    return max(now, device.claim.granted.connects[-1] + device.claim.granted.within)


def dropped(device: Device, *, lapsed: bool = False) -> list[Event]:
    """The permit is not needed any more: the job it was for is over."""
    return [] if device.claim is None else [PermitDropped(device.claim.number, device.claim.cell_id, lapsed)]


def granted(device: Device, permit: Permit) -> list[Event]:
    """What follows from a grant. One that nobody waits for is given back; a repeat changes nothing."""
    claim = device.claim
    if claim is None or (claim.number, claim.cell_id) != (permit.number, permit.cell_id):
        return [PermitDeclined(permit.number, permit.cell_id)]
    return [PermitTaken(permit)] if claim.granted is None else []


def refused(device: Device, message: RefusalReceived) -> list[Event]:
    """What follows when a cell has no room for a request."""
    claim, told = device.claim, message.refused
    if claim is None or claim.granted is not None or (claim.number, claim.cell_id) != (told.number, told.cell_id):
        return []
    return [PermitPostponed(claim.number, claim.cell_id, message.at + _rest(device, claim.priority))]


def rest(device: Device) -> int:
    """How long the commands of a job wait that was not begun, as its permit had lapsed: that was no attempt, ms."""
    return _rest(device, device.claim.priority if device.claim is not None else _HIGH)


def _rest(device: Device, priority: int) -> int:
    """How long a device waits before it asks again (reference 2.8: 2 s, or 50 to 70), ms."""
    if priority > _HIGH:
        return 2_000
    return 50_000 + crc32(device.device_id.encode(), device.permits & 0xFFFF_FFFF) % 20_001
