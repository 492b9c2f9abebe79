"""What the shell costs: the toy keeper against a bare Faust pass-through of the same records, in the same run.

    python -m benchmarks.streams_shell [--commands 40000] [--keys 10000] [--runs 3] [--bootstrap host:port]

Both are one worker process on uvloop with debug logging off, over four partitions that hold all commands before the
worker starts. The pass-through does one `send` a command and nothing else. The toy does everything the shell is for:
decide, chain, log, table, answers, position, transactions, guard; one of five commands comes back through the inbox.
Measured is the time in which the last nine tenths of the outputs were appended, by the broker's clock; CPU is the whole
worker's.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from infra.embedded.kafka import Kafka
from tests.shell import harness
from tests.shell.toy import Topics

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
PADDING = "x" * 180  # a command is some 200 bytes


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: commands a second, and CPU seconds of the worker."""

    rate: float
    cpu: float


def pass_through(bootstrap: str, stem: str) -> None:
    """The peer: a Faust worker that sends every command on, one `send` each."""
    import faust
    import uvloop

    topics = Topics(stem)
    logging.basicConfig(level=logging.WARNING)
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.INFO)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = faust.App(
        f"{stem}-pass",
        broker=f"kafka://{bootstrap}",
        datadir=tempfile.mkdtemp(),
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=PARTITIONS,
        broker_max_poll_records=2_000,
        stream_buffer_maxsize=16_384,
        consumer_auto_offset_reset="earliest",
    )
    raw: dict[str, Any] = {
        "key_type": bytes,
        "value_type": bytes,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "partitions": PARTITIONS,
    }
    outputs = app.topic(topics.answers, **raw)

    async def forward(stream: Any) -> None:
        async for event in stream.events():
            await outputs.send(key=event.key, value=event.value, partition=event.message.partition)

    app.agent(app.topic(topics.commands, **raw))(forward)
    faust.Worker(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False).execute_from_commandline()


def measure(bootstrap: str, commands: int, keys: int, command: list[str], stem: str) -> Figure:
    """Fill the commands, run the worker until all are answered, stop it."""
    topics = Topics(stem)
    harness.create(bootstrap, topics, PARTITIONS)
    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "queue.buffering.max.messages": 1_000_000}
    )
    for number in range(commands):
        producer.produce(topics.commands, f"{PADDING}-{number}".encode(), f"k-{number % keys}".encode())
    assert producer.flush(60) == 0
    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log)
        try:
            stamps = _stamps(bootstrap, topics.answers, commands)
        finally:
            worker.terminate()
            _, status, usage = os.wait4(worker.pid, 0)
        if status != 0:
            log.seek(0)
            raise SystemExit(f"the worker ended with {status}:\n{log.read().decode()[-3000:]}")
        log.seek(0)
        looks = [line for line in log.read().decode().splitlines() if line.startswith("meterlog_shell_guard_look")]
    for line in looks:
        if "created" not in line:
            print(f"    {line}")
    first = commands // 10
    return Figure((commands - first) * 1000 / (stamps[-1] - stamps[first]), usage.ru_utime + usage.ru_stime)


def _stamps(bootstrap: str, topic: str, number: int) -> list[int]:
    """Append times of a topic's first so many committed records, in order; milliseconds."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 500}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    stamps: list[int] = []
    limit = time.monotonic() + 180
    while len(stamps) < number:
        if time.monotonic() > limit:
            raise SystemExit(f"{topic}: {len(stamps)} of {number} outputs after three minutes")
        stamps += [message.timestamp()[1] for message in consumer.consume(10_000, timeout=0.5)]
    consumer.close()
    return sorted(stamps)


@contextmanager
def broker(bootstrap: str | None) -> Iterator[str]:
    if bootstrap is not None:
        yield bootstrap
        return
    with tempfile.TemporaryDirectory() as folder:
        kafka = Kafka(Path(folder), Path(folder) / "logs")
        try:
            kafka.start()
            kafka.wait_ready()
            yield kafka.bootstrap
        finally:
            kafka.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=40_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--bootstrap")
    parser.add_argument("--pass-through", metavar="STEM", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pass_through:
        pass_through(arguments.bootstrap, arguments.pass_through)
        return
    figures: dict[str, list[Figure]] = {"pass-through": [], "shell": []}
    with broker(arguments.bootstrap) as bootstrap:
        for run in range(arguments.runs):
            for name, found in figures.items():
                stem = f"bench-{uuid.uuid4().hex[:8]}"
                if name == "shell":
                    command = ["-m", "tests.shell.toy", json.dumps({"stem": stem, "bootstrap": bootstrap})]
                else:
                    command = ["-m", "benchmarks.streams_shell", "--pass-through", stem, "--bootstrap", bootstrap]
                figure = measure(bootstrap, arguments.commands, arguments.keys, [sys.executable, *command], stem)
                print(f"  run {run + 1} {name:12}  {figure.rate:7,.0f} commands/s  {figure.cpu:5.1f} s CPU", flush=True)
                found.append(figure)
    peer, shell = (statistics.median(figure.rate for figure in figures[name]) for name in ("pass-through", "shell"))
    print(f"bare pass-through {peer:,.0f}/s, shell with toy keeper {shell:,.0f}/s: {shell / peer:.2f}x (medians)")


if __name__ == "__main__":
    main()
