"""Rows per second through the sink, Kafka included, beside a bare numpy columnar insert of the same rows.

    python -m benchmarks.sink [--records 20000] [--rounds 7]

Both go into tables of the same columns, order, partitions and codecs on one real ClickHouse, in rounds of random
order, and the first round is thrown away. The bare insert gets what suits it: columns ready in memory before the clock
starts, no Kafka, no Avro, no checks, no ledger, absent columns left to their default, and types its driver can write
(Int64 for the decimals, String for the UUID). The sink's clock starts when its partitions are assigned and ends with
the last commit.
"""

import argparse
import random
import resource
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import psutil
from clickhouse_driver import Client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.figures import Figure, tell
from connectors.clickhouse.batch import Batch
from connectors.clickhouse.feed import DeadLetters, Feed
from connectors.clickhouse.sink import Limits, Sink, Target
from infra.embedded.clickhouse import ClickHouse
from infra.embedded.kafka import Kafka
from infra.embedded.ports import LOOPBACK
from infra.migrate import migrate
from schemas import codec
from schemas.records import EnergyReads

ROWS: Final = 96
BLOCK: Final = 5_000  # records an insert, of both
QUARTER_MS: Final = 900_000
DAY_MS: Final = 86_400_000
FIRST_DAY_MS: Final = 1_793_491_200_000  # 2026-11-01
TOPIC: Final = "bench.profiles"
BARE: Final = """\
CREATE TABLE bare (device_id LowCardinality(String), period LowCardinality(String),
  captured_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
  import_total Nullable(Int64) CODEC(GCD, DoubleDelta, ZSTD(1)),
  export_total Nullable(Int64) CODEC(GCD, DoubleDelta, ZSTD(1)),
  import_rate1 Nullable(Int64) CODEC(GCD, DoubleDelta, ZSTD(1)),
  import_rate2 Nullable(Int64) CODEC(GCD, DoubleDelta, ZSTD(1)),
  export_rate1 Nullable(Int64) CODEC(GCD, DoubleDelta, ZSTD(1)),
  export_rate2 Nullable(Int64) CODEC(GCD, DoubleDelta, ZSTD(1)),
  status UInt8 CODEC(ZSTD(1)),
  received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)), correlation_id String CODEC(ZSTD(1)))
ENGINE = ReplacingMergeTree(received_at) PARTITION BY toYYYYMM(captured_at)
  ORDER BY (toDate(captured_at), device_id, period, captured_at)
SETTINGS non_replicated_deduplication_window = 10000
"""
BARE_COLUMNS: Final = "device_id, period, captured_at, import_total, export_total, status, received_at, correlation_id"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one pass over all rows, in seconds; the client's and the server's are CPU time."""

    wall: float
    client: float
    server: float


def reads(records: int) -> list[EnergyReads]:
    """Days of household meters: Poisson loads in Wh, a third with sun."""
    rng = np.random.default_rng(3)
    days = 10
    meters = -(-records // days)
    hour = np.arange(ROWS) / 4
    evening = 60 + 80 * np.exp(-((hour - 19) ** 2) / 8) + 40 * np.exp(-((hour - 8) ** 2) / 4)
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * 400
    found = []
    totals = rng.integers(0, 20_000_000, (meters, 2))
    for day in range(days):
        times = (FIRST_DAY_MS + day * DAY_MS + np.arange(ROWS) * QUARTER_MS).astype("<i8").tobytes()
        for meter in range(meters):
            net = rng.poisson(evening * rng.gamma(2, 0.5)) - (rng.poisson(sun * rng.random()) if meter % 3 == 0 else 0)
            taken = totals[meter, 0] + np.cumsum(np.clip(net, 0, None))
            given = totals[meter, 1] + np.cumsum(np.clip(-net, 0, None))
            totals[meter] = taken[-1], given[-1]
            found.append(
                EnergyReads(
                    device_id=f"EMTR{meter:013}",
                    correlation_id=str(uuid.UUID(int=int(rng.integers(1 << 62)))),
                    period="INTERVAL",
                    received_at=FIRST_DAY_MS + (day + 1) * DAY_MS + meter * 100,
                    times=times,
                    statuses=bytes(ROWS),
                    import_total=(taken * 1_000).astype("<i8").tobytes(),
                    export_total=(given * 1_000).astype("<i8").tobytes(),
                )
            )
    return found[:records]


def ready_columns(part: list[EnergyReads]) -> list[Any]:
    """The same rows as numpy columns, in the order of BARE_COLUMNS."""

    def texts(values: list[str]) -> Any:
        return np.repeat(np.array(values, dtype=object), ROWS)

    def column(name: str, kind: str) -> Any:
        return np.frombuffer(b"".join(getattr(each, name) for each in part), kind)

    received = np.repeat(np.array([each.received_at for each in part], "<i8"), ROWS)
    return [
        texts([each.device_id for each in part]),
        texts([each.period for each in part]),
        column("times", "<i8"),
        column("import_total", "<i8"),
        column("export_total", "<i8"),
        column("statuses", "u1"),
        received,
        texts([each.correlation_id for each in part]),
    ]


def cpu() -> float:
    """CPU seconds of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Bench:
    """Both ways over one broker and one engine."""

    def __init__(self, kafka: Kafka, engine: ClickHouse, records: list[EnergyReads]) -> None:
        self.kafka = kafka.bootstrap
        self.port = engine.port
        self.server = psutil.Process(engine.pid)
        self.records = records
        self.client = Client(LOOPBACK, port=engine.port)
        self.client.execute(BARE)
        self.blocks = [ready_columns(records[at : at + BLOCK]) for at in range(0, len(records), BLOCK)]
        values = ((read.device_id.encode(), codec.encode(read)) for read in records)
        self.counts = {TOPIC: self.produce(TOPIC, values)}
        self.create("bench.dead", 1)

    def create(self, topic: str, partitions: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.kafka})
        new = NewTopic(topic, partitions, 1, config={"compression.type": "zstd"})
        admin.create_topics([new])[topic].result(30)

    def produce(self, topic: str, values: Iterable[tuple[bytes, bytes | None]]) -> int:
        """A new topic with these keys and values; how many."""
        self.create(topic, 4)
        producer = Producer({"bootstrap.servers": self.kafka, "compression.type": "zstd", "linger.ms": 50})
        count = 0
        for key, value in values:
            count += 1
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.1)
        if producer.flush(120):
            raise SystemExit("not every record was produced")
        return count

    def measured(self, act: Callable[[], None]) -> Cost:
        """Seconds of `act`."""
        server = sum(self.server.cpu_times()[:2])
        client, begun = cpu(), time.perf_counter()
        act()
        wall, used = time.perf_counter() - begun, cpu() - client
        return Cost(wall, used, sum(self.server.cpu_times()[:2]) - server)

    def quiet(self) -> None:
        """Wait for the merges that the round before left behind."""
        while self.client.execute("SELECT count() FROM system.merges")[0][0]:
            time.sleep(0.1)
        time.sleep(0.5)

    def bare(self) -> Cost:
        self.client.execute("TRUNCATE TABLE bare")
        client = Client(LOOPBACK, port=self.port, settings={"use_numpy": True})
        client.execute("SELECT 1")
        self.quiet()

        def insert() -> None:
            for block in self.blocks:
                query = f"INSERT INTO bare ({BARE_COLUMNS}) VALUES"  # noqa: S608 - names of our own
                client.execute(query, block, columnar=True, settings={"async_insert": 0})

        cost = self.measured(insert)
        client.disconnect()
        self._check("bare")
        return cost

    def sink(self, topic: str = TOPIC) -> Cost:
        for table in ("energy_reads", "sink_batches", "sink_ledger"):
            self.client.execute(f"TRUNCATE TABLE {table}")
        feed = Feed(self.kafka, [topic], f"bench-{uuid.uuid4()}")
        target = Target(LOOPBACK, self.port)
        sink = Sink(feed, target, DeadLetters(self.kafka, topic="bench.dead"), Limits(records=BLOCK))
        self.quiet()
        while not feed.joined:
            feed.stay(0.02)

        def move() -> None:
            done = 0
            while done < self.counts[topic]:
                taken = feed.take(min(BLOCK, self.counts[topic] - done), 1.0, 1 << 30)
                sink.store(Batch.of(taken))
                done += len(taken)

        cost = self.measured(move)
        feed.close()
        self._check("energy_reads")
        return cost

    def _check(self, table: str) -> None:
        count, total = self.client.execute(f"SELECT count(), toInt64(sum(import_total)) FROM {table}")[0]
        expected = len(self.records) * ROWS
        if count != expected:
            raise SystemExit(f"{table} holds {count} rows of {expected}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with servers() as (kafka, engine):
        report(Bench(kafka, engine, reads(options.records)), options.rounds)


@contextmanager
def servers() -> Iterator[tuple[Kafka, ClickHouse]]:
    """A broker without topics, and an engine with our tables."""
    with TemporaryDirectory(prefix="meterlog-bench-") as folder:
        kafka = Kafka(Path(folder) / "kafka", Path(folder) / "logs")
        engine = ClickHouse(Path(folder) / "clickhouse", Path(folder) / "logs")
        try:
            kafka.start()
            engine.start()
            engine.wait_ready()
            kafka.wait_ready()
            migrate(LOOPBACK, engine.port)
            yield kafka, engine
        finally:
            engine.stop()
            kafka.stop()


def report(bench: Bench, rounds: int) -> None:
    """Run and print medians, ranges and ratios."""
    ways = {"bare numpy columnar": bench.bare, "sink, Kafka to commit": bench.sink}
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in random.sample(list(ways), len(ways)):
            cost = ways[name]()
            if number:
                costs[name].append(cost)
    rows = len(bench.records) * ROWS
    where = f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}"
    print(f"{rows:,} rows in {len(bench.records):,} records, {BLOCK} an insert, {rounds} rounds, {where}")
    print(f"{'':24}{'M rows/s':>18}{'client CPU s/M':>18}{'server CPU s/M':>18}")
    medians = {}
    for name, found in costs.items():
        cells = []
        for values in (
            [rows / each.wall / 1e6 for each in found],
            [each.client / rows * 1e6 for each in found],
            [each.server / rows * 1e6 for each in found],
        ):
            cells.append((statistics.median(values), min(values), max(values)))
        medians[name] = [cell[0] for cell in cells]
        print(f"{name:24}" + "".join(f"{f'{m:.2f} ({low:.2f}-{high:.2f})':>18}" for m, low, high in cells))
    bare, sink = medians.values()
    peer = "bare numpy columnar insert"
    tell(
        Figure(
            name="sink rows, consuming included",
            unit="1/s",
            ours=sink[0] * 1e6,
            peer=bare[0] * 1e6,
            peer_name=peer,
            asked=0.8,
        ),
        Figure(
            name="sink rows a client CPU second", unit="1/s", ours=1e6 / sink[1], peer=1e6 / bare[1], peer_name=peer
        ),
    )
    print(
        f"sink against bare: {sink[0] / bare[0]:.2f}x rows/s, {bare[1] / sink[1]:.2f}x rows a client CPU second, "
        f"{(bare[1] + bare[2]) / (sink[1] + sink[2]):.2f}x rows a CPU second of both"
    )


if __name__ == "__main__":
    main()
