"""What a shell shows of itself: whether it makes progress, and its counters. Served by the app, filled by the shell."""

import logging
import time
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from roles.stuck import Standstill
from streams.readers import Passed

_log = logging.getLogger(__name__)

RECOVERY_SECONDS = 900.0
"""Joining and loading may take so long before they count as a standstill: many times what a million devices need."""

_TRANSACTION_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class ShellMetrics:
    """Prometheus metrics of one shell. No label names a device."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        into = CollectorRegistry() if registry is None else registry
        self.registry = into
        self.batches = Counter("meterlog_shell_batches", "Batches handled", registry=into)
        self.transactions = Counter("meterlog_shell_transactions", "Transactions committed", registry=into)
        self.received = Counter("meterlog_shell_received", "Inputs decided", ["topic"], registry=into)
        self.sent = Counter("meterlog_shell_sent", "Records sent in committed transactions", registry=into)
        self.skipped = Counter(
            "meterlog_shell_skipped_inputs", "Inputs at or below the position: done before", registry=into
        )
        self.stale = Counter(
            "meterlog_shell_stale_inputs", "Inputs delivered for an earlier assignment, dropped", registry=into
        )
        self.markers = Counter(
            "meterlog_shell_markers", "Offsets passed over: markers, records of aborted transactions", registry=into
        )
        self.deleted = Counter(
            "meterlog_shell_deleted_inputs",
            "Offsets that retention deleted before they were decided",
            ["topic"],
            registry=into,
        )
        self.looks = Counter(
            "meterlog_shell_guard_looks", "Inbox partitions looked at by the guard, per batch", registry=into
        )
        self.look_seconds = Counter("meterlog_shell_guard_look_seconds", "Time spent looking", registry=into)
        self.decide_seconds = Counter("meterlog_shell_decide_seconds", "Time spent in the keepers", registry=into)
        self.transaction_seconds = Histogram(
            "meterlog_shell_transaction_seconds",
            "From begin to committed, of one partition's batch",
            buckets=_TRANSACTION_SECONDS,
            registry=into,
        )
        self.ticks = Counter("meterlog_shell_ticks", "Ticks sent", registry=into)
        self.partitions = Gauge("meterlog_shell_partitions", "Partitions owned and loaded", registry=into)
        self.load_seconds = Histogram("meterlog_shell_load_seconds", "Loading of one partition", registry=into)
        self.loaded_values = Counter("meterlog_shell_loaded_values", "Table values loaded", registry=into)


@dataclass(slots=True)
class ShellStatus:
    """Progress of one shell, as a probe needs it. Written by the shell's loop, readable from any thread.

    Every owned partition gets a tick each interval, so there is always something to commit: a partition whose
    position stands still is stuck, without any look at its lag.
    """

    patience: float = 30.0
    """Seconds without a commit of an owned partition, or without an assignment, after which it counts as stuck."""
    metrics: ShellMetrics = field(default_factory=ShellMetrics)
    recovered: bool = False
    """Has an assignment (perhaps an empty one), loaded, and takes input."""
    failed: str = ""
    """The fault that is ending the process."""
    waiting_for: str = ""
    """The server that is away, before the shell was started."""
    positions: dict[int, dict[str, int]] = field(default_factory=dict)
    """{partition: {inbox topic: offset of the last input done}} of the owned partitions."""
    progressed_at: dict[int, float] = field(default_factory=dict)
    """{partition: time.monotonic() of its last commit, or of its recovery}."""
    lost_at: float = field(default_factory=time.monotonic)
    """time.monotonic() since when there is no assignment that was loaded."""

    def waiting_for_server(self, away: str) -> bool:
        """Note which server is away, before the shell starts; whether there is one."""
        self.waiting_for = away
        self.lost_at = time.monotonic()
        return bool(away)

    def recover(self, positions: dict[int, dict[str, int]]) -> None:
        now = time.monotonic()
        self.positions = positions
        self.progressed_at = {partition: now for partition in positions}
        self.metrics.partitions.set(len(positions))
        self.recovered = True

    def lose(self) -> None:
        """A rebalance has begun: nothing is owned for sure until it has ended."""
        if self.recovered:
            self.lost_at = time.monotonic()
        self.recovered = False

    def commit(self, partition: int, positions: dict[str, int]) -> None:
        self.positions[partition] = positions
        self.progressed_at[partition] = time.monotonic()

    def pass_over(self, topic: str, partition: int, passed: Passed) -> None:
        """Count what never arrived, and say it loudly where it was deleted: whoever asked it will not be answered."""
        self.metrics.markers.inc(passed.markers)
        for first, last in passed.deleted:
            self.metrics.deleted.labels(topic).inc(last - first + 1)
            _log.error("%s/%d: retention deleted inputs %d to %d before they were read", topic, partition, first, last)

    def standstill(self) -> Standstill | None:
        """The partition that has committed nothing for longest, though it gets a tick each second; or the recovery."""
        if not self.recovered:
            return Standstill(self.lost_at, "no assignment is recovered", RECOVERY_SECONDS)
        oldest = min(self.progressed_at.items(), key=lambda each: each[1], default=None)
        if oldest is None:
            return None  # others own all partitions
        number, since = oldest
        done = ", ".join(f"{topic} {offset}" for topic, offset in sorted(self.positions.get(number, {}).items()))
        return Standstill(since, f"partition {number} commits nothing, not even ticks; done is {done or 'nothing'}")

    def alive(self) -> tuple[bool, str]:
        """(`/livez` is fine, why not)."""
        return (False, self.failed) if self.failed else (True, "")

    def ready(self) -> tuple[bool, str]:
        """(`/readyz` is fine, why not): recovered, and every owned partition commits."""
        if self.failed:
            return False, self.failed
        if self.waiting_for:
            return False, self.waiting_for
        if not self.recovered:
            return False, "recovering: waiting for an assignment or loading its partitions"
        now = time.monotonic()
        stuck = sorted(partition for partition, at in self.progressed_at.items() if now - at > self.patience)
        if stuck:
            return False, f"partitions {stuck} have committed nothing for {self.patience:g} s"
        return True, ""
