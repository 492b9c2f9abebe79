"""The sink as a role: settings from the environment, logs, probes, and an end in good order.

METERLOG_KAFKA                bootstrap servers
METERLOG_CLICKHOUSE           host:port of the native protocol
METERLOG_CLICKHOUSE_DATABASE  default: default
METERLOG_CLICKHOUSE_USER, METERLOG_CLICKHOUSE_PASSWORD, METERLOG_CLICKHOUSE_SECURE (1: TLS)
METERLOG_METRICS_PORT         /metrics, /livez, /readyz; none without it
METERLOG_SINK_GROUP           consumer group; default: meterlog-sink
METERLOG_SINK_RECORDS, METERLOG_SINK_SECONDS   when a batch is full; default: 5000 records or 1 second
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from connectors.clickhouse.feed import DeadLetters, Feed
from connectors.clickhouse.sink import Limits, Sink, Target
from schemas import topics

log = structlog.get_logger()

CLICKHOUSE_PORT: Final = 9000
STALLED_SECONDS: Final = 60.0  # longer than any batch takes: the loop hangs
TOPICS: Final = (
    topics.READS_PROFILES,
    topics.READS_REGISTERS,
    topics.RESPONSES,
    topics.DEVICE_EVENTS,
    topics.RESULTS_LARGE,
)


class Misconfigured(Exception):
    """A setting is missing or makes no sense; names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says."""

    kafka: str
    host: str
    port: int
    database: str = "default"
    user: str = "default"
    password: str = ""
    secure: bool = False
    metrics_port: int | None = None
    group: str = "meterlog-sink"
    records: int = 5_000
    seconds: float = 1.0

    @classmethod
    def read(cls, said: Mapping[str, str]) -> "Settings":
        """Raises Misconfigured."""
        kafka, clickhouse = said.get("METERLOG_KAFKA", ""), said.get("METERLOG_CLICKHOUSE", "")
        for name, value in (("METERLOG_KAFKA", kafka), ("METERLOG_CLICKHOUSE", clickhouse)):
            if not value:
                raise Misconfigured(f"{name} is not set: host:port of the server")
        host, _, port = clickhouse.partition(":")
        metrics = said.get("METERLOG_METRICS_PORT")
        return cls(
            kafka=kafka,
            host=host,
            port=_number("METERLOG_CLICKHOUSE", port or CLICKHOUSE_PORT, int, 1, 65_535),
            database=said.get("METERLOG_CLICKHOUSE_DATABASE", "default"),
            user=said.get("METERLOG_CLICKHOUSE_USER", "default"),
            password=said.get("METERLOG_CLICKHOUSE_PASSWORD", ""),
            secure=said.get("METERLOG_CLICKHOUSE_SECURE", "") == "1",
            metrics_port=_number("METERLOG_METRICS_PORT", metrics, int, 0, 65_535) if metrics else None,
            group=said.get("METERLOG_SINK_GROUP", "meterlog-sink"),
            records=_number("METERLOG_SINK_RECORDS", said.get("METERLOG_SINK_RECORDS", 5_000), int, 1, 100_000),
            seconds=_number("METERLOG_SINK_SECONDS", said.get("METERLOG_SINK_SECONDS", 1.0), float, 0.01, 60.0),
        )


def _number(name: str, text: Any, kind: Callable[[Any], Any], low: float, high: float) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise Misconfigured(f"{name}: {text!r} is not a number") from None
    if not low <= value <= high:
        raise Misconfigured(f"{name}: {text} is not between {low} and {high}")
    return value


def ready(sink: Sink, now: float) -> str | None:
    """None when the sink makes progress; otherwise what it waits for. `now`: seconds of the monotonic clock."""
    if sink.waiting_for is not None:
        return sink.waiting_for
    if not sink.feed.connected:
        return "Kafka is away, or the topics are missing (`meterlog topics apply`)"
    if now - sink.turned_at > STALLED_SECONDS:
        return f"no batch was finished for {now - sink.turned_at:.0f} s"
    return None


def serve(sink: Sink, port: int) -> ThreadingHTTPServer:
    """`/metrics`, `/livez`, `/readyz` on a thread of their own."""

    class Probes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/livez":
                self._answer(200, b"alive\n")
            elif self.path == "/readyz":
                reason = ready(sink, time.monotonic())
                self._answer(200, b"ready\n") if reason is None else self._answer(503, f"{reason}\n".encode())
            else:
                self._answer(404, b"not found: /metrics, /livez, /readyz\n")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """A probe a second is no news."""

    server = ThreadingHTTPServer(("", port), Probes)
    Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server


def sink_of(settings: Settings) -> Sink:
    """The sink with everything it is connected to."""
    target = Target(
        settings.host,
        settings.port,
        database=settings.database,
        user=settings.user,
        password=settings.password,
        secure=settings.secure,
    )
    feed = Feed(settings.kafka, [topic.name for topic in TOPICS], settings.group)
    limits = Limits(records=settings.records, seconds=settings.seconds)
    return Sink(feed, target, DeadLetters(settings.kafka), limits)


def run() -> None:
    """Until TERM or INT: the batch in hand is finished and committed first."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        settings = Settings.read(os.environ)
    except Misconfigured as error:
        sys.exit(f"clickhouse-sink: {error}")
    sink = sink_of(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sink.stop.set())
    server = None if settings.metrics_port is None else serve(sink, settings.metrics_port)
    log.info("started", clickhouse=f"{settings.host}:{settings.port}", database=settings.database, group=settings.group)
    try:
        sink.run()
    finally:
        sink.feed.close()
        if server is not None:
            server.shutdown()
    log.info("stopped")
