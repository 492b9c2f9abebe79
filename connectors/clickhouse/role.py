"""The sink as a role: settings from the environment, logs, probes, and an end in good order.

Beside those of every role (`roles/settings.py`):

METERLOG_CLICKHOUSE           host:port of the native protocol
METERLOG_CLICKHOUSE_DATABASE  default
METERLOG_CLICKHOUSE_USER, METERLOG_CLICKHOUSE_PASSWORD
METERLOG_CLICKHOUSE_SECURE    yes for TLS; no
METERLOG_SINK_GROUP           consumer group; meterlog-sink
METERLOG_SINK_RECORDS, METERLOG_SINK_SECONDS   when a batch is full: 5000 records or 1 second
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client import REGISTRY

from connectors.clickhouse.feed import DeadLetters, Feed
from connectors.clickhouse.sink import Limits, Sink, Target
from roles.guards import guards
from roles.logs import start_logs
from roles.memory import keep_little
from roles.settings import RoleSettings, SettingsWrong, number, one_of, read_settings, text, whole
from roles.steps import arm
from roles.stuck import Broker, Standstill, Waiting
from schemas import topics

log = structlog.get_logger()

ROLE: Final = "clickhouse-sink"
CLICKHOUSE_PORT: Final = 9000
STALLED_SECONDS: Final = 60.0  # longer than a batch takes
TURN_SECONDS: Final = 1.0  # a loop that fetches turns more often
TOPICS: Final = (
    topics.READS_PROFILES,
    topics.READS_REGISTERS,
    topics.METER_EVENTS,
    topics.RESPONSES,
    topics.DEVICE_EVENTS,
    topics.RESULTS_LARGE,
    topics.DLMS_LOG,
    topics.PLANS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says."""

    role: RoleSettings
    host: str
    port: int
    database: str
    user: str
    password: str
    secure: bool
    group: str
    records: int
    seconds: float

    @property
    def credentials(self) -> dict[str, Any]:
        """For the driver, beside host, port and database."""
        return {"user": self.user, "password": self.password, "secure": self.secure}

    @classmethod
    def read(cls, said: Mapping[str, str] = os.environ) -> "Settings":
        """Raises SettingsWrong."""
        host, _, port = text(said, "METERLOG_CLICKHOUSE", "host:port of ClickHouse").partition(":")
        if port and not (port.isdigit() and 0 < int(port) < 65_536):
            raise SettingsWrong(f"METERLOG_CLICKHOUSE: {port!r} is not a port")
        return cls(
            role=read_settings(said),
            host=host,
            port=int(port or CLICKHOUSE_PORT),
            database=said.get("METERLOG_CLICKHOUSE_DATABASE") or "default",
            user=said.get("METERLOG_CLICKHOUSE_USER") or "default",
            password=said.get("METERLOG_CLICKHOUSE_PASSWORD", ""),
            secure=one_of(said, "METERLOG_CLICKHOUSE_SECURE", "no", ("yes", "no")) == "yes",
            group=said.get("METERLOG_SINK_GROUP") or "meterlog-sink",
            records=whole(said, "METERLOG_SINK_RECORDS", 5_000, 1, 100_000),
            seconds=number(said, "METERLOG_SINK_SECONDS", 1.0, 0.01, 60.0),
        )


def ready(sink: Sink, now: float) -> tuple[bool, str]:
    """Whether the sink makes progress, and otherwise what it waits for. `now`: seconds of the monotonic clock."""
    if sink.waiting_for is not None:
        return False, sink.waiting_for
    if not sink.feed.connected:
        return False, "Kafka is away, or the topics are missing (`meterlog topics apply`)"
    idle = now - sink.turned_at
    return idle < STALLED_SECONDS, f"no batch was finished for {idle:.0f} s"


def standstill(sink: Sink, waiting: Waiting, now: float) -> Standstill | None:
    """A batch that does not end, or what the feed says. `now` as in `ready`. Whether the server that it waits for is
    away is the watch's to ask: one that answers others is not.
    """
    if sink.waiting_for is not None:
        return Standstill(sink.turned_at, f"it waits, and says: {sink.waiting_for}")
    if now - sink.turned_at > sink.limits.seconds + TURN_SECONDS:
        return Standstill(sink.turned_at, "the batch in hand is not finished")
    return sink.feed.standstill(waiting)


def sink_of(settings: Settings) -> Sink:
    """The sink with everything it is connected to."""
    target = Target(settings.host, settings.port, database=settings.database, **settings.credentials)
    further = dict(settings.role.kafka_config)
    feed = Feed(settings.role.kafka, [topic.name for topic in TOPICS], settings.group, **further)
    limits = Limits(records=settings.records, seconds=settings.seconds)
    return Sink(feed, target, DeadLetters(settings.role.kafka, **further), limits)


def run() -> None:
    """Until TERM or INT: the batch in hand is finished and committed first."""
    try:
        arm()
        settings = Settings.read()
    except SettingsWrong as error:
        sys.exit(f"{ROLE}: {error}")
    keep_little()
    start_logs(ROLE, level=settings.role.log_level, form=settings.role.log_format)
    sink = sink_of(settings)
    for number_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_, lambda *_: sink.stop.set())
    with ExitStack() as ending:
        broker = Broker(settings.role.kafka, dict(settings.role.kafka_config))
        waiting = Waiting(broker, sink.feed.reached)
        for guard in guards(
            settings.role,
            REGISTRY,
            standstill=lambda: standstill(sink, waiting, time.monotonic()),
            waits=lambda: broker.away() or sink.target.away(),
            ready=lambda: ready(sink, time.monotonic()),
        ):
            ending.enter_context(guard)
        where = f"{settings.host}:{settings.port}/{settings.database}"
        log.info("started", clickhouse=where, kafka=settings.role.kafka, group=settings.group)
        try:
            sink.run()
        finally:
            sink.feed.close()
    log.info("stopped")
