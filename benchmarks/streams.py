"""Commands per second through the streams role, beside a bare Faust pass-through of the same records.

    python -m benchmarks.streams [--commands 20000] [--rounds 3] [--slots N]

The role is `meterlog run streams` as it is shipped, on a table of as many registered devices as there are commands:
every command has a device of its own, so no two share a job. A command's life is two inputs, three records of the log,
two table values, a job, a response and two notifications, in transactions. The DLMS worker is played by a process that
answers every job at once. The pass-through is a Faust worker with the same consumer settings that does one `send` a
command and nothing else: at least once, no state, no transaction.

Rounds alternate between the two, on one broker, both one process on uvloop, four partitions that hold all commands
before it starts. Rates are of the last nine tenths of the outputs, by the broker's append times; CPU is that of the
process in the meantime. The broker, the played worker and the counting process share the machine's cores: the role,
which makes the broker take ten records for each of the pass-through's, has less of them.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psutil
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.figures import Figure, tell
from benchmarks.stand import PARTITIONS, Streams, at_end, broker, conditions, cpu_seconds, fill, name_of
from benchmarks.streams_shell import ROOT
from schemas import codec, headers, topics
from schemas.partition import PARTITIONER
from schemas.records import CommandEnded, CommandHeader, Ended, Job, JobEnded
from tests.shell import harness
from tests.shell.toy import Topics

OPERATION: Final = "SynchronizeTime"
SETTLED: Final = 16  # remembered outcomes of each device before the run
PATIENCE: Final = 120.0
ASKED: Final = 1.0
_PARTS: Final = {
    "deciding": "meterlog_shell_decide_seconds_total",
    "transactions": "meterlog_shell_transaction_seconds_sum",
    "guard": "meterlog_shell_guard_look_seconds_total",
    "batches": "meterlog_shell_batches_total",
}


@dataclass(frozen=True, slots=True)
class Pass:
    """One round of one of the two: commands a second of wall time, and a second of the process's CPU."""

    rate: float
    cpu_rate: float
    remark: str = ""


_Record = tuple[bytes, bytes, list[tuple[str, Any]]]


def commands(count: int) -> list[_Record]:
    """Key, value and headers, as an upstream of ours would send them."""
    now = time.time_ns() // 1_000_000
    found = []
    for number in range(count):
        header = CommandHeader(str(uuid4()), name_of(number), now, requester="night")
        value = codec.encode_command(OPERATION, header, {"time_zone": "Europe/Amsterdam"})
        found.append((name_of(number).encode(), value, [*headers.for_command(OPERATION, header)]))
    return found


def send(bootstrap: str, topic: str, records: Sequence[_Record]) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": PARTITIONER,
            "queue.buffering.max.messages": 1_000_000,
            "linger.ms": 5,
        }
    )
    for key, value, told in records:
        producer.produce(topic, value, key, headers=told)
    if producer.flush(60):
        raise SystemExit(f"{topic}: not every command was taken")


class Counting:
    """Watches a topic from its present end: append times of what comes, and the CPU time of a process meanwhile."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench-counting",
                "enable.auto.commit": False,
                "check.crcs": False,
                "fetch.wait.max.ms": 100,
            }
        )
        at_end(self._consumer, [topic])

    def count(self, number: int, pid: int) -> Pass:
        """Until so many records came. The process must be running."""
        stamps: list[int] = []
        process, first, started = psutil.Process(pid), number // 10, 0.0
        until = time.monotonic() + PATIENCE
        seen_first = 0
        while len(stamps) < number:
            if time.monotonic() > until:
                raise SystemExit(f"{self._topic}: {len(stamps)} of {number} outputs after {PATIENCE:.0f} s")
            for message in self._consumer.consume(2_000, timeout=0.05):
                if message.error() is None:
                    stamps.append(message.timestamp()[1])
            if not started and len(stamps) >= first:
                started, seen_first = cpu_seconds(process), len(stamps)
        used = cpu_seconds(process) - started
        self._consumer.close()
        stamps.sort()
        wall = max(1, stamps[-1] - stamps[first]) / 1000
        return Pass((number - first) / wall, (number - seen_first) / used)


def through_role(
    bootstrap: str, folder: Path, records: Sequence[_Record], environment: dict[str, str], answers: int | None = None
) -> Pass:
    """`answers`: how many responses there will be, when not one a record."""
    counting = Counting(bootstrap, topics.RESPONSES.name)
    send(bootstrap, topics.COMMANDS.name, records)
    streams = Streams(bootstrap, folder, **environment)
    try:
        streams.start()
        found = counting.count(answers or len(records), streams.process.pid)
        metrics = streams.metrics()
        parts = {name: metrics[metric] for name, metric in _PARTS.items()}
    finally:
        streams.stop()
    batches = parts.pop("batches")
    spent = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())
    return Pass(found.rate, found.cpu_rate, f"{batches:.0f} batches, {spent}")


def through_bare(bootstrap: str, records: list[_Record]) -> Pass:
    """The pass-through of `benchmarks.streams_shell`."""
    stem = f"bench-{uuid4().hex[:8]}"
    harness.create(bootstrap, Topics(stem), PARTITIONS)
    send(bootstrap, Topics(stem).commands, records)
    counting = Counting(bootstrap, Topics(stem).answers)
    command = ["-m", "benchmarks.streams_shell", "--pass-through", stem, "--bootstrap", bootstrap]
    bare = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return counting.count(len(records), bare.pid)
    finally:
        bare.terminate()
        bare.wait(30)


def answer_jobs(bootstrap: str) -> None:
    """The played worker: every job ends well, at once. Until it is stopped."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-worker",
            "auto.offset.reset": "earliest",
            "check.crcs": False,
            "fetch.wait.max.ms": 50,
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2, "queue.buffering.max.messages": 1_000_000})
    consumer.assign([TopicPartition(topics.JOBS.name, partition, 0) for partition in range(PARTITIONS)])
    result = codec.encode_result(OPERATION, {})
    while True:
        message: Message | None = consumer.poll(0.1)
        if message is not None and message.error() is None:
            value, partition = message.value(), message.partition()
            assert isinstance(value, bytes) and partition is not None
            job: Job = codec.decode(value)
            producer.produce(topics.JOB_RESULTS.name, _ended(job, result), job.device_id, partition)
        producer.poll(0)


def _ended(job: Job, result: bytes) -> bytes:
    now = time.time_ns() // 1_000_000
    outcomes = tuple(CommandEnded(each.correlation_id, Ended.SUCCESSFUL, result=result) for each in job.commands)
    counter = min(job.counter_from + 12, job.counter_to)
    return codec.encode(JobEnded(job.device_id, job.number, "bench", now, now, True, counter, None, outcomes))


@contextmanager
def played_worker(bootstrap: str) -> Iterator[None]:
    worker = subprocess.Popen([sys.executable, "-m", "benchmarks.streams", "--play", bootstrap], cwd=ROOT)
    try:
        yield
    finally:
        worker.kill()
        worker.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, help="jobs in flight a partition; the product's default")
    parser.add_argument("--only", choices=("role", "bare"), help="to look closer at one of them")
    parser.add_argument("--play", metavar="BOOTSTRAP", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        answer_jobs(options.play)
    environment = {} if options.slots is None else {"METERLOG_STREAMS_SLOTS": str(options.slots)}
    found: dict[str, list[Pass]] = {"bare": [], "role": []}
    with broker() as (bootstrap, folder), played_worker(bootstrap):
        fill(bootstrap, options.commands, SETTLED)
        for number in range(options.rounds):
            for name in ("bare", "role") if number % 2 == 0 else ("role", "bare"):
                if options.only not in (None, name):
                    continue
                records = commands(options.commands)
                if name == "role":
                    found[name].append(through_role(bootstrap, folder, records, environment))
                else:
                    found[name].append(through_bare(bootstrap, records))
                last = found[name][-1]
                print(
                    f"  round {number + 1} {name:5}{last.rate:9,.0f} commands/s{last.cpu_rate:9,.0f} a CPU second"
                    f"  {last.remark}",
                    flush=True,
                )
    if all(found.values()):
        report(found, options.commands)


def report(found: dict[str, list[Pass]], count: int) -> None:
    """Medians and ratios."""
    role, bare = (statistics.median(each.rate for each in found[name]) for name in ("role", "bare"))
    role_cpu, bare_cpu = (statistics.median(each.cpu_rate for each in found[name]) for name in ("role", "bare"))
    print(f"{count:,} commands, each its own device; {conditions()}; medians of {len(found['role'])} rounds")
    print(f"streams role {role:,.0f}/s, bare Faust pass-through {bare:,.0f}/s: {role / bare:.2f}x")
    print(f"a CPU second of the process: {role_cpu:,.0f} and {bare_cpu:,.0f}: {role_cpu / bare_cpu:.2f}x")
    peer = "bare Faust pass-through"
    tell(
        Figure(name="commands through the streams", unit="1/s", ours=role, peer=bare, peer_name=peer, asked=ASKED),
        Figure(
            name="commands through the streams, per CPU second of the process",
            unit="1/s",
            ours=role_cpu,
            peer=bare_cpu,
            peer_name=peer,
        ),
    )


if __name__ == "__main__":
    main()
