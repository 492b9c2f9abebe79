"""The streams role as a process against a real broker, between a caller and workers that the test plays: commands in by
the thousand, jobs answered at once or held back, every response counted.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import Consumer, Producer

from infra.embedded.ports import free_port
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
from tests.unit.streams.world import REGISTRATION

PATIENCE: Final = 240.0
ACCEPTED: Final = "meterlog_devices_accepted_total"


class Caller:
    """Sends commands. `partitioner`: as librdkafka names it."""

    def __init__(self, kafka: str, partitioner: str = "murmur2_random") -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "partitioner": partitioner,
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def send(self, device: str, operation: str, request: dict[str, object], **fields: Any) -> str:
        """One command; its correlation id. It is on its way: `flush` waits for the broker."""
        header = CommandHeader(str(uuid4()), device, time.time_ns() // 1_000_000, **fields)
        value = codec.encode_command(operation, header, request)
        said: list[tuple[str, str | bytes | None]] = [*headers.for_command(operation, header)]
        self._producer.produce(topics.COMMANDS.name, value, device.encode(), headers=said)
        self._producer.poll(0)
        return header.correlation_id

    def flush(self) -> None:
        assert self._producer.flush(60) == 0


def send(
    kafka: str, devices: Iterable[str], operation: str, request: dict[str, object], partitioner: str = "murmur2_random"
) -> set[str]:
    """The same to each device."""
    caller = Caller(kafka, partitioner)
    names = {caller.send(device, operation, request) for device in devices}
    caller.flush()
    return names


@dataclass
class Played:
    """What left the streams, as a read-committed reader sees it; jobs in the order of each partition.

    `holding`: jobs are not answered until `answer` is called. `on_job` is called in the worker's thread with each job,
    before it is answered.
    """

    holding: bool = False
    on_job: Callable[[Job], object] = lambda job: None
    answers: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Status] = field(default_factory=dict)
    jobs: list[tuple[int, Job]] = field(default_factory=list)
    held: list[tuple[int, Job]] = field(default_factory=list)
    finished: deque[tuple[int, Job]] = field(default_factory=deque)  # to be told by the thread

    def answer(self, partition: int) -> None:
        """Have the oldest job that is held in a partition end well."""
        oldest = next(each for each in self.held if each[0] == partition)
        self.held.remove(oldest)
        self.finished.append(oldest)

    def of(self, partition: int) -> list[Job]:
        """The jobs of a partition."""
        return [job for number, job in list(self.jobs) if number == partition]

    def await_answers(self, asked: set[str]) -> None:
        until(lambda: asked <= self.answers.keys(), f"an answer to each of {len(asked)}")


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.1)


@contextmanager
def played(kafka: str, devices: Iterable[str], played: Played | None = None) -> Iterator[Played]:
    """Plays the workers of these devices, and hears their responses."""
    seen = played or Played()
    ending, ready, mine = threading.Event(), threading.Event(), {device.encode() for device in devices}
    thread = threading.Thread(target=_play, args=(kafka, mine, seen, ending, ready), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield seen
    finally:
        ending.set()
        thread.join(30)


def _play(kafka: str, mine: set[bytes], seen: Played, ending: threading.Event, ready: threading.Event) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"played-{uuid4()}",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 2})
    consumer.subscribe([topics.JOBS.name, topics.RESPONSES.name], on_assign=lambda *_: ready.set())
    while not ending.is_set():
        for message in consumer.consume(500, timeout=0.02):
            value, partition = message.value(), message.partition()
            if message.error() is not None or message.key() not in mine or not isinstance(value, bytes):
                continue
            assert partition is not None
            if message.topic() == topics.JOBS.name:
                job: Job = codec.decode(value)
                seen.jobs.append((partition, job))
                seen.on_job(job)
                (seen.held if seen.holding else seen.finished).append((partition, job))
            else:
                header: ResponseHeader = codec.decode_response(value)[0]
                (seen.repeats if header.repeated else seen.answers)[header.correlation_id] += 1
                seen.statuses.setdefault(header.correlation_id, header.status)
        while seen.finished:
            partition, job = seen.finished.popleft()
            producer.produce(topics.JOB_RESULTS.name, done(job), job.device_id.encode(), partition)
        producer.poll(0)
    producer.flush(10)
    consumer.close()


def done(job: Job) -> bytes:
    """The end of a job in which all went well."""
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

    def __init__(self, kafka: str, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self._log = folder / "streams.log"
        self._environment = os.environ | {
            "METERLOG_KAFKA": kafka,
            "METERLOG_METRICS_PORT": str(self.port),
            "METERLOG_STREAMS_APPLICATION": f"streams-{uuid4().hex[:8]}",
            **environment,
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

    def metric(self, name: str) -> float:
        """One without labels."""
        (line,) = [line for line in self.metrics().splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])

    def wait_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self._log.read_text()[-3_000:]
            try:
                if self._ask("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < end, self._log.read_text()[-3_000:]
            time.sleep(0.1)

    def _ask(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextmanager
def role(kafka: str, folder: Path, **environment: str) -> Iterator[Streams]:
    streams = Streams(kafka, folder, **environment)
    streams.start()
    try:
        streams.wait_ready()
        yield streams
    except BaseException:
        streams.kill()
        raise
    streams.stop()
