"""What the sink's tests share: records as a worker would write them, topics of a test's own, a sink over them."""

import struct
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from clickhouse_driver import Client
from confluent_kafka import Consumer, Producer

from connectors.clickhouse.feed import DeadLetters, Feed
from connectors.clickhouse.sink import Limits, Sink, Target
from infra.migrate import migrate
from schemas import codec, headers
from schemas.records import NO_VALUE, EnergyReads, RegisterRead, RegisterReads

QUARTER_MS = 900_000
TOPICS = ("profiles", "registers", "responses", "events", "large")


def millis(text: str) -> int:
    """ISO 8601, UTC when no offset is given, to milliseconds."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def packed(values: Iterable[int | None]) -> bytes:
    """A column of int64, as the records carry it."""
    column = [NO_VALUE if value is None else value for value in values]
    return struct.pack(f"<{len(column)}q", *column)


def energy(
    device: str,
    first: str,
    imports: list[int | None],
    *,
    exports: list[int | None] | None = None,
    statuses: bytes | None = None,
    step_ms: int = QUARTER_MS,
    received: str = "2026-11-02T01:00:00",
    period: str = "INTERVAL",
    correlation: str | None = None,
) -> EnergyReads:
    """A profile read; values in Wh."""
    start = millis(first)
    return EnergyReads(
        device_id=device,
        correlation_id=correlation or str(uuid.uuid4()),
        period=period,
        received_at=millis(received),
        times=packed(start + n * step_ms for n in range(len(imports))),
        statuses=bytes(len(imports)) if statuses is None else statuses,
        import_total=packed(None if value is None else value * 1_000 for value in imports),
        export_total=b"" if exports is None else packed(None if value is None else value * 1_000 for value in exports),
    )


def registers(device: str, at: str, **values: int | None) -> RegisterReads:
    """Registers in Wh at one moment."""
    return RegisterReads(
        device_id=device,
        correlation_id=str(uuid.uuid4()),
        captured_at=millis(at),
        received_at=millis(at) + 500,
        registers=tuple(
            RegisterRead(name, "kWh", None if value is None else value * 1_000) for name, value in values.items()
        ),
    )


class Letter(NamedTuple):
    """A dead letter."""

    key: bytes
    value: bytes
    about: headers.DeadLetter


@dataclass(slots=True)
class World:
    """One test's topics and database."""

    kafka: str
    host: str
    port: int
    database: str
    topics: Mapping[str, str]
    group: str
    sent: int = 0  # records on the topics the sink reads

    @classmethod
    def new(cls, kafka: str, host: str, port: int, make_topics: Callable[..., dict[str, str]]) -> "World":
        name = f"sink_{uuid.uuid4().hex[:10]}"
        migrate(host, port, database=name)
        names = make_topics(*TOPICS, "dead", config={"message.timestamp.type": "LogAppendTime"})
        return cls(kafka, host, port, name, names, name)

    def client(self) -> Client:
        return Client(self.host, port=self.port, database=self.database)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        client = self.client()
        try:
            rows: list[tuple[Any, ...]] = client.execute(query)
            return rows
        finally:
            client.disconnect()

    def send(self, topic: str, values: Iterable[object], *, key: str = "EM0001") -> None:
        """Records, or bytes as they are."""
        producer = Producer({"bootstrap.servers": self.kafka, "partitioner": "murmur2_random", "linger.ms": 5})
        for value in values:
            data = value if isinstance(value, bytes) else codec.encode(value)
            producer.produce(self.topics[topic], data, getattr(value, "device_id", key).encode())
            producer.poll(0)
            self.sent += 1
        assert producer.flush(30) == 0

    def sink(self, **limits: Any) -> Sink:
        """A sink in this process; session time-outs are short, so that a killed one is missed soon."""
        names = [self.topics[name] for name in TOPICS]
        return Sink(
            Feed(self.kafka, names, self.group, **{"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}),
            Target(self.host, self.port, database=self.database),
            DeadLetters(self.kafka, topic=self.topics["dead"]),
            Limits(**{"seconds": 0.3, **limits}),
        )

    def accounted(self) -> tuple[int, int]:
        """Stored and set aside, as the ledger has it."""
        stored, aside = self.ask("SELECT sum(stored), sum(set_aside) FROM sink_totals")[0]
        return int(stored), int(aside)

    def dead(self, expected: int) -> list[Letter]:
        """So many dead letters, and any more that come with them."""
        settings = {"bootstrap.servers": self.kafka, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
        consumer = Consumer(settings)
        consumer.subscribe([self.topics["dead"]])
        end = time.monotonic() + 30
        found: list[Letter] = []
        while len(found) < expected and time.monotonic() < end:
            for message in consumer.consume(100, 0.5):
                if message.error() is None:
                    told: Any = message.headers()
                    found.append(Letter(message.key() or b"", message.value() or b"", headers.dead_letter(told)))
        consumer.close()
        return found


def until(condition: Callable[[], bool], seconds: float = 120.0, what: str = "the condition") -> None:
    """Wait for it. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.1)
