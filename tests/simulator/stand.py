"""A test stand for the worker on a real broker: topics of its own, jobs in, results out, workers as processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import codec
from schemas import headers as kafka_headers
from schemas.records import Job, JobAttempting, JobEnded
from schemas.topics import (
    DEAD_LETTERS,
    JOB_RESULTS,
    JOBS,
    METER_EVENTS,
    READS_PROFILES,
    READS_REGISTERS,
    RESULTS_LARGE,
    Topic,
)

TOPICS = (JOBS, JOB_RESULTS, READS_REGISTERS, READS_PROFILES, METER_EVENTS, RESULTS_LARGE, DEAD_LETTERS)
PARTITIONS = 4


@dataclass
class Read:
    """One record as it lies on a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, Any]]

    @property
    def record(self) -> Any:
        return codec.decode(self.value)

    @property
    def attributes(self) -> kafka_headers.Attributes:
        return kafka_headers.read(self.headers)


@dataclass
class Stand:
    """Topics with one prefix. `close` ends the processes that were started."""

    bootstrap: str
    prefix: str
    keys: Path
    logs: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ports: dict[int, int] = field(default_factory=dict)

    def send(self, *jobs: Job | bytes, partition: int | None = None) -> None:
        """Jobs, or raw bytes, to the topic of jobs: round and round the partitions."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for number, job in enumerate(jobs):
            value = job if isinstance(job, bytes) else codec.encode(job)
            key = b"poison" if isinstance(job, bytes) else job.device_id.encode()
            where = number % PARTITIONS if partition is None else partition
            producer.produce(self.prefix + JOBS.name, value, key, where)
        assert producer.flush(30) == 0

    def read(
        self, topic: Topic, enough: Callable[[list[Read]], bool] = lambda found: True, seconds: float = 30
    ) -> list[Read]:
        """What lies on a topic once it is `enough`, or when the time is up. At least all that is there now."""
        name = self.prefix + topic.name
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "none",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        try:
            ends = {
                p: consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10)[1] for p in range(PARTITIONS)
            }
            consumer.assign([TopicPartition(name, p, 0) for p in ends])
            found: list[Read] = []
            seen = dict.fromkeys(ends, 0)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if all(seen[p] >= end for p, end in ends.items()) and enough(found):
                    break
                message: Any = consumer.poll(0.05)
                if message is not None and message.error() is None:
                    seen[message.partition()] = message.offset() + 1
                    place = (message.partition(), message.offset())
                    found.append(Read(*place, message.key(), message.value(), message.headers() or []))
            return found
        finally:
            consumer.close()

    def ended(self, count: int, seconds: float = 30) -> list[JobEnded]:
        """The ends of jobs, once there are `count`."""

        def ends(found: list[Read]) -> list[JobEnded]:
            return [record for each in found if isinstance(record := each.record, JobEnded)]

        return ends(self.read(JOB_RESULTS, lambda found: len(ends(found)) >= count, seconds))

    def attempts(self) -> list[JobAttempting]:
        return [record for each in self.read(JOB_RESULTS) if isinstance(record := each.record, JobAttempting)]

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """A worker process. Returns at once: `wait_ready` waits until it has joined."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        number = len(self.processes)
        told = {
            "METERLOG_KAFKA": self.bootstrap,
            "METERLOG_KEYS": str(self.keys),
            "METERLOG_TOPIC_PREFIX": self.prefix,
            "METERLOG_WORKER_GROUP": self.prefix + "workers",
            "METERLOG_WORKER_NAME": f"w{number}",
            "METERLOG_METRICS_PORT": str(port),
            "METERLOG_COUNTER_SECONDS": "0.01",
            "METERLOG_KAFKA_CONFIG": "session.timeout.ms=6000;log_level=3",
            **environment,
        }
        with (self.logs / f"worker-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "connectors.dlms.worker"],
                env={**os.environ, **told},
                stderr=log,
                stdout=log,
                cwd=Path(__file__).parents[2],
            )
        self.processes.append(process)
        self.ports[process.pid] = port
        return process

    def log(self, process: subprocess.Popen[bytes]) -> str:
        return (self.logs / f"worker-{self.processes.index(process)}.log").read_text()

    def ask(self, process: subprocess.Popen[bytes], path: str) -> tuple[int, str]:
        """Status and text of a probe; 0 when nobody answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[process.pid]}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except URLError as error:
            return getattr(error, "code", 0), str(error)
        except ConnectionError as error:
            return 0, str(error)

    def wait_ready(self, *processes: subprocess.Popen[bytes], seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        for process in processes:
            while self.ask(process, "/readyz")[0] != 200:
                assert process.poll() is None, self.log(process)
                assert time.monotonic() < until, self.log(process)
                time.sleep(0.05)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)
