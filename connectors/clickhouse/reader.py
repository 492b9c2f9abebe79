"""The store reader: what is asked of ClickHouse instead of a meter, job by job, answered like any other job.

    python -m connectors.clickhouse.reader

Reading may be repeated, so a job is committed after its answer is with the broker: whatever dies, it is answered,
perhaps twice, and the streams take the first. One that comes after its deadline is left: they have judged it. Settings
are the sink's; METERLOG_READER_GROUP is the consumer group, meterlog-store-reader.
"""

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from threading import Event
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from prometheus_client import REGISTRY, Counter, Histogram

from connectors.clickhouse.answering import Store, answer
from connectors.clickhouse.feed import Feed
from connectors.clickhouse.queries import Queries
from connectors.clickhouse.role import Settings
from operations import catalogue
from operations._errors import OperationError
from roles.guards import guards
from roles.logs import start_logs
from roles.memory import keep_little
from roles.settings import SettingsWrong
from roles.steps import arm, passing
from roles.stuck import Broker, Standstill, Waiting
from schemas import codec, headers
from schemas.records import CommandEnded, Ended, Job, JobEnded, LargeResult
from schemas.topics import DEAD_LETTERS, JOB_RESULTS, MAX_RESULT_BYTES, RESULTS_LARGE, STORE_JOBS, Topic

log = structlog.get_logger()

ROLE: Final = "store-reader"
SOURCE: Final = "meterlog/connectors/clickhouse"
TURN_SECONDS: Final = 0.5
DELIVERY_SECONDS: Final = 30.0
ANSWERED: Final = Counter("meterlog_reader_commands_total", "Commands answered.", ["operation", "ended"])
LEFT: Final = Counter("meterlog_reader_jobs_left_total", "Jobs that came after their deadline.")
ASIDE: Final = Counter("meterlog_reader_dead_letters_total", "Records that are no jobs.")
SECONDS: Final = Histogram("meterlog_reader_job_seconds", "From taken to answered.")


class Undelivered(Exception):
    """The broker did not take a record in time: end, and begin anew from what is committed."""


class Reader:
    """Answers jobs until `stop` is set. Raises Undelivered, KafkaException: the role starts anew."""

    def __init__(self, feed: Feed, store: Store, producer: Producer, name: str) -> None:
        self.stop = Event()
        self.turned_at = time.monotonic()
        self._feed, self._store, self._producer, self._name = feed, store, producer, name

    @property
    def unready(self) -> str:
        """Why no progress is to be expected; empty when it is."""
        if not self._feed.connected:
            return "Kafka is away, or the topics are missing (`meterlog topics apply`)"
        return "" if self._feed.joined else "no partition is assigned yet, or other readers have them all"

    def standstill(self, waiting: Waiting) -> Standstill | None:
        """A job that is not answered, or what its feed says."""
        if time.monotonic() - self.turned_at > 2 * TURN_SECONDS:
            return Standstill(self.turned_at, "the job in hand is not answered")
        return self._feed.standstill(waiting)

    def run(self) -> None:
        while not self.stop.is_set():
            self.turned_at = time.monotonic()
            for record in self._feed.take(1, TURN_SECONDS, 1):
                self._take(record)
                self._feed.commit({(record.topic() or "", record.partition() or 0): (record.offset() or 0) + 1}, 1)

    def _take(self, record: Message) -> None:
        began = time.monotonic()
        value: Any = record.value()
        try:
            job = codec.decode(value or b"")
            reason = "" if isinstance(job, Job) else f"{type(job).__name__} is no Job"
        except codec.Unreadable as unreadable:
            reason = unreadable.reason
        if reason:
            self._set_aside(record, reason)
        elif job.deadline <= time.time_ns() // 1_000_000:
            LEFT.inc()
        else:
            passing("job taken")
            self._tell(job, answer(job, self._store, self._name), record.partition() or 0)
            SECONDS.observe(time.monotonic() - began)

    def _tell(self, job: Job, ended: JobEnded, partition: int) -> None:
        operations = {command.correlation_id: command.operation for command in job.commands}
        commands = []
        for command in ended.commands:
            operation = operations[command.correlation_id]
            commands.append(self._told(job, command, operation))
            ANSWERED.labels(operation, command.ended.value).inc()
        ended = replace(ended, commands=tuple(commands))
        self._deliver(JOB_RESULTS, ended, f"{ended.device_id}/{ended.number}/ended", partition)

    def _told(self, job: Job, command: CommandEnded, operation: str) -> CommandEnded:
        """The command with its result, or with the place where a large one lies."""
        if command.result is None or len(command.result) <= MAX_RESULT_BYTES:
            return command
        large = LargeResult(command.correlation_id, job.device_id, operation, command.result)
        try:
            place = self._deliver(RESULTS_LARGE, large, f"{command.correlation_id}/{job.number}/result")
        except KafkaException as error:
            reason = f"the result has {len(command.result)} bytes: {error.args[0].str()}"
            return CommandEnded(command.correlation_id, Ended.FAILED, OperationError(reason).fault())
        return replace(command, result=None, large_result=place)

    def _deliver(self, topic: Topic, record: JobEnded | LargeResult, identity: str, partition: int = -1) -> str:
        """Returns where it lies. Raises KafkaException when the broker refuses it, Undelivered."""
        attributes = headers.Attributes(
            correlation_id=record.correlation_id if isinstance(record, LargeResult) else None,
            id=identity,
            source=SOURCE,
            type=f"meterlog.{type(record).__name__}",
            subject=record.device_id,
            time=time.time_ns() // 1_000_000,
        )
        return self._send(topic, record.device_id.encode(), codec.encode(record), headers.write(attributes), partition)

    def _set_aside(self, record: Message, reason: str) -> None:
        log.warning("dead_letter", partition=record.partition(), offset=record.offset(), reason=reason)
        at = time.time_ns() // 1_000_000
        letter = headers.DeadLetter(
            reason=reason,
            topic=record.topic() or "",
            partition=record.partition() or 0,
            offset=record.offset() or 0,
            at=at,
            role=ROLE,
        )
        raw: Any = record.headers()
        key: Any = record.key()
        value: Any = record.value()
        self._send(DEAD_LETTERS, key or b"", value or b"", headers.write_dead_letter(raw, letter), -1)
        ASIDE.inc()

    def _send(self, topic: Topic, key: bytes, value: bytes, told: Any, partition: int) -> str:
        delivered: list[str] = []
        refused: list[KafkaError] = []

        def settle(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                refused.append(error)
            else:
                delivered.append(f"{message.topic()}:{message.partition()}:{message.offset()}")

        self._producer.produce(topic.name, value, key, partition, headers=list(told), on_delivery=settle)
        self._producer.flush(DELIVERY_SECONDS)
        if refused:
            raise KafkaException(refused[0])
        if not delivered:
            raise Undelivered(f"{topic.name}: no answer of the broker within {DELIVERY_SECONDS:.0f} s")
        return delivered[0]


def main() -> None:
    """Run the role with settings from the environment until TERM or INT."""
    try:
        arm()
        settings = Settings.read()
    except SettingsWrong as error:
        sys.exit(f"{ROLE}: {error}")
    keep_little()
    start_logs(ROLE, level=settings.role.log_level, form=settings.role.log_format)
    catalogue()
    further = dict(settings.role.kafka_config)
    group = os.environ.get("METERLOG_READER_GROUP") or "meterlog-store-reader"
    store = Queries(
        settings.host,
        settings.port,
        database=settings.database,
        **settings.credentials,
        send_receive_timeout=60,
        settings={"max_execution_time": 30},
    )
    producer = Producer(
        {
            "bootstrap.servers": settings.role.kafka,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
            "message.max.bytes": RESULTS_LARGE.max_bytes,
            **further,
        }
    )
    feed = Feed(settings.role.kafka, [STORE_JOBS.name], group, **further)
    reader = Reader(feed, store, producer, f"{socket.gethostname()}-{os.getpid()}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reader.stop.set())
    with ExitStack() as ending:
        broker = Broker(settings.role.kafka, further)
        waiting = Waiting(broker, feed.reached)
        for guard in guards(
            settings.role,
            REGISTRY,
            standstill=lambda: reader.standstill(waiting),
            waits=lambda: broker.away() or store.away(),
            ready=lambda: (not reader.unready, reader.unready),
        ):
            ending.enter_context(guard)
        log.info("started", clickhouse=f"{settings.host}:{settings.port}/{settings.database}", group=group)
        try:
            reader.run()
        except Undelivered as error:
            log.error("ended", reason=str(error))
            sys.exit(1)
        finally:
            feed.close()
    log.info("stopped")


if __name__ == "__main__":
    main()
