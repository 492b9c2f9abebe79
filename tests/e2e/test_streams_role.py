"""The streams role as a process against a real broker, its workers played by the test: killed, it still answers all.

A third of the commands comes from a producer with librdkafka's own partitioner, so many of them lie in a partition
their key does not belong to. Afterwards the log makes the table, and no counter or job number was given twice.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer

from infra.embedded.ports import free_port
from infra.topics import apply
from schemas import codec, headers, topics
from schemas.records import (
    CommandEnded,
    CommandHeader,
    DeviceRegistered,
    Ended,
    Job,
    JobEnded,
    ResponseHeader,
    Status,
)
from streams.device.verify import read
from tests.unit.streams.world import ADD_DEVICE, REGISTRATION

DEVICES, EACH, PARTITIONS = 60, 10, 4
PATIENCE = 90.0


def test_every_command_is_answered_once_although_the_role_is_killed(kafka: str, tmp_path: Path) -> None:
    apply(kafka, partitions=PARTITIONS)
    run = uuid4().hex[:6].upper()
    devices = [f"STRM{run}{number:08}" for number in range(DEVICES)]
    asked: set[str] = set()
    with observer(kafka, devices) as seen, role(kafka, tmp_path) as streams:
        asked |= send(kafka, devices, "AddDevice", ADD_DEVICE, "murmur2_random")
        await_answers(seen, asked)
        for _ in range(EACH // 2):
            asked |= send(kafka, devices, "SynchronizeTime", {"time_zone": "UTC"}, "murmur2_random")
        streams.kill()
        asked |= send(kafka, devices, "SynchronizeTime", {"time_zone": "UTC"}, "consistent_random")
        streams.start()
        for _ in range(EACH // 2 - 1):
            asked |= send(kafka, devices, "SynchronizeTime", {"time_zone": "UTC"}, "consistent_random")
        await_answers(seen, asked)
        streams.wait_ready()
        assert 'meterlog_shell_received_total{topic="metering.commands.v1"}' in streams.metrics()
    assert {name: count for name, count in seen.answers.items() if count != 1} == {}
    assert set(seen.statuses) == {Status.SUCCESSFUL}
    assert seen.answers.keys() == asked
    counters_rise(seen.jobs)
    verdict = read(kafka)
    assert verdict.agrees, verdict.examples
    assert verdict.devices >= DEVICES


def counters_rise(jobs: list[Job]) -> None:
    last: dict[str, tuple[int, int]] = {}
    for job in sorted(jobs, key=lambda job: (job.device_id, job.number)):
        number, counter = last.get(job.device_id, (0, 0))
        assert job.number == number + 1
        assert job.counter_from > counter
        last[job.device_id] = job.number, max(counter, job.counter_to)


@dataclass
class Seen:
    """What left the streams, as a read-committed reader sees it."""

    answers: Counter[str] = field(default_factory=Counter)
    statuses: Counter[Status] = field(default_factory=Counter)
    jobs: list[Job] = field(default_factory=list)


def await_answers(seen: Seen, asked: set[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not asked <= seen.answers.keys():
        assert time.monotonic() < until, f"{len(asked - seen.answers.keys())} of {len(asked)} without an answer"
        time.sleep(0.1)
    time.sleep(1.0)  # a second answer would come now


def send(kafka: str, devices: list[str], operation: str, request: dict[str, object], partitioner: str) -> set[str]:
    producer = Producer({"bootstrap.servers": kafka, "partitioner": partitioner, "linger.ms": 5})
    names = set()
    for device in devices:
        header = CommandHeader(str(uuid4()), device, time.time_ns() // 1_000_000)
        value = codec.encode_command(operation, header, request)
        said: list[tuple[str, str | bytes | None]] = [*headers.for_command(operation, header)]
        producer.produce(topics.COMMANDS.name, value, device.encode(), headers=said)
        names.add(header.correlation_id)
    assert producer.flush(30) == 0
    return names


@contextmanager
def observer(kafka: str, devices: list[str]) -> Iterator[Seen]:
    """Plays the workers, and counts the responses."""
    seen, ending, mine = Seen(), threading.Event(), {device.encode() for device in devices}
    ready = threading.Event()
    thread = threading.Thread(target=_observe, args=(kafka, mine, seen, ending, ready), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield seen
    finally:
        ending.set()
        thread.join(30)


def _observe(kafka: str, mine: set[bytes], seen: Seen, ending: threading.Event, ready: threading.Event) -> None:
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": f"observer-{uuid4()}", "auto.offset.reset": "earliest"}
    )
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 2})
    consumer.subscribe([topics.JOBS.name, topics.RESPONSES.name], on_assign=lambda *_: ready.set())
    while not ending.is_set():
        for message in consumer.consume(500, timeout=0.05):
            value, partition = message.value(), message.partition()
            if message.error() is not None or message.key() not in mine or not isinstance(value, bytes):
                continue
            if message.topic() == topics.JOBS.name:
                job: Job = codec.decode(value)
                seen.jobs.append(job)
                assert partition is not None
                producer.produce(topics.JOB_RESULTS.name, done(job), job.device_id.encode(), partition)
            else:
                header: ResponseHeader = codec.decode_response(value)[0]
                seen.answers[header.correlation_id] += 1
                seen.statuses[header.status] += 1
        producer.poll(0)
    producer.flush(10)
    consumer.close()


def done(job: Job) -> bytes:
    outcomes = []
    for each in job.commands:
        if each.operation == "AddDevice":
            facts = (DeviceRegistered(REGISTRATION),)
            result = codec.encode_result("AddDevice", {"keys": ()})
            outcomes.append(CommandEnded(each.correlation_id, Ended.SUCCESSFUL, result=result, facts=facts))
        else:
            result = codec.encode_result(each.operation, {})
            outcomes.append(CommandEnded(each.correlation_id, Ended.SUCCESSFUL, result=result))
    now = time.time_ns() // 1_000_000
    return codec.encode(
        JobEnded(job.device_id, job.number, "test", now, now, True, job.counter_from, None, tuple(outcomes))
    )


class Streams:
    """`python -m streams.app`, as the supervisor runs it."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "streams.log"
        self._environment = os.environ | {
            "METERLOG_KAFKA": kafka,
            "METERLOG_METRICS_PORT": str(self.port),
            "METERLOG_STREAMS_APPLICATION": f"streams-{uuid4().hex[:8]}",
        }

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streams.app"], env=self._environment, stderr=log, stdout=log
            )

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                assert self._process.wait(45) == 0, self._log.read_text()[-3_000:]
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def metrics(self) -> str:
        return self._ask("/metrics")[1]

    def wait_ready(self) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self._log.read_text()[-3_000:]
            try:
                if self._ask("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < until, self._log.read_text()[-3_000:]
            time.sleep(0.1)

    def _ask(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextmanager
def role(kafka: str, folder: Path) -> Iterator[Streams]:
    streams = Streams(kafka, folder)
    streams.start()
    try:
        streams.wait_ready()
        yield streams
    except BaseException:
        streams.kill()
        raise
    streams.stop()


pytestmark = pytest.mark.timeout(300)
