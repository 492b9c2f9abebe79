"""What can happen in a cell, and what it can hear of."""

from dataclasses import dataclass

from schemas.records import Permit, PermitAsked, PermitReturned


@dataclass(frozen=True, slots=True)
class RequestQueued:
    """A device waits now; its earlier request is forgotten."""

    asked: PermitAsked


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A device does not wait: others have a better claim, and there is no room."""

    device_id: str
    number: int


@dataclass(frozen=True, slots=True)
class RequestWithdrawn:
    """A device does not wait any more."""

    device_id: str
    number: int


@dataclass(frozen=True, slots=True)
class PermitGiven:
    """A device may be called. `floor`: earlier than that no connection is given a time any more. `spaced`: whether its
    times keep others away.
    """

    device_id: str
    permit: Permit
    floor: int
    spaced: bool


@dataclass(frozen=True, slots=True)
class PermitFreed:
    """A permit is back. `lapsed`: its time had passed before anybody could use it."""

    device_id: str
    number: int
    lapsed: bool = False


@dataclass(frozen=True, slots=True)
class PermitExpired:
    """A permit that nobody gave back counts no longer."""

    device_id: str
    number: int


Event = RequestQueued | RequestRefused | RequestWithdrawn | PermitGiven | PermitFreed | PermitExpired


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A tick."""

    at: int


Message = PermitAsked | PermitReturned | TimePassed
