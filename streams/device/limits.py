"""The numbers the decisions are made with: one frozen record, so that a test or an operator can choose others."""

from dataclasses import dataclass

from schemas.records import Lifecycle

KIB = 1024
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Defaults follow reference `operations-managing.md` 2.5 and 2.21; times in milliseconds."""

    slots: int = 500  # jobs in flight a partition; of four, what one worker's 2,000 sessions carry
    silent_slots: int = 125  # of them at most for meters that did not answer lately
    attempts: int = 3  # the first and two retries
    retry_delay: int = 30_000  # doubled with each attempt
    retry_jitter: float = 0.2  # of the delay, either way
    decay_every: int = 2  # retries; a command's priority falls a step each time (never with three attempts)
    commands_a_job: int = 16
    seconds_a_job: int = 600  # sum of what its operations may take; one command may exceed it alone
    operation_seconds: int = 86_400  # of any one operation at most, whatever it declares
    connect: int = 60_000  # for taking the job, the connection and the association
    grace: int = 30_000  # after the deadline, for the result to arrive
    association_frames: int = 8  # invocation counters besides those of the operations
    counter_leap: int = 1_000_000  # how far above ours a meter's counter is believed to be: decades of use
    delegation: int = 10 * MINUTE_MS  # a gateway begins an M-Bus meter's command within it, or gives it back
    permit_patience: int = 5 * MINUTE_MS  # a cell that says nothing for so long is asked again
    ageing_step: int = 10 * MINUTE_MS  # in which a command below the default priority rises a step, up to it
    queue_commands: int = 256  # waiting at one device
    queue_bytes: int = (
        512 * KIB
    )  # of their records: state, job and what is kept of bundles stay within one Kafka record
    record_bytes: int = 256 * KIB  # of one command
    snapshot_every: int = 256  # versions of a device, from which a replay of its log can start
    kept_bytes: int = 128 * KIB  # results that wait at one device for the rest of their bundles
    refused_lifecycles: frozenset[Lifecycle] = frozenset()  # whose devices are left alone; reference 2.14: none

    def __post_init__(self) -> None:
        for name in (
            "slots",
            "attempts",
            "decay_every",
            "snapshot_every",
            "commands_a_job",
            "queue_commands",
            "operation_seconds",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is less than 1")
        if not 0 <= self.silent_slots <= self.slots:
            raise ValueError(f"silent_slots: {self.silent_slots} is not within 0 and slots ({self.slots})")
        if not 0 <= self.retry_jitter < 1:
            raise ValueError(f"retry_jitter: {self.retry_jitter} is not within 0 and 1")
