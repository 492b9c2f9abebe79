"""The sink on a real broker and a real ClickHouse: every record stored once or set aside, whatever dies."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.clickhouse.feed import Feed
from connectors.clickhouse.role import ready
from connectors.clickhouse.sink import Sink
from infra import topics
from infra.embedded.clickhouse import ClickHouse
from infra.embedded.kafka import Kafka
from infra.embedded.ports import LOOPBACK, free_port
from infra.migrate import migrate
from schemas import codec
from schemas.topics import READS_PROFILES
from tests.e2e.sink_world import World, energy, millis, registers, until

Topics = Callable[..., dict[str, str]]


@pytest.fixture
def world(kafka: str, clickhouse: Any, make_topics: Topics) -> World:
    return World.new(kafka, clickhouse.host, clickhouse.port, make_topics)


@contextmanager
def running(sink: Sink) -> Iterator[Sink]:
    """The sink on a thread of its own; ended in good order."""
    thread = threading.Thread(target=sink.run)
    thread.start()
    try:
        yield sink
    finally:
        sink.stop.set()
        thread.join(30)
        sink.feed.close()
        assert not thread.is_alive()


def settled(world: World) -> Callable[[], bool]:
    return lambda: sum(world.accounted()) == world.sent


def test_rows_are_kwh_and_what_is_missing_is_null(world: World) -> None:
    read = energy("EM0001", "2026-11-01T00:15", [1_500, None, 1_700], exports=[0, 1, 2], statuses=bytes([0, 8, 0x84]))
    world.send("profiles", [read, energy("EM0002", "2026-11-01T00:15", [])])
    world.send("registers", [registers("EM0001", "2026-11-01T10:00:00", import_total=12_345_678, export_total=None)])
    with running(world.sink()):
        until(settled(world), what="all records accounted for")
    assert world.ask(
        "SELECT import_total, export_total, import_rate1, status_flags FROM energy_profile ORDER BY captured_at"
    ) == [
        (Decimal("1.5"), Decimal("0"), None, []),
        (None, Decimal("0.001"), None, ["DAYLIGHT_SAVING"]),
        (Decimal("1.7"), Decimal("0.002"), None, ["DATA_NOT_VALID", "POWER_DOWN"]),
    ]
    assert world.ask("SELECT DISTINCT toString(correlation_id) FROM energy_reads") == [(read.correlation_id,)]
    assert world.ask("SELECT quantity, value, unit FROM register_reads FINAL ORDER BY quantity") == [
        ("export_total", None, "kWh"),
        ("import_total", Decimal("12345.678"), "kWh"),
    ]
    assert world.accounted() == (3, 0)


def test_of_a_row_read_twice_the_later_read_counts(world: World) -> None:
    first = energy("EM0001", "2026-11-01T00:15", [100, 200], received="2026-11-01T01:00:00")
    again = energy("EM0001", "2026-11-01T00:30", [201, 300], received="2026-11-01T02:00:00")
    world.send("profiles", [again, first])  # the later read is stored first
    with running(world.sink(records=1)):
        until(settled(world))
    found = world.ask("SELECT import_total FROM energy_reads FINAL ORDER BY captured_at")
    assert [value for (value,) in found] == [Decimal("0.1"), Decimal("0.201"), Decimal("0.3")]


def test_poison_is_set_aside_with_its_reason_and_the_batch_goes_on(world: World) -> None:
    good = energy("EM0001", "2026-11-01T00:15", [1, 2, 3])
    poison = {
        b"\x00certainly not avro": "not with c301",
        b"\xc3\x01" + bytes(20): "unknown schema",
        codec.encode(good)[:-3]: "meterlog.EnergyReads",
        codec.encode(replace(good, import_total=good.import_total[:-8])): "import_total: 16 bytes, times have 24",
        codec.encode(replace(good, statuses=b"\x00")): "statuses: 1 rows",
        codec.encode(replace(good, times=good.times[:-1])): "times: 23 bytes",
        codec.encode(replace(good, correlation_id="nobody")): "correlation_id: 'nobody' is not a UUID",
        codec.encode(replace(good, period="WEEKLY")): "period: 'WEEKLY'",
        codec.encode(replace(good, received_at=1)): "received_at: 1 ms",
        codec.encode(energy("EM0001", "1970-01-01T00:15", [1])): "time of row 0",
        codec.encode(replace(good, device_id="")): "device_id: 0 bytes",
    }
    world.send("profiles", [good, *poison, replace(good, device_id="EM0002")])
    world.send("responses", [b""], key="EM0003")
    with running(world.sink()):
        until(settled(world))
    assert world.accounted() == (2, len(poison) + 1)
    assert world.ask("SELECT count() FROM energy_reads FINAL") == [(6,)]
    letters = {letter.value: letter.about for letter in world.dead(len(poison) + 1)}
    assert len(letters) == len(poison) + 1
    for data, reason in poison.items():
        letter = letters[data]
        assert reason in letter.reason
        assert (letter.topic, letter.role) == (world.topics["profiles"], "clickhouse-sink")
        where = f"partition = {letter.partition} AND offset = {letter.offset} AND topic = '{letter.topic}'"
        assert world.ask(f"SELECT reason, device_id FROM set_aside FINAL WHERE {where}") == [(letter.reason, "EM0001")]


def test_what_only_the_server_refuses_is_found_by_halving(world: World) -> None:
    world.ask("ALTER TABLE energy_reads ADD CONSTRAINT sane CHECK ifNull(import_total, 0) < 1000")
    reads = [energy(f"EM{n:04}", "2026-11-01T00:15", [n, n + 1]) for n in range(40)]
    bad = [energy(f"EM{n:04}", "2026-11-01T00:15", [n, 1_000_000]) for n in (50, 51)]
    world.send("profiles", [*reads[:7], bad[0], *reads[7:], bad[1]])
    with running(world.sink(seconds=2.0)):
        until(settled(world))
    assert world.accounted() == (40, 2)
    assert world.ask("SELECT count(), uniqExact(device_id) FROM energy_reads") == [(80, 40)]
    assert sorted(letter.key for letter in world.dead(2)) == [b"EM0050", b"EM0051"]
    assert "sane" in world.dead(2)[0].about.reason


def child(world: World, records: int, *how: str) -> "subprocess.Popen[str]":
    program = Path(__file__).with_name("sink_child.py")
    arguments = [sys.executable, str(program), json.dumps(asdict(world)), str(records), *how]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_killed_between_insert_and_commit_nothing_is_lost_or_doubled(world: World) -> None:
    reads = [energy(f"EM{n:04}", "2026-11-01T00:15", list(range(n, n + 96))) for n in range(300)]
    world.send("profiles", [*reads, b"poison"])
    for records in (70, 110, 40):  # batches cut differently each time: tokens do not help, keys and sets must
        dying = child(world, records, "die-before-commit")
        assert dying.wait(60) == -signal.SIGKILL
    assert sum(world.accounted()) > 0, "it died before the insert"
    last = child(world, 90)
    try:
        until(lambda: world.accounted() == (300, 1), 60, "every record in the ledger")
    finally:
        last.terminate()
        last.wait(30)
    count, total = world.ask("SELECT count(), sum(import_total) FROM energy_reads FINAL")[0]
    assert (count, total) == (300 * 96, Decimal(sum(sum(range(n, n + 96)) for n in range(300))) / 1_000)
    ((batched,),) = world.ask("SELECT sum(records) FROM sink_batches")
    assert batched > 301, "nothing was delivered twice, so nothing was proved"


def test_a_repeated_batch_is_one_by_its_token(world: World) -> None:
    world.send("profiles", [energy("EM0001", "2026-11-01T00:15", [1, 2, 3])])
    sinks = [world.sink(), World(**{**asdict(world), "group": f"{world.group}-other"}).sink()]
    for sink in sinks:
        with running(sink):
            until(lambda sink=sink: sink.batches == 1)  # type: ignore[misc]
    assert world.accounted() == (1, 0)
    assert world.ask("SELECT count() FROM energy_reads") == [(3,)]  # without FINAL


def test_two_sinks_share_the_partitions_and_one_takes_over(world: World) -> None:
    one, other = child(world, 20), child(world, 20)
    try:
        world.send("profiles", (energy(f"EM{n:04}", "2026-11-01T00:15", [n, n]) for n in range(500)))
        until(lambda: sum(world.accounted()) > 0)
        one.kill()
        one.wait(10)
        world.send("profiles", (energy(f"EM{n:04}", "2026-11-01T00:15", [n, n]) for n in range(500, 900)))
        until(lambda: world.accounted() == (900, 0), 60, "the other one takes over")
    finally:
        for each in (one, other):
            each.terminate()
            each.wait(30)
    assert world.ask("SELECT count() FROM energy_reads FINAL") == [(1_800,)]


def test_clickhouse_away_is_waited_for_and_said(kafka: str, make_topics: Topics, tmp_path: Path) -> None:
    engine = ClickHouse(tmp_path, tmp_path / "logs")
    try:
        engine.start()
        engine.wait_ready()
        world = World.new(kafka, LOOPBACK, engine.port, make_topics)
        with running(world.sink()) as sink:
            world.send("profiles", [energy("EM0001", "2026-11-01T00:15", [1])])
            until(settled(world))
            assert ready(sink, sink.turned_at)[0]
            engine.kill()
            world.send("profiles", [energy("EM0002", "2026-11-01T00:15", [n]) for n in range(50)])
            until(lambda: sink.waiting_for is not None)
            assert f"{LOOPBACK}:{engine.port} is away" in ready(sink, sink.turned_at)[1]
            engine.start()
            engine.wait_ready()
            until(lambda: world.accounted() == (51, 0), 40)
            until(lambda: ready(sink, sink.turned_at)[0])
        assert world.ask("SELECT count() FROM energy_reads FINAL") == [(2,)]
    finally:
        engine.stop()


def topics_on(broker: Kafka) -> Topics:
    def make(*names: str, config: dict[str, str]) -> dict[str, str]:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for created in admin.create_topics([NewTopic(name, 1, 1, config=config) for name in names]).values():
            created.result(30)
        return {name: name for name in names}

    return make


def send_in_transactions(world: World, *devices: str) -> None:
    """A read each, and behind it the marker of its transaction: a jump, of which the broker is asked if it is a gap."""
    producer = Producer({"bootstrap.servers": world.kafka, "transactional.id": world.group})
    producer.init_transactions(60)
    for device in devices:
        producer.begin_transaction()
        producer.produce(world.topics["profiles"], codec.encode(energy(device, "2026-11-01T00:15", [1])), device)
        producer.commit_transaction(60)
        world.sent += 1


@pytest.mark.timeout(600)  # a busy machine takes long to start a broker twice
def test_a_broker_away_is_said_and_waited_for(clickhouse: Any, tmp_path: Path) -> None:
    broker = Kafka(tmp_path, tmp_path / "logs", heap_mb=256)

    try:
        broker.start()
        broker.wait_ready()
        world = World.new(broker.bootstrap, clickhouse.host, clickhouse.port, topics_on(broker))
        with running(world.sink()) as sink:
            send_in_transactions(world, "EM0001", "EM0002")
            until(settled(world))
            broker.kill()
            # the one between batches, the other with one in hand
            away = ("Kafka is away", "Kafka does not say")
            until(lambda: ready(sink, sink.turned_at)[1].startswith(away))
            broker.start()
            broker.wait_ready()
            until(lambda: ready(sink, sink.turned_at)[0])  # though nothing new came
            send_in_transactions(world, "EM0003")  # its partition has another leader epoch
            until(settled(world))
            until(lambda: ready(sink, sink.turned_at)[0])
    finally:
        broker.stop()


def test_a_partition_that_was_lost_while_the_feed_stayed_is_read_when_it_comes_back(
    make_topics: Topics, kafka: str
) -> None:
    topic = make_topics("profiles", partitions=2)["profiles"]
    feed = Feed(kafka, [topic], topic)
    read: set[int | None] = set()

    def owns(count: int) -> bool:
        read.update(message.partition() for message in feed.take(1, 0.2, 1))
        return len(feed.reached()) == count

    def other_joins() -> bool:
        feed.stay(0.2)
        other.take(1, 0.2, 1)
        return other.joined

    until(lambda: owns(2))
    other = Feed(kafka, [topic], topic)
    until(other_joins)
    other.close()
    until(lambda: owns(2))
    producer = Producer({"bootstrap.servers": kafka})
    for partition in (0, 1):
        producer.produce(topic, b"a record", partition=partition)
    assert producer.flush(30) == 0
    until(lambda: owns(2) and read == {0, 1})
    feed.close()


def test_told_to_end_while_a_commit_waits_for_a_dead_broker_the_feed_ends(tmp_path: Path) -> None:
    broker = Kafka(tmp_path, tmp_path / "logs", heap_mb=256)
    try:
        broker.start()
        broker.wait_ready()
        topics_on(broker)("profiles", config={})
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("profiles", b"a record")
        assert producer.flush(30) == 0
        # Silent: what is left behind looks for its broker as long as the process of the tests lives, and would say so.
        feed = Feed(broker.bootstrap, ["profiles"], "a-group", log_level=0)
        until(lambda: len(feed.take(1, 1.0, 1)) == 1)
        broker.kill()
        feed.commit({("profiles", 0): 1}, 1)
        feed.close()  # librdkafka's own close waits for that commit for ever, and this test with it
    finally:
        broker.stop()


def test_asked_to_end_while_clickhouse_is_away_it_ends_and_loses_nothing(world: World) -> None:
    world.send("profiles", [energy("EM0001", "2026-11-01T00:15", [1])])
    nowhere = World(**{**asdict(world), "port": 1})
    with running(nowhere.sink()) as sink:
        until(lambda: sink.waiting_for is not None)
    with running(world.sink()):
        until(settled(world))
    assert world.ask("SELECT captured_at FROM energy_reads")[0][0].timestamp() * 1_000 == millis("2026-11-01T00:15")


def test_the_role_stores_answers_its_probes_and_ends_when_told(kafka: str, clickhouse: Any) -> None:
    database = f"role_{uuid.uuid4().hex[:10]}"
    migrate(clickhouse.host, clickhouse.port, database=database)
    topics.apply(kafka, partitions=2)
    port = free_port()
    environment = {
        **os.environ,
        "METERLOG_KAFKA": kafka,
        "METERLOG_CLICKHOUSE": f"{clickhouse.host}:{clickhouse.port}",
        "METERLOG_CLICKHOUSE_DATABASE": database,
        "METERLOG_SINK_GROUP": database,
        "METERLOG_SINK_SECONDS": "0.2",
        "METERLOG_METRICS_PORT": str(port),
    }
    device = f"EM{uuid.uuid4().hex[:8]}"
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(READS_PROFILES.name, codec.encode(energy(device, "2026-11-01T00:15", [1, 2])), device.encode())
    assert producer.flush(30) == 0
    command = [sys.executable, "-m", "connectors.clickhouse.sink"]
    role = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        client = Client(clickhouse.host, port=clickhouse.port, database=database)
        query = f"SELECT count() FROM energy_reads WHERE device_id = '{device}'"
        until(lambda: client.execute(query) == [(2,)])
        client.disconnect()
        assert ask(port, "/readyz") == (200, "ok\n")
        assert ask(port, "/livez") == (200, "ok\n")
        counted = f'meterlog_sink_rows_total{{topic="{READS_PROFILES.name}"}}'
        until(lambda: counted in ask(port, "/metrics")[1])  # the rows are there a moment before they are counted
    finally:
        role.terminate()
        _, told = role.communicate(timeout=30)
    assert role.returncode == 0, told
    events = [json.loads(line)["event"] for line in told.splitlines() if line.startswith("{")]
    assert (events[0], events[-1]) == ("started", "stopped")


def ask(port: int, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.status, answer.read().decode()
