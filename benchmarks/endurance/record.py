"""Keeps what retention takes away: a copy of every committed record the judge wants, written as it comes.

The run shortens the retention of topics so that their sizes can be seen to stay; the judge joins all of two hours.
"""

import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import IO, Any, Final

from confluent_kafka import Consumer, TopicPartition

from schemas import codec
from schemas.topics import (
    DEVICE_MESSAGES,
    JOB_RESULTS,
    JOBS,
    READS_PROFILES,
    READS_REGISTERS,
    RESPONSES,
    RESULTS_LARGE,
)
from tests.e2e.evidence import Evidence
from tests.e2e.world import Told

RECORDED: Final = tuple(
    topic.name
    for topic in (RESPONSES, JOBS, JOB_RESULTS, DEVICE_MESSAGES, READS_REGISTERS, READS_PROFILES, RESULTS_LARGE)
)
_HEAD: Final = struct.Struct("<IQII")  # partition, offset, bytes of key and value


@dataclass(slots=True)
class Recorder:
    """`done`: commands that have an outcome; `delays`: seconds from asked to settled of the latest, a tenth of which
    were asked for later.
    """

    folder: Path
    consumer: Consumer
    done: set[str] = field(default_factory=set)
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    records: int = 0
    failed: str = ""
    _ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        files: dict[str, IO[bytes]] = {name: (self.folder / name).open("wb") for name in RECORDED}
        try:
            while not self._ending.is_set():
                for message in self.consumer.consume(1_000, 0.5):
                    if message.error() is None:
                        self._keep(files, message)
        except Exception as error:  # told by whoever asks for the outcome
            self.failed = f"{type(error).__name__}: {error}"
            raise
        finally:
            for file in files.values():
                file.close()

    def end(self) -> None:
        self._ending.set()

    def _keep(self, files: dict[str, IO[bytes]], message: Any) -> None:
        topic, key, value = message.topic(), message.key() or b"", message.value() or b""
        file = files[topic]
        file.write(_HEAD.pack(message.partition(), message.offset(), len(key), len(value)) + key + value)
        file.flush()
        self.records += 1
        if topic == RESPONSES.name:
            header, _ = codec.decode_response(value)
            self.done.add(header.correlation_id)
            if header.created_at is not None and not header.repeated:
                self.delays.append((header.settled_at - header.created_at) / 1_000)

    def pace(self) -> dict[str, float]:
        """Median and 80th percentile of the latest delays, in seconds."""
        delays = [*self.delays]
        if len(delays) < 2:
            return {}
        return {"p50": round(median(delays), 3), "p80": round(quantiles(delays, n=5)[-1], 3)}


@contextmanager
def recording(kafka: str, folder: Path) -> Iterator[Recorder]:
    folder.mkdir(parents=True, exist_ok=True)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"endurance-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "log_level": 2,
        }
    )
    known = consumer.list_topics(timeout=60).topics
    consumer.assign([TopicPartition(name, partition, 0) for name in RECORDED for partition in known[name].partitions])
    recorder = Recorder(folder, consumer)
    thread = threading.Thread(target=recorder.run, name="recorder", daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        time.sleep(2)  # what lies on the topics now is heard
        recorder.end()
        thread.join(30)
        consumer.close()


@dataclass
class Recorded(Evidence):
    """Evidence of a run whose topics were shortened: the copies where there are any."""

    def told(self, topic: str) -> Iterator[Told]:
        if topic not in RECORDED:
            yield from super().told(topic)
            return
        with (self.folder / "records" / topic).open("rb") as file:
            while head := file.read(_HEAD.size):
                partition, offset, key, value = _HEAD.unpack(head)
                yield Told(file.read(key), file.read(value), None, partition, offset)
