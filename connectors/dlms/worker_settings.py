"""What a DLMS worker can be told, by environment variables alone, and what it shows of itself."""

import os
import resource
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors.dlms.job import Carried
from connectors.dlms.session import Times
from roles.settings import RoleSettings, number, whole

ROLE: Final = "dlms-worker"
_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SPARE_DESCRIPTORS: Final = 200  # for Kafka, logs, probes


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`kafka`: settings of librdkafka. `sessions`: associations at once. `head_end`: number in the client's system
    title (`opening.client_title`). `topic_prefix`: in front of every topic, for several installations on one broker.
    """

    kafka: Mapping[str, str | int]
    name: str
    group: str = "meterlog-dlms-worker"
    sessions: int = 2_000
    head_end: int = 1
    topic_prefix: str = ""
    times: Times = field(default_factory=Times)
    stop_seconds: float = 10.0


def read_settings(role: RoleSettings, environment: Mapping[str, str] = os.environ) -> WorkerSettings:
    """From the environment, beside what every role is told. Raises SettingsWrong.

    METERLOG_WORKER_NAME          as results show it; the host's name and the process id
    METERLOG_WORKER_GROUP         consumer group that shares the jobs; meterlog-dlms-worker
    METERLOG_WORKER_SESSIONS      associations at once; 2000
    METERLOG_HEAD_END             0 to 2**40 - 1, part of the client's system title; 1
    METERLOG_TOPIC_PREFIX         in front of every topic's name; empty
    METERLOG_CONNECT_SECONDS      for a TCP connection; 10
    METERLOG_ANSWER_SECONDS       for one answer of a meter; 30
    METERLOG_COUNTER_SECONDS      pause between associations when the invocation counter is put right; 1
    METERLOG_STOP_SECONDS         sessions may go on so long after TERM; 10
    """
    return WorkerSettings(
        kafka={"bootstrap.servers": role.kafka, **dict(role.kafka_config)},
        name=environment.get("METERLOG_WORKER_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        group=environment.get("METERLOG_WORKER_GROUP") or "meterlog-dlms-worker",
        sessions=whole(environment, "METERLOG_WORKER_SESSIONS", 2_000, 1, 100_000),
        head_end=whole(environment, "METERLOG_HEAD_END", 1, 0, 2**40 - 1),
        topic_prefix=environment.get("METERLOG_TOPIC_PREFIX", ""),
        times=Times(
            connect=number(environment, "METERLOG_CONNECT_SECONDS", 10, 0.01, 600),
            answer=number(environment, "METERLOG_ANSWER_SECONDS", 30, 0.01, 600),
            counter=number(environment, "METERLOG_COUNTER_SECONDS", 1, 0, 600),
        ),
        stop_seconds=number(environment, "METERLOG_STOP_SECONDS", 10, 0, 3_600),
    )


def raise_descriptor_limit(sessions: int) -> int:
    """Allow as many descriptors as the system lets us. Returns how many sessions that carries, `sessions` at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sessions + _SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return sessions if soft == resource.RLIM_INFINITY else max(1, min(sessions, soft - _SPARE_DESCRIPTORS))


class WorkerMetrics:
    """Prometheus metrics of a worker. No label names a device."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        into = CollectorRegistry() if registry is None else registry
        self.registry = into
        self.sessions = Gauge("meterlog_worker_sessions", "Jobs under way", registry=into)
        self.jobs = Counter("meterlog_worker_jobs", "Jobs told", ["reached"], registry=into)
        self.commands = Counter("meterlog_worker_commands", "Commands ended", ["operation", "ended"], registry=into)
        self.faults = Counter("meterlog_worker_faults", "Commands that ended with a fault", ["name"], registry=into)
        self.seconds = Histogram("meterlog_worker_job_seconds", "From taken to told", buckets=_SECONDS, registry=into)
        self.sent = Counter("meterlog_worker_sent_bytes", "Bytes to meters", registry=into)
        self.received = Counter("meterlog_worker_received_bytes", "Bytes from meters", registry=into)
        self.records = Counter("meterlog_worker_records", "Records delivered", ["topic"], registry=into)
        self.dead_letters = Counter("meterlog_worker_dead_letters", "Records that are no jobs", registry=into)
        self.untold = Counter("meterlog_worker_untold", "Jobs or reads that could not be told", registry=into)

    def observe(self, carried: Carried, seconds: float) -> None:
        """Count one job that was told."""
        ended = carried.ended
        self.jobs.labels(str(ended.reached).lower()).inc()
        for command in ended.commands:
            known = carried.operations.get(command.correlation_id, "")
            self.commands.labels(known, command.ended.value).inc()
            if command.fault is not None:
                self.faults.labels(command.fault.name).inc()
        self.seconds.observe(seconds)
        self.sent.inc(carried.sent)
        self.received.inc(carried.received)
