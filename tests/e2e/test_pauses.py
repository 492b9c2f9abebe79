"""Misfortunes that are no death of a role at a step: processes that stand still until others have taken their place, a
broker that dies, streams that stay away, upstreams with habits of their own. The judge says whether the promises held.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from operations import build_request
from schemas import codec, headers
from schemas.records import CommandHeader, JobEnded
from schemas.topics import COMMANDS, DEVICE_EVENTS
from streams.device.events import JobLost
from streams.device.wire import decode_events
from tests.e2e.evidence import Evidence
from tests.e2e.judge import hold
from tests.e2e.load import Command, Load, loading
from tests.e2e.siege import ServeKafka, Siege, besieged, it_was_hard
from tests.e2e.test_kills import besieged as supervised
from tests.e2e.test_kills import kill, part
from tests.e2e.world import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]

STOPPED_SECONDS: Final = 45.0  # sessions last 10 s at most, the lease of a job with five commands half a minute
AWAY_SECONDS: Final = 120.0
REBALANCES: Final = 30
FENCINGS: Final = 12
FENCED_SECONDS: Final = 8.0  # the session is 6 s
REBALANCE_SECONDS: Final = 20.0
UNDER_WAY: Final = 20  # outcomes of a wave when its misfortune begins
UPSTREAMS: Final[dict[str, dict[str, Any]]] = {
    "default partitioner": {"partitioner": "consistent_random"},
    "lz4": {"partitioner": "murmur2_random", "compression.type": "lz4", "linger.ms": 20},
    "zstd": {"partitioner": "murmur2_random", "compression.type": "zstd", "linger.ms": 20},
    "transactions": {"partitioner": "murmur2_random", "transactional.id": "upstream", "compression.type": "lz4"},
}


def under_way(load: Load, commands: int) -> None:
    """A wave, in the middle of being carried out."""
    wave = load.wave(commands)
    until(lambda: len(wave - load.left()) >= UNDER_WAY, 300, "a wave under way")  # a broker may take its time
    assert wave & load.left(), "the wave was over before anything befell it"


@contextmanager
def standing_still(process_id: int) -> Iterator[None]:
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


def given_up(evidence: Evidence, since: float) -> set[tuple[str, int]]:
    """Device and number of the jobs whose lease ran out after a moment in seconds."""
    return {
        (decision.device_id, event.number)
        for decision in (decode_events(told.value) for told in evidence.told(DEVICE_EVENTS.name))
        for event in decision.events
        if isinstance(event, JobLost) and event.at > 1_000 * since
    }


@pytest.mark.parametrize("role", ["dlms-worker", "streams", "clickhouse-sink"])
def test_a_process_that_stood_still_does_no_harm(
    serve_kafka: ServeKafka, clickhouse: Any, tmp_path: Path, role: str
) -> None:
    """Another has taken its place when it wakes, and the leases of its jobs have run out."""
    with serve_kafka() as kafka, besieged(kafka, clickhouse, tmp_path, 163, crew=2) as siege:
        began = time.time()
        for name in (role, f"{role}-2"):  # whichever of the two holds most
            under_way(siege.load, 800)
            with standing_still(siege.roles[name].pid):
                end = time.monotonic() + STOPPED_SECONDS
                while time.monotonic() < end:
                    siege.load.left()
                    time.sleep(0.2)
            siege.load.wave(200)
        siege.settle(400)
        evidence = siege.judged()
        it_was_hard(evidence)
        lost = given_up(evidence, began)
        print(f"{role}: {len(lost)} jobs were given up")
        assert lost or role != "dlms-worker"  # without leases that ran out, the sleeper woke too early


def test_streams_that_stay_away_find_the_results_of_their_jobs(
    serve_kafka: ServeKafka, clickhouse: Any, tmp_path: Path
) -> None:
    """Two minutes are longer than any lease: but the workers had reported, so none has run out."""
    with serve_kafka() as kafka, besieged(kafka, clickhouse, tmp_path, 163) as siege:
        under_way(siege.load, 800)
        away = time.time()
        siege.roles["streams"].kill()
        siege.load.wave(200)
        time.sleep(AWAY_SECONDS)
        back = time.time()
        siege.roles["streams"].start()
        siege.settle(400)
        evidence = siege.judged()
        it_was_hard(evidence)
        reported = {
            (told.device_id, told.number)
            for told in evidence.job_results
            if isinstance(told, JobEnded) and 1_000 * away < told.ended_at < 1_000 * back
        }
        lost = given_up(evidence, away)
        print(f"{len(reported)} jobs ended while the streams were away, {len(lost)} were given up later")
        assert len(reported) >= UNDER_WAY
        assert not reported & lost


def test_a_broker_that_dies_under_load_again_and_again(tmp_path: Path) -> None:
    """One broker, so nothing can be written until it is back."""
    with supervised(tmp_path, 163, 1) as (stack, world), loading(world) as load:
        load.register()
        for _ in range(3):
            under_way(load, 400)
            kill(stack, "kafka")
        load.settle(400)
        evidence = Evidence(tmp_path, world.kafka, world.host, world.port)
        hold(evidence)
        assert part(stack, "kafka")["restarts"] == 3
        it_was_hard(evidence)


def test_a_broker_that_is_fenced_while_the_streams_start_again(tmp_path: Path) -> None:
    """Stopped for longer than its session with its controller, which fences it as both wake, and lets it back."""
    with supervised(tmp_path, 163, 1) as (stack, world), loading(world) as load:
        load.register()
        for number in range(FENCINGS):
            under_way(load, 200)
            with standing_still(int(part(stack, "kafka")["pid"])):
                time.sleep(FENCED_SECONDS)
            time.sleep(0.5 * (number % 4))
            kill(stack, "streams")
        load.settle(400)
        evidence = Evidence(tmp_path, world.kafka, world.host, world.port)
        hold(evidence)
        assert part(stack, "kafka")["restarts"] == 0
        it_was_hard(evidence)
        resigned = (tmp_path / "logs" / "kafka.log").read_text().count("Resigned as the txn coordinator")
        print(f"{FENCINGS} stops, {resigned} resignations of a coordinator")
        assert resigned, "the broker was never fenced"


def test_a_rebalance_every_twenty_seconds(serve_kafka: ServeKafka, clickhouse: Any, tmp_path: Path) -> None:
    """For ten minutes one process of each role leaves and comes back by turns, while commands go on."""
    with serve_kafka() as kafka, besieged(kafka, clickhouse, tmp_path, 163, crew=2) as siege:
        for number in range(REBALANCES):
            end = time.monotonic() + REBALANCE_SECONDS
            if len(siege.load.left()) < 400:
                siege.load.wave(100)
            for role in ("streams-2", "dlms-worker-2", "clickhouse-sink-2"):
                if number % 2:
                    siege.roles[role].start()
                else:
                    siege.roles[role].stop()
            while time.monotonic() < end:
                siege.load.left()
                time.sleep(0.2)
        siege.settle(400)
        print(f"{REBALANCES} rebalances, {len(siege.load.asked)} commands")
        it_was_hard(siege.judged())


def test_upstreams_with_habits_of_their_own(serve_kafka: ServeKafka, clickhouse: Any, tmp_path: Path) -> None:
    """librdkafka's own partitioner, lz4, zstd, and transactions of which a third are aborted."""
    with serve_kafka() as kafka, besieged(kafka, clickhouse, tmp_path, 163) as siege:
        for name, settings in UPSTREAMS.items():
            speak(siege, name, settings)
        siege.settle(400)
        evidence = siege.judged()
        it_was_hard(evidence)


def speak(siege: Siege, name: str, settings: dict[str, Any]) -> None:
    """200 commands by a producer with these settings. What it aborts is never asked, so nobody may answer it."""
    producer = Producer({"bootstrap.servers": siege.world.kafka, "enable.idempotence": True, **settings})
    if "transactional.id" not in settings:
        wave = siege.load.compose(200)
        siege.load.note(wave)
        produce(producer, wave, name)
        assert producer.flush(60) == 0
        return
    producer.init_transactions(60)
    for number in range(15):
        wave = siege.load.compose(20)
        producer.begin_transaction()
        if number % 3 == 1:
            produce(producer, [each._replace(correlation_id=str(uuid4())) for each in wave], name)
            assert producer.flush(60) == 0
            producer.abort_transaction(60)
        else:
            siege.load.note(wave)
            produce(producer, wave, name)
            producer.commit_transaction(60)


def produce(producer: Producer, wave: list[Command], requester: str) -> None:
    for correlation_id, device_id, operation, request in wave:
        checked = build_request(operation, request)
        now = time.time_ns() // 1_000_000
        header = CommandHeader(correlation_id=correlation_id, device_id=device_id, created_at=now, requester=requester)
        value = codec.encode_command(operation, header, checked)
        told: list[tuple[str, str | bytes | None]] = [*headers.for_command(operation, header)]
        producer.produce(COMMANDS.name, key=device_id.encode(), value=value, headers=told)
        producer.poll(0)
