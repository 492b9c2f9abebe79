"""The shared records as frozen dataclasses: what the Avro schemas of `avro/shared/` say, in the names Python code uses.

Times are milliseconds since 1970-01-01 UTC (Avro long, `timestamp-millis`) unless a field says otherwise: instants are
compared and added far more often than printed. Operation-specific records (requests and results) are the operations'
own (`operations/`).
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas._quick import quick

CORRELATION_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""What the id of a command has to look like: a UUID in its canonical text."""

NO_VALUE = -(1 << 63)
"""Stands for a missing value in packed int64 columns, which cannot say null."""


class Status(StrEnum):
    """The terminal outcome of a command."""

    SUCCESSFUL = "Successful"
    ERROR = "Error"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    UNKNOWN = "Unknown"


class Security(StrEnum):
    """How a meter is opened: reference `operations-managing.md` 2.10. HLS3, HLS4, HDLC and short names are rejected."""

    NONE = "none"
    LLS = "lls"
    HLS5 = "hls5"


class KeyKind(StrEnum):
    """Secrets of a device: reference `operations-managing.md` 2.12."""

    MASTER = "master"
    AUTHENTICATION = "authentication"
    ENCRYPTION = "encryption"
    PASSWORD = "password"  # noqa: S105 - the name of a kind
    MBUS = "mbus"


class CommunicationMethod(StrEnum):
    """How a meter reaches its network: which modem it is (reference `operations-reading.md` 1.2)."""

    GPRS = "GPRS"
    CDMA = "CDMA"
    LTE = "LTE"


class Lifecycle(StrEnum):
    """Where a device is in its life: reference `operations-managing.md` 2.14. Any state may follow any other."""

    NEW_IN_INVENTORY = "NEW_IN_INVENTORY"  # the first
    READY_FOR_USE = "READY_FOR_USE"
    REGISTERED = "REGISTERED"
    REGISTERED_BUILD_IN_FAILED = "REGISTERED_BUILD_IN_FAILED"
    REGISTERED_INSTALL_FAILED = "REGISTERED_INSTALL_FAILED"
    REGISTERED_UPDATE_FAILED = "REGISTERED_UPDATE_FAILED"
    IN_USE = "IN_USE"
    RETURNED_TO_INVENTORY = "RETURNED_TO_INVENTORY"
    UNDER_TEST = "UNDER_TEST"
    DESTROYED = "DESTROYED"


@quick
@dataclass(frozen=True, slots=True)
class Fault:
    """Why a command did not succeed; codes, names and components of `operations-managing.md` 2.16."""

    code: int
    name: str
    component: str
    message: str
    inner: str | None = None
    field: str | None = None  # the request's field at fault, for a Rejected


@quick
@dataclass(frozen=True, slots=True)
class CommandHeader:
    """First field of every command record."""

    correlation_id: str  # a UUID in its canonical text
    device_id: str
    created_at: int
    priority: int = 4  # 0 to 9, 9 first
    scheduled_at: int | None = None  # not before
    expires_at: int | None = None  # not started after; settled as Expired
    bypass_retry: bool = False
    requester: str = ""


@quick
@dataclass(frozen=True, slots=True)
class ResponseHeader:
    """First field of every response record; the second is the operation's result, or null."""

    correlation_id: str
    device_id: str
    operation: str
    status: Status
    fault: Fault | None
    attempts: int  # jobs that carried the command
    repeated: bool  # the same outcome told again, because the command was sent again
    created_at: int | None  # of the command; None when it could not be read
    received_at: int
    settled_at: int
    large_result: str | None = None  # topic:partition:offset of the result when it was too large to be in here


@quick
@dataclass(frozen=True, slots=True)
class SealedKey:
    """A secret under the platform's key-encryption key; opened only in the DLMS worker."""

    kind: KeyKind
    sealed: bytes


@quick
@dataclass(frozen=True, slots=True)
class Registration:
    """What is known of a device since AddDevice: all a worker needs to reach it."""

    device_type: str  # SMART_METER_E, SMART_METER_G, SMART_METER_W
    protocol: str  # DSMR, SMR
    protocol_version: str  # 4.2.2, 5.0.0 ...
    host: str
    port: int
    client_id: int
    logical_device: int
    security: Security
    system_title: bytes  # the meter's (the client's is the worker's own); empty = not known
    keys: tuple[SealedKey, ...]
    time_zone: str | None = None  # IANA
    with_list_max: int = 1
    selective_access: bool = True  # column selection in periodic reads
    gateway_id: str | None = None
    channel: int | None = None
    mbus_identification: str | None = None
    cell_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    polyphase: bool = False
    communication_method: CommunicationMethod | None = None


@quick
@dataclass(frozen=True, slots=True)
class Tick:
    """Time, for one partition of the streams."""

    at: int
    seed: int  # for jitter: decisions have no randomness of their own
    results_end: int  # read-committed end offset of job-results in this partition when the tick was made
    messages_end: int = 0  # the same of device-messages


@dataclass(frozen=True, slots=True)
class Delegated:
    """Whose command it is that a gateway carries out: of an M-Bus meter, a device of its own."""

    device_id: str
    number: int  # of that device's job
    correlation_id: str  # of the command, as its caller has it
    channel: int  # 1 to 4, of the gateway


@quick
@dataclass(frozen=True, slots=True)
class JobCommand:
    """One command of a job. `command` is the caller's record, byte for byte, single-object encoded.

    `correlation_id` names it within the job and in what is told of the job; of a command that is `delegated` it is the
    gateway's own name, as two devices may have commands of one correlation id.
    """

    correlation_id: str
    operation: str
    attempt: int  # from 1; with `verify`: the one in doubt
    command: bytes
    verify: bool = False  # look whether an earlier attempt was carried out; never carry it out
    delegated: Delegated | None = None
    kept: bytes | None = None  # of a bundle: the entries that earlier jobs obtained (`operations/bundle.py`)


@quick
@dataclass(frozen=True, slots=True)
class Permit:
    """One session in a radio cell, and the times at which its connections may be opened (`streams/cell`)."""

    cell_id: str
    number: int  # of the device's request: rises per device
    connects: tuple[int, ...]  # the first connection is opened at the first time, the next at the next, or not at all
    within: int  # ms after its time in which a connection may still be opened
    until: int  # the session counts until then, if the permit is not given back before


@quick
@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do on one meter in one association."""

    device_id: str
    number: int  # rising per device; a result of an older number settles nothing
    deadline: int  # no frame leaves after it
    counter_from: int  # invocation counters this job may use, both included
    counter_to: int
    registration: Registration | None  # None for AddDevice: there is nothing known yet
    commands: tuple[JobCommand, ...]
    permit: Permit | None = None  # when it may connect, where the device is in a radio cell
    debug: bool = False  # log every frame


@quick
@dataclass(frozen=True, slots=True)
class JobAttempting:
    """Published and acknowledged before the first step of a command that may not be repeated."""

    device_id: str
    number: int
    correlation_id: str
    at: int
    action: int | None = None  # of a bundle: the place of the action, from 0


class Ended(StrEnum):
    """What became of one command within one job."""

    SUCCESSFUL = "Successful"
    FAILED = "Failed"  # answered with a fault that a retry does not mend
    RETRIABLE = "Retriable"  # not carried out; may be tried again
    UNKNOWN = "Unknown"  # sent, not answered, may not be repeated; or looked at, and the meter does not show it
    NOT_STARTED = "NotStarted"  # the job ended before its turn
    NOT_DONE = "NotDone"  # looked at: nothing of the attempt in doubt was carried out


@dataclass(frozen=True, slots=True)
class TimeZoneSet:
    """Fact: the zone the device's clock runs in, learnt by SynchronizeTime."""

    time_zone: str


@dataclass(frozen=True, slots=True)
class DeviceRegistered:
    """Fact: AddDevice succeeded; keys are sealed under the platform's key."""

    registration: Registration
    invocation_counter: int = 0  # first counter the platform may use under the encryption key


@dataclass(frozen=True, slots=True)
class LifecycleSet:
    """Fact: the device is in another state of its life now."""

    lifecycle: Lifecycle


@dataclass(frozen=True, slots=True)
class DebuggingSet:
    """Fact: the frames of the device's sessions are logged until then; None: no longer."""

    until: int | None


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Fact: somebody does not want this command any more. Only an operation decided without a meter may tell it."""

    correlation_id: str


Fact = TimeZoneSet | DeviceRegistered | LifecycleSet | DebuggingSet | CancelAsked


@quick
@dataclass(frozen=True, slots=True)
class CommandEnded:
    """Outcome of one command in a job, with its result as the operation's own Avro body (no single-object header)."""

    correlation_id: str
    ended: Ended
    fault: Fault | None = None
    result: bytes | None = None
    large_result: str | None = None
    facts: tuple[Fact, ...] = ()
    device_id: str | None = None  # the M-Bus meter it is about, when it is not about the job's own device


@quick
@dataclass(frozen=True, slots=True)
class JobEnded:
    """The end of a job."""

    device_id: str
    number: int
    worker: str
    started_at: int
    ended_at: int
    reached: bool  # the meter answered at all
    counter_next: int  # first counter not used
    counter_floor: int | None  # what the meter said it expects, when it said so
    commands: tuple[CommandEnded, ...]
    lapsed: bool = False  # the time of its permit had passed when a worker came to it: nothing was begun


@dataclass(frozen=True, slots=True)
class DelegatedCommand:
    """One command of an M-Bus meter's job. `command` is the caller's record, byte for byte."""

    correlation_id: str
    operation: str
    attempt: int  # from 1
    command: bytes
    priority: int
    received_at: int  # by the M-Bus meter: its age among the gateway's commands
    expires_at: int | None = None
    doubt: Fault | None = None  # an attempt may have been carried out: look for it only


@dataclass(frozen=True, slots=True)
class DelegatedJob:
    """From an M-Bus meter to its gateway: a job to be carried out in the gateway's association.

    The gateway gives each command back, once: with its end, or as not started when it was not begun by `answer_by`.
    """

    device_id: str  # the gateway: the key
    mbus_device_id: str
    number: int  # rises per M-Bus meter: a gateway knows a message again by it
    channel: int
    answer_by: int
    commands: tuple[DelegatedCommand, ...]


@dataclass(frozen=True, slots=True)
class DelegatedEnded:
    """From a gateway to an M-Bus meter: what became of one command of its job."""

    device_id: str  # the M-Bus meter: the key
    gateway_id: str
    number: int
    command: CommandEnded


@quick
@dataclass(frozen=True, slots=True)
class PermitAsked:
    """From a device to its cell: it wants to be called. Takes the place of all its earlier requests."""

    cell_id: str  # the key
    device_id: str
    number: int  # rises per device
    priority: int
    since: int  # when the command was received that has this priority: the older go first
    connections: int  # how many may have to be opened, one after the other
    hold: int  # ms the session may take after its last connection, and what proves that it is over


@quick
@dataclass(frozen=True, slots=True)
class PermitReturned:
    """From a device to its cell: the session is over, or the permit is not wanted."""

    cell_id: str  # the key
    device_id: str
    number: int
    lapsed: bool = False  # its time had passed before anybody could use it


@quick
@dataclass(frozen=True, slots=True)
class PermitGranted:
    """From a cell to a device: it may be called."""

    device_id: str  # the key
    permit: Permit


@quick
@dataclass(frozen=True, slots=True)
class PermitRefused:
    """From a cell to a device: too many wait with a better claim. It may ask again later."""

    device_id: str  # the key
    cell_id: str
    number: int


class Notice(StrEnum):
    """Kinds of notification."""

    RECEIVED = "Received"
    RESULT_READY = "ResultReady"


@quick
@dataclass(frozen=True, slots=True)
class Notification:
    """What happens to a command on its way; never its outcome, which is the response."""

    correlation_id: str
    device_id: str
    operation: str
    notice: Notice
    at: int
    status: Status | None = None  # with ResultReady


@dataclass(frozen=True, slots=True)
class RegisterRead:
    """One register. `value` counts millionths of `unit` (kWh, m3), exact; None when the meter gave none."""

    quantity: str
    unit: str
    value: int | None


@dataclass(frozen=True, slots=True)
class RegisterReads:
    """Registers as they stood at one moment of the meter's clock."""

    device_id: str
    correlation_id: str
    captured_at: int
    received_at: int
    registers: tuple[RegisterRead, ...]


@dataclass(frozen=True, slots=True)
class EnergyReads:
    """Rows of one energy profile as packed little-endian columns: shape C of the ClickHouse facts.

    `times` int64 milliseconds UTC, `statuses` one byte a row (AMR profile status; 0 when the profile has none), each
    value column int64 millionths of a kWh with NO_VALUE for a missing value. A column the profile does not have is
    empty. All columns that are not empty have the same number of rows.
    """

    device_id: str
    correlation_id: str
    period: str  # INTERVAL, DAILY, MONTHLY
    received_at: int
    times: bytes
    statuses: bytes
    import_total: bytes = b""
    export_total: bytes = b""
    import_rate1: bytes = b""
    import_rate2: bytes = b""
    export_rate1: bytes = b""
    export_rate2: bytes = b""


@dataclass(frozen=True, slots=True)
class ProfileColumn:
    """One quantity of a profile. `values`: int64 millionths of `unit`, NO_VALUE for a missing one. `value_times`: int64
    milliseconds UTC when each value itself was taken, where that is not the row's time (M-Bus meters); else empty.
    """

    quantity: str  # average_voltage_l1
    unit: str  # V, A, W, var, kWh, m3, s, %; empty for a count
    values: bytes
    value_times: bytes = b""


@dataclass(frozen=True, slots=True)
class ProfileReads:
    """Rows of any profile but the energy profiles of the electricity meter, as packed little-endian columns, as
    `EnergyReads` has them. `statuses` is empty when the profile has none.
    """

    device_id: str
    correlation_id: str
    received_at: int
    logical_name: str  # of the profile: 1-0:99.1.1.255
    profile: str  # its name, POWER_QUALITY_PROFILE_1; empty when nobody named it
    times: bytes
    statuses: bytes
    columns: tuple[ProfileColumn, ...]


@dataclass(frozen=True, slots=True)
class MeterEvent:
    """One entry of an event log: `code` as the meter wrote it. `counter`, `magnitude` and `duration` only where the log
    has them; `magnitude` counts millionths of `magnitude_unit` (empty: of the meter's raw number, as nobody knows its
    scale), `duration` millionths of a second, or of the raw number likewise.
    """

    captured_at: int
    code: int
    counter: int | None = None
    magnitude: int | None = None
    magnitude_unit: str = ""
    duration: int | None = None


@dataclass(frozen=True, slots=True)
class MeterEvents:
    """Entries of one event log of a meter, oldest first as the meter has them. `protocol` (DSMR, SMR) says whose codes
    they are: a few mean one thing on the one and another on the other.
    """

    device_id: str
    correlation_id: str
    protocol: str
    category: str  # which log: STANDARD_EVENT_LOG ...
    received_at: int
    events: tuple[MeterEvent, ...]


@dataclass(frozen=True, slots=True)
class MeterOutage:
    """One long power failure: when it ended by the meter's clock, and its seconds."""

    ended_at: int
    duration: int


@dataclass(frozen=True, slots=True)
class MeterOutages:
    """The long power failures a meter remembers."""

    device_id: str
    correlation_id: str
    received_at: int
    outages: tuple[MeterOutage, ...]


@dataclass(frozen=True, slots=True)
class LoggedFrame:
    """One frame of a session of a device in debug mode, without secrets. `device_id`, `job` and `sequence` name it."""

    device_id: str
    job: int
    association: int  # of the job, from 1
    sequence: int  # within the job, from 0
    at: int  # by the worker's clock
    incoming: bool  # from the meter
    valid: bool  # it could be read
    correlation_id: str | None  # of the command that was under way
    frame: bytes  # as on the wire where it was ciphered; what went in the clear as far as it may be shown
    withheld: int  # bytes not shown, of `frame` or of what could be deciphered of it; 0: none
    summary: str  # one line
    text: str = ""  # XML of the deciphered APDU, where the worker has a translator


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """One read of a plan. `request`: JSON of its fields. `profile`: INTERVAL, DAILY or MONTHLY, whose periods are the
    plan's to say; empty for an operation that says how things stand.
    """

    name: str
    operation: str
    request: str
    profile: str
    catch_up_days: int


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """One version of a plan: what is read of whom, and when. Of the conditions on devices all have to hold; an empty
    one always does. Window in minutes of the local day; lengths in ms.
    """

    name: str
    version: int  # from 1; the last one counts
    at: int  # when it was applied
    deleted: bool  # nothing is read by it from then on
    zone: str  # IANA
    device_types: tuple[str, ...]
    profiles: tuple[str, ...]  # such as SMR 5.0.0
    cells: tuple[str, ...]
    labels: dict[str, str]
    device_ids: tuple[str, ...]
    window_begin: int
    window_end: int
    retry: int
    expires: int
    outside_window: bool
    priority: int
    reads: tuple[PlannedRead, ...]
    source: str  # the file it was applied from


@dataclass(frozen=True, slots=True)
class LargeResult:
    """A result of more than `topics.MAX_RESULT_BYTES`."""

    correlation_id: str
    device_id: str
    operation: str
    result: bytes
