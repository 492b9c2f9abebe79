"""What an operation may know of its device: read-only, made by whoever runs it from the device's registration."""

from collections.abc import Callable
from dataclasses import dataclass

from operations._profile import Profile
from schemas.records import CommunicationMethod, Lifecycle, Status


@dataclass(frozen=True, slots=True)
class Meter:
    """The meter of a conversation: its profile, and the settings of reference operations-reading 1.2.

    Of an M-Bus meter: its own identification and channel, and all else of the gateway the conversation is with.
    """

    device_id: str
    profile: Profile
    time_zone: str | None = None  # IANA; None counts as UTC
    with_list_max: int = 1
    selective_access: bool = True  # column selection in periodic reads
    channel: int | None = None
    polyphase: bool = False  # has phases L2 and L3
    communication_method: CommunicationMethod | None = None  # which modem; None: nobody said


@dataclass(frozen=True, slots=True)
class Known:
    """A command that the device holds or remembers."""

    operation: str  # empty when only its outcome is remembered
    in_flight: bool = False  # a worker has it, or had it and nobody knows yet what the meter did
    status: Status | None = None  # its outcome


def _nothing(correlation_id: str) -> Known | None:
    return None


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a decision, before anything is sent: what `decide` of an operation may look at."""

    device_id: str
    registered: bool
    device_type: str = ""  # empty: not known yet, as the device is still being registered
    lifecycle: Lifecycle = Lifecycle.NEW_IN_INVENTORY
    command: Callable[[str], Known | None] = _nothing  # what is known of a command by its correlation id
    gateway_id: str | None = None  # of an M-Bus meter
    channel: int | None = None
    at: int = 0  # when the decision is taken, in ms since 1970 UTC: of the message that led to it
    debug_until: int | None = None  # its frames are logged until then
