"""What the benchmarks of the streams role share: a broker, a table full of devices, the role as a process."""

import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

import psutil
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from infra.embedded.kafka import Kafka
from infra.embedded.ports import LOOPBACK
from infra.embedded.process import Process
from infra.embedded.roles import STREAMS
from infra.topics import apply
from schemas.partition import PARTITIONER
from schemas.records import KeyKind, Registration, SealedKey, Security, Status
from schemas.topics import DEVICES
from streams.device.state import SETTLED_KEPT, Device, Settled, remember
from streams.device.wire import encode_device

PARTITIONS: Final = 4
START_SECONDS: Final = 300.0
LEADER_SECONDS: Final = 30.0
_MS: Final = 1_793_491_200_000  # 2026-11-01
_PATTERNS: Final = 1_024  # different states, 3 MB of them: far more than a compressor looks back
_TRANSACTION: Final = 20_000  # devices in one


def name_of(number: int) -> str:
    return f"BNCH1{number:012}"


@contextmanager
def broker(heap_mb: int = 768) -> Iterator[tuple[str, Path]]:
    """A broker with all topics, and a folder that goes with it: (bootstrap, folder)."""
    with TemporaryDirectory(prefix="meterlog-bench-") as name:
        folder = Path(name)
        kafka = Kafka(folder / "kafka", folder / "logs", heap_mb=heap_mb)
        try:
            kafka.start()
            kafka.wait_ready()
            apply(kafka.bootstrap, partitions=PARTITIONS)
            yield kafka.bootstrap, folder
        finally:
            kafka.stop()


def registration(random: Random) -> Registration:
    """A meter with HLS5, its keys sealed as the worker seals them: 12 bytes of nonce, the key, 16 of tag."""
    kinds = (KeyKind.MASTER, KeyKind.AUTHENTICATION, KeyKind.ENCRYPTION)
    return Registration(
        device_type="SMART_METER_E",
        protocol="SMR",
        protocol_version="5.0.0",
        host="10.20.30.40",
        port=4059,
        client_id=1,
        logical_device=1,
        security=Security.HLS5,
        system_title=random.randbytes(8),
        keys=tuple(SealedKey(kind, random.randbytes(60)) for kind in kinds),
        time_zone="Europe/Amsterdam",
    )


def states(settled: int) -> list[bytes]:
    """Table values of idle registered devices with that many remembered outcomes; all called `name_of(0)`."""
    random = Random(10)
    found = []
    for _ in range(_PATTERNS):
        ring = b""
        for number in range(min(settled, SETTLED_KEPT)):
            ident = UUID(int=random.getrandbits(128), version=4).bytes
            ring = remember(ring, Settled(ident, random.randbytes(8), _MS + number, Status.SUCCESSFUL, 0, 1))
        device = Device(
            device_id=name_of(0),
            version=200,
            registration=registration(random),
            counter=random.randrange(1_000, 100_000),
            jobs=70,
            settled=ring,
        )
        found.append(encode_device(device))
    return found


def fill(bootstrap: str, devices: int, settled: int) -> int:
    """Write so many devices into the table, as the shell would have left them; returns the bytes of their values.

    Only their identification is put in per device: encoding a million anew would take longer than all else.
    """
    placeholder = name_of(0).encode()
    patterns = []
    for value in states(settled):
        head, _, tail = value.partition(placeholder)
        patterns.append((head, tail))
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": PARTITIONER,
            "transactional.id": "bench-fill",
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 2 * _TRANSACTION,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )
    producer.init_transactions(60)
    size = 0
    for start in range(0, devices, _TRANSACTION):
        producer.begin_transaction()
        for number in range(start, min(start + _TRANSACTION, devices)):
            key = name_of(number).encode()
            head, tail = patterns[number % _PATTERNS]
            value = head + key + tail
            size += len(value)
            producer.produce(DEVICES.name, value, key)
        producer.commit_transaction(60)
    return size


class Streams:
    """The streams role as its supervisor runs it."""

    def __init__(self, bootstrap: str, folder: Path, name: str = STREAMS.name, **environment: str) -> None:
        settings = {"METERLOG_KAFKA": bootstrap, "METERLOG_DATA": str(folder), **environment}
        self.process = Process(replace(STREAMS, name=name), settings, folder, folder / "logs")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process.start()
        self.process.wait_ready(START_SECONDS)

    def stop(self) -> None:
        self.process.stop()

    def metrics(self) -> Mapping[str, float]:
        """What `/metrics` tells: {name with labels: value}."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.process.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def at_end(consumer: Consumer, names: Iterable[str]) -> None:
    """Assign the consumer to all partitions of these topics, from their present ends on. New topics may have no leader
    for a moment.
    """
    until = time.monotonic() + LEADER_SECONDS
    places = [TopicPartition(name, partition) for name in names for partition in range(PARTITIONS)]
    for place in places:
        while True:
            try:
                place.offset = consumer.get_watermark_offsets(place, timeout=LEADER_SECONDS)[1]
                break
            except KafkaException:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
    consumer.assign(places)


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time it has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_memory(pid: int) -> float:
    """Most resident memory the process ever had, MiB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def conditions() -> str:
    """The machine, for a line above the figures."""
    return f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}"
