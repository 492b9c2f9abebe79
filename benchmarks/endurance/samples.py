"""What the running system holds at a moment: memory, descriptors, threads and processor time of each process, lag of
each group, what each topic and ClickHouse keep, who is ready and who was started again.

A sample is a flat mapping from the name of a series ("streams rss") to a number; `restarts` and `unready` count, so
that everything can be drawn and judged in the same way.
"""

import json
import os
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from clickhouse_driver import Client
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.embedded.ports import LOOPBACK
from infra.embedded.supervisor import Stack
from schemas.topics import TOPICS

GROUPS: Final = ("meterlog-devices", "meterlog-dlms-worker", "meterlog-sink")
INTERNAL: Final = ("__consumer_offsets", "__transaction_state", "__cluster_metadata")
MIB: Final = 2**20
_SECONDS: Final = 15.0
_TABLES: Final = """
    SELECT table, count(), sum(rows), sum(bytes_on_disk) FROM system.parts
    WHERE active AND database = currentDatabase() GROUP BY table
"""

Sample = dict[str, float]


@dataclass(slots=True)
class Sampler:
    """Asks a stack, from outside, what it holds."""

    stack: Stack
    clickhouse: Client
    admin: AdminClient | None = None
    processes: dict[int, psutil.Process] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)  # why a part was not ready, or could not be asked

    def take(self) -> Sample:
        """One sample. What cannot be asked is left out of it, and told in `reasons`."""
        sample: Sample = {}
        for about in (self._processes, self._lags, self._topics, self._tables):
            try:
                sample.update(about())
            except (KafkaException, OSError, EOFError, psutil.Error) as error:
                self.admin = None  # a client whose broker was fenced for a while may never find it again
                self.reasons.append(f"{about.__name__.strip('_')}: {type(error).__name__}: {error}")
        return sample

    def _processes(self) -> Iterator[tuple[str, float]]:
        parts: list[dict[str, Any]] = self.stack.status()["parts"]
        for part in [*parts, {"name": "harness", "pid": psutil.Process().pid, "restarts": 0, "metrics_port": None}]:
            name, process_id = part["name"], part["pid"]
            process = self.processes.get(process_id) or psutil.Process(process_id)
            self.processes[process_id] = process
            with process.oneshot():
                used = process.cpu_times()
                yield f"{name} rss", process.memory_info().rss / MIB
                yield f"{name} descriptors", process.num_fds()
                yield f"{name} threads", process.num_threads()
                yield f"{name} cpu", used.user + used.system
            yield f"{name} restarts", part["restarts"]
            if part["metrics_port"]:
                yield f"{name} unready", self._unready(name, part["metrics_port"])
        yield "machine load", psutil.getloadavg()[0]
        yield "machine free", psutil.virtual_memory().available / MIB

    def _unready(self, name: str, port: int) -> int:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=5):
                return 0
        except urllib.error.HTTPError as error:
            self.reasons.append(f"{name}: {error.read(200).decode(errors='replace').strip()}")
        except OSError as error:
            self.reasons.append(f"{name}: {error}")
        return 1

    def _asking(self) -> AdminClient:
        if self.admin is None:
            self.admin = AdminClient({"bootstrap.servers": self.stack.kafka.bootstrap, "log_level": 2})
        return self.admin

    def _lags(self) -> Iterator[tuple[str, float]]:
        admin = self._asking()
        for group in GROUPS:
            answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
            committed = {
                (place.topic, place.partition): place.offset
                for place in answer[group].result(_SECONDS).topic_partitions
            }
            ends = offsets(admin, committed, OffsetSpec.latest())  # type: ignore[no-untyped-call]
            yield f"{group} lag", sum(max(0, end - committed[place]) for place, end in ends.items())

    def _topics(self) -> Iterator[tuple[str, float]]:
        admin = self._asking()
        places = [
            (topic.name, partition)
            for topic in TOPICS
            for partition in admin.list_topics(topic.name, timeout=_SECONDS).topics[topic.name].partitions
        ]
        first = offsets(admin, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        last = offsets(admin, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        held: dict[str, int] = defaultdict(int)
        told: dict[str, int] = defaultdict(int)
        for place, end in last.items():
            held[place[0]] += end - first[place]
            told[place[0]] += end
        size = sizes(self.stack.kafka.folder / "data")
        for topic in TOPICS:
            yield f"{short(topic.name)} records", held[topic.name]
            yield f"{short(topic.name)} end", told[topic.name]
            yield f"{short(topic.name)} bytes", size[topic.name]
        for name in INTERNAL:
            yield f"{name} bytes", size[name]

    def _tables(self) -> Iterator[tuple[str, float]]:
        total = [0, 0, 0]
        for table, *counts in self.clickhouse.execute(_TABLES):
            total = [one + other for one, other in zip(total, counts, strict=True)]
            yield f"{table} rows", counts[1]
        for name, count in zip(("parts", "rows", "bytes"), total, strict=True):
            yield f"clickhouse {name}", count
        folder = self.stack.clickhouse.folder
        yield "clickhouse folder", sum(map(_size, files(folder)))


def short(topic: str) -> str:
    """`reads.registers` for `metering.reads.registers.v1`."""
    return topic.removeprefix("metering.").removesuffix(".v1")


def offsets(admin: AdminClient, places: Iterable[tuple[str, int]], which: Any) -> dict[tuple[str, int], int]:
    """First or last offset by (topic, partition)."""
    asked = {TopicPartition(*place): which for place in places}
    if not asked:
        return {}
    found = admin.list_offsets(asked, request_timeout=_SECONDS)
    return {(place.topic, place.partition): future.result().offset for place, future in found.items()}


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of log segments by topic; index files are allocated ahead and left out."""
    found: dict[str, int] = defaultdict(int)
    for path in files(folder):
        if path.suffix == ".log":
            found[path.parent.name.rpartition("-")[0]] += _size(path)
    return found


def files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):  # passes over folders that are gone meanwhile
        yield from (Path(place) / name for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted or merged in between
        return 0


def write(path: Path, at: float, sample: Sample) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": round(at, 1), **{name: round(value, 3) for name, value in sample.items()}}) + "\n")


def read(path: Path) -> list[Sample]:
    """The samples of a run, oldest first; `at` is seconds since its load began."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
