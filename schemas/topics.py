"""Every topic of the system, declared once: the map of what moves. `meterlog topics apply` creates and checks them.

Names are `metering.<name>.v1`, the key of every record is the device identification (UTF-8), of those to and of cells
the cell's, of plans their name and version. Topics of one `share` must have the same number of partitions, fixed at the
first apply: Faust hands a worker equal partition numbers of all its inbox topics, and a derived record goes to the
partition of its input; a message to another device alone goes to that of its receiver.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

DAY_MS: Final = 86_400_000


class Share(Enum):
    """Who must agree on the number of partitions."""

    STREAMS = "streams"  # the inboxes of streams/device and streams/cell and what they send: one count for all
    OWN = "own"  # free to differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: what lies on it, who writes it, how long it is kept (ms; None = compacted, kept for ever)."""

    name: str
    about: str
    records: tuple[str, ...]  # full names of the Avro records; a trailing `*` stands for one record an operation
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    retention_ms: int | None = 7 * DAY_MS
    share: Share = Share.OWN
    max_bytes: int = 1_048_576
    compression: str = "producer"

    @property
    def compacted(self) -> bool:
        return self.retention_ms is None


def _streams(
    name: str,
    about: str,
    records: tuple[str, ...],
    writers: tuple[str, ...],
    readers: tuple[str, ...],
    retention_ms: int | None = 7 * DAY_MS,
) -> Topic:
    return Topic(
        name=f"metering.{name}.v1",
        about=about,
        records=records,
        writers=writers,
        readers=readers,
        retention_ms=retention_ms,
        share=Share.STREAMS,
    )


COMMANDS: Final = _streams(
    "commands",
    "What upstream systems ask of a device",
    ("meterlog.commands.*",),
    ("upstream", "connectors/faces"),
    ("streams/device",),
)
JOB_RESULTS: Final = _streams(
    "job-results",
    "What became of a job: its beginning of a step that may not be repeated, and its end",
    ("meterlog.JobAttempting", "meterlog.JobEnded"),
    ("connectors/dlms", "connectors/clickhouse"),
    ("streams/device",),
)
DEVICE_MESSAGES: Final = _streams(
    "device-messages",
    "Between devices, each in the partition of its receiver: an M-Bus meter's job to its gateway, and the answers",
    ("meterlog.DelegatedJob", "meterlog.DelegatedEnded"),
    ("streams/device",),
    ("streams/device",),
)
TICKS: Final = _streams(
    "ticks",
    "Time, as a message: one a second and partition",
    ("meterlog.Tick",),
    ("streams/device",),
    ("streams/device",),
    retention_ms=DAY_MS // 24,
)
PERMIT_REQUESTS: Final = _streams(
    "permit-requests",
    "From devices to their radio cell, the key: permits asked for and given back",
    ("meterlog.PermitAsked", "meterlog.PermitReturned"),
    ("streams/device",),
    ("streams/cell",),
    retention_ms=DAY_MS,
)
PERMITS: Final = _streams(
    "permits",
    "From radio cells to devices: permits to connect, and when",
    ("meterlog.PermitGranted", "meterlog.PermitRefused"),
    ("streams/cell",),
    ("streams/device",),
    retention_ms=DAY_MS,
)
CELL_TICKS: Final = _streams(
    "cell-ticks",
    "Time, as a message to the cells: one a second and partition",
    ("meterlog.Tick",),
    ("streams/cell",),
    ("streams/cell",),
    retention_ms=DAY_MS // 24,
)
CELLS: Final = _streams(
    "cells",
    "The table of radio cells: who waits, who may be connected, when; and the inbox position of the partition",
    ("meterlog.CellState",),
    ("streams/cell",),
    ("streams/cell",),
    retention_ms=None,
)
DEVICE_EVENTS: Final = _streams(
    "device-events",
    "The log: all events of one decision are one record",
    ("meterlog.DeviceEvents",),
    ("streams/device",),
    ("connectors/clickhouse", "meterlog verify-state"),
    retention_ms=365 * DAY_MS,
)
DEVICES: Final = _streams(
    "devices",
    "The table: the fold of the log, one value a device, and the inbox position of the partition",
    ("meterlog.DeviceState",),
    ("streams/device",),
    ("streams/device", "meterlog verify-state"),
    retention_ms=None,
)
JOBS: Final = _streams(
    "jobs",
    "What a worker is to do on one meter in one association",
    ("meterlog.Job",),
    ("streams/device",),
    ("connectors/dlms",),
    retention_ms=DAY_MS,
)
STORE_JOBS: Final = _streams(
    "store-jobs",
    "What is asked of the store, not of a meter",
    ("meterlog.Job",),
    ("streams/device",),
    ("connectors/clickhouse",),
    retention_ms=DAY_MS,
)
RESPONSES: Final = _streams(
    "responses",
    "The one terminal outcome of every command",
    ("meterlog.responses.*",),
    ("streams/device",),
    ("upstream", "connectors/clickhouse", "connectors/faces"),
)
NOTIFICATIONS: Final = _streams(
    "notifications",
    "What happens to a command on its way: received, result ready",
    ("meterlog.Notification",),
    ("streams/device",),
    ("upstream", "connectors/faces"),
)

READS_REGISTERS: Final = Topic(
    name="metering.reads.registers.v1",
    about="Registers as they stood at one moment",
    records=("meterlog.RegisterReads",),
    writers=("connectors/dlms",),
    readers=("connectors/clickhouse", "analytics"),
    compression="zstd",
)
READS_PROFILES: Final = Topic(
    name="metering.reads.profiles.v1",
    about="Rows of profiles, as packed columns: of the energy profiles, and of all others",
    records=("meterlog.EnergyReads", "meterlog.ProfileReads"),
    writers=("connectors/dlms",),
    readers=("connectors/clickhouse", "analytics"),
    compression="zstd",
)
METER_EVENTS: Final = Topic(
    name="metering.meter-events.v1",
    about="Entries of the meters' event logs, and their long power failures",
    records=("meterlog.MeterEvents", "meterlog.MeterOutages"),
    writers=("connectors/dlms",),
    readers=("connectors/clickhouse", "analytics"),
    compression="zstd",
)
RESULTS_LARGE: Final = Topic(
    name="metering.results.large.v1",
    about="Results too large for a response record",
    records=("meterlog.LargeResult",),
    writers=("connectors/dlms", "connectors/clickhouse"),
    readers=("upstream", "connectors/clickhouse"),
    max_bytes=16 * 1_048_576,
    compression="zstd",
)
DLMS_LOG: Final = Topic(
    name="metering.dlms-log.v1",
    about="Frames of the sessions of devices in debug mode, readable, without keys and secrets",
    records=("meterlog.LoggedFrame",),
    writers=("connectors/dlms",),
    readers=("connectors/clickhouse",),
    compression="zstd",
)
PLANS: Final = Topic(
    name="metering.plans.v1",
    about="Reading plans, every version of each; the key is name and version",
    records=("meterlog.ReadingPlan",),
    writers=("meterlog plan",),
    readers=("connectors/planner", "connectors/clickhouse"),
    retention_ms=None,
)
DEAD_LETTERS: Final = Topic(
    name="metering.dead-letters.v1",
    about="Bytes nobody could read or attribute: the original record, the reason in headers",
    records=(),
    writers=("streams/device", "streams/cell", "connectors/dlms", "connectors/clickhouse"),
    readers=("meterlog dlq",),
    retention_ms=30 * DAY_MS,
    max_bytes=2 * 1_048_576,
)

TOPICS: Final[tuple[Topic, ...]] = (
    COMMANDS,
    JOB_RESULTS,
    DEVICE_MESSAGES,
    TICKS,
    PERMIT_REQUESTS,
    PERMITS,
    CELL_TICKS,
    CELLS,
    DEVICE_EVENTS,
    DEVICES,
    JOBS,
    STORE_JOBS,
    RESPONSES,
    NOTIFICATIONS,
    READS_REGISTERS,
    READS_PROFILES,
    METER_EVENTS,
    RESULTS_LARGE,
    DLMS_LOG,
    PLANS,
    DEAD_LETTERS,
)
DEVICE_INBOX: Final[tuple[Topic, ...]] = (COMMANDS, JOB_RESULTS, DEVICE_MESSAGES, PERMITS, TICKS)
DEVICE_OUTPUTS: Final[tuple[Topic, ...]] = (DEVICE_EVENTS, JOBS, STORE_JOBS, RESPONSES, NOTIFICATIONS)
"""Of `streams/device` alone, in the partition of the input. What goes to other partitions is not among them."""
CELL_INBOX: Final[tuple[Topic, ...]] = (PERMIT_REQUESTS, CELL_TICKS)
MAX_RESULT_BYTES: Final = 256 * 1024  # a larger result goes to RESULTS_LARGE and the response says so
