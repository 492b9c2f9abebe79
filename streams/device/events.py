"""What can happen to a device, and what it can hear of: events are the log, messages are the inbox after reading.

All events of one decision are one `DeviceEvents` record. `version` counts a device's decisions without a gap; a
decision that leaves the device as it was (a refusal nobody needs to remember, a repeat) is logged for the analysts
with version 0, and a replay passes over it.
"""

from dataclasses import dataclass
from typing import Any, Final

from schemas._quick import quick
from schemas.records import (
    CommandHeader,
    DebuggingSet,
    Delegated,
    DelegatedCommand,
    DelegatedEnded,
    DelegatedJob,
    DeviceRegistered,
    Ended,
    Fault,
    JobAttempting,
    JobEnded,
    LifecycleSet,
    Permit,
    PermitRefused,
    Status,
    TimeZoneSet,
)

UNVERSIONED: Final = 0


@quick
@dataclass(frozen=True, slots=True)
class CommandAccepted:
    """The command is the device's to carry out; it will have exactly one outcome."""

    correlation_id: str
    operation: str
    command: bytes
    digest: bytes
    priority: int
    created_at: int
    received_at: int
    not_before: int
    expires_at: int | None
    bypass_retry: bool


@quick
@dataclass(frozen=True, slots=True)
class CommandRefused:
    """Rejected, and not remembered: the device does not exist, or its memory already speaks of the id. Changes
    nothing.
    """

    correlation_id: str
    operation: str
    fault: Fault
    created_at: int | None
    received_at: int


@quick
@dataclass(frozen=True, slots=True)
class CommandRepeated:
    """The same command again. `status` None: it is still in work. Changes nothing."""

    correlation_id: str
    operation: str
    status: Status | None
    fault: Fault | None
    attempts: int
    created_at: int
    received_at: int
    settled_at: int | None


@quick
@dataclass(frozen=True, slots=True)
class JobDispatched:
    """A worker was given the due commands, and invocation counters; below `counter_from`, `counter_to` means none.

    Of an M-Bus meter: its gateway was given them, and begins none after the deadline.
    """

    number: int
    correlation_ids: tuple[str, ...]
    dispatched_at: int
    deadline: int
    counter_from: int
    counter_to: int
    gateway_id: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class AttemptBegun:
    """From now on nobody may carry this command, or this action of a bundle, out again: the meter may have heard it."""

    number: int
    correlation_id: str
    action: int | None = None


@quick
@dataclass(frozen=True, slots=True)
class JobReported:
    """The job in flight ended with a result. `unreached`: the meter was called and did not answer. `remaining`: what
    its gateway has not given back yet; the job is not over then. `called` False: nobody called the meter, so nothing
    was learnt of whether it answers.
    """

    number: int
    unreached: bool
    at: int
    remaining: tuple[str, ...] = ()
    called: bool = True


@quick
@dataclass(frozen=True, slots=True)
class JobLost:
    """The job in flight had no result by its deadline and grace, and none was left unread."""

    number: int
    at: int


@quick
@dataclass(frozen=True, slots=True)
class CommandPostponed:
    """Back in the queue for another attempt."""

    correlation_id: str
    not_before: int
    attempts: int
    fault: Fault | None
    kept: bytes | None = None  # of a bundle: what its jobs obtained so far


@quick
@dataclass(frozen=True, slots=True)
class CommandDoubted:
    """An attempt may have been carried out and nobody heard. Never again until somebody has looked, from `not_before`
    on.
    """

    correlation_id: str
    not_before: int
    attempts: int
    fault: Fault  # how the answer was lost


@quick
@dataclass(frozen=True, slots=True)
class VerifyPostponed:
    """The job that was to look could not, or did not come to it."""

    correlation_id: str
    not_before: int
    looks: int
    fault: Fault | None


@quick
@dataclass(frozen=True, slots=True)
class AttemptDisproved:
    """Somebody looked: nothing was carried out. The command is as it was before the attempt in doubt, but for its
    count.
    """

    correlation_id: str


@quick
@dataclass(frozen=True, slots=True)
class CommandSettled:
    """The one terminal outcome. The log never holds what a meter answered, but for bundles answered in part: `react`
    takes that from the message that brought it. `result`: what an operation answered that was carried out here, small,
    so that the log explains itself; or what is there of a bundle that could not be finished.
    """

    correlation_id: str
    operation: str
    status: Status
    fault: Fault | None
    attempts: int
    digest: bytes
    created_at: int
    received_at: int
    settled_at: int
    large_result: str | None = None
    result: bytes | None = None


@quick
@dataclass(frozen=True, slots=True)
class CancelNoted:
    """A command in flight is not wanted any more, says command `by`: it is not tried again."""

    correlation_id: str
    by: str


@quick
@dataclass(frozen=True, slots=True)
class CounterRaised:
    """The meter expects at least this invocation counter."""

    counter: int


@quick
@dataclass(frozen=True, slots=True)
class CounterDoubted:
    """Somebody says the meter expects an invocation counter so far above ours that it is not followed."""

    counter: int


@quick
@dataclass(frozen=True, slots=True)
class Snapshotted:
    """The device after this decision, whole: the last event of every so many (`snapshot`)."""

    state: bytes  # as the table holds it


@dataclass(frozen=True, slots=True)
class JobTaken:
    """A job of an M-Bus meter: this gateway carries its commands out and gives each back, once."""

    mbus_device_id: str
    number: int
    channel: int
    answer_by: int
    at: int
    commands: tuple[DelegatedCommand, ...]


@dataclass(frozen=True, slots=True)
class JobRefused:
    """A job of an M-Bus meter for a gateway that nobody knows: given back whole. Changes nothing."""

    mbus_device_id: str
    number: int
    correlation_ids: tuple[str, ...]
    fault: Fault
    at: int


@dataclass(frozen=True, slots=True)
class CommandReturned:
    """Given back to the M-Bus meter it belongs to, with what became of it. `react` takes the result, as of
    CommandSettled.
    """

    correlation_id: str  # the name this gateway had for it
    delegated: Delegated
    operation: str
    ended: Ended
    fault: Fault | None
    large_result: str | None
    at: int


@quick
@dataclass(frozen=True, slots=True)
class PermitRequested:
    """The radio cell is asked; an earlier request is forgotten."""

    number: int
    cell_id: str
    priority: int
    since: int
    connections: int
    hold: int
    again_at: int  # it is asked anew then, if nothing came


@quick
@dataclass(frozen=True, slots=True)
class PermitTaken:
    """The radio cell grants what was asked for."""

    permit: Permit


@quick
@dataclass(frozen=True, slots=True)
class PermitPostponed:
    """The permit's time passed before a slot was free, or the radio cell had no room for the request."""

    number: int
    cell_id: str
    again_at: int


@quick
@dataclass(frozen=True, slots=True)
class PermitDropped:
    """Given back: its job is over, or there is nothing to do any more."""

    number: int
    cell_id: str
    lapsed: bool = False  # its time had passed when a worker came to it


@quick
@dataclass(frozen=True, slots=True)
class PermitDeclined:
    """A permit that this device did not wait for: given back. Changes nothing."""

    number: int
    cell_id: str


Event = (
    CommandAccepted
    | CommandRefused
    | CommandRepeated
    | JobDispatched
    | AttemptBegun
    | JobReported
    | JobLost
    | CommandPostponed
    | CommandDoubted
    | VerifyPostponed
    | AttemptDisproved
    | CommandSettled
    | CancelNoted
    | CounterRaised
    | CounterDoubted
    | JobTaken
    | JobRefused
    | CommandReturned
    | PermitRequested
    | PermitTaken
    | PermitPostponed
    | PermitDropped
    | PermitDeclined
    | TimeZoneSet
    | DeviceRegistered
    | LifecycleSet
    | DebuggingSet
    | Snapshotted
)


@quick
@dataclass(frozen=True, slots=True)
class DeviceEvents:
    """One decision: a record of the log."""

    device_id: str
    version: int  # of the device after it; 0 = the device is as it was
    at: int
    cause: str  # "<topic>@<offset>" of the message decided, or "dispatch"
    events: tuple[Event, ...]


@quick
@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A command that could be read. `request` is a mapping of plain values, not yet checked."""

    header: CommandHeader
    operation: str
    request: Any
    record: bytes
    at: int


@quick
@dataclass(frozen=True, slots=True)
class AttemptReported:
    attempting: JobAttempting


@quick
@dataclass(frozen=True, slots=True)
class ResultReported:
    ended: JobEnded
    at: int
    seed: int


@quick
@dataclass(frozen=True, slots=True)
class TimePassed:
    """A tick, for a device whose time has come. `results_decided`: no result committed before the tick is left
    undecided; `messages_decided`: no message of another device.
    """

    at: int
    seed: int
    results_decided: bool
    messages_decided: bool = True


@dataclass(frozen=True, slots=True)
class JobReceived:
    """A gateway is asked by an M-Bus meter."""

    job: DelegatedJob
    at: int


@dataclass(frozen=True, slots=True)
class ReturnReceived:
    """An M-Bus meter is given a command back by its gateway."""

    returned: DelegatedEnded
    at: int
    seed: int


@dataclass(frozen=True, slots=True)
class GrantReceived:
    """The radio cell lets the device be called."""

    permit: Permit


@dataclass(frozen=True, slots=True)
class RefusalReceived:
    """The radio cell has no room for the request."""

    refused: PermitRefused
    at: int


Judged = ResultReported | ReturnReceived | TimePassed  # what a command may be judged by; each has a time and a seed
Message = (
    CommandReceived
    | AttemptReported
    | ResultReported
    | TimePassed
    | JobReceived
    | ReturnReceived
    | GrantReceived
    | RefusalReceived
)
