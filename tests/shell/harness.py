"""What the shell's tests share: topics, a load, workers under a tiny supervisor, and the reckoning afterwards."""

import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.topics import await_leaders
from streams import positions
from tests.shell.toy import FORWARDED, START, Topics, chain

ROOT = Path(__file__).parents[2]


def create(bootstrap: str, topics: Topics, partitions: int = 4) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = []
    for name in topics.all:
        # small segments and an eager cleaner, so that the table is really compacted under the test
        compact = {"cleanup.policy": "compact", "segment.ms": "10000", "min.cleanable.dirty.ratio": "0.01"}
        new.append(
            NewTopic(
                name,
                partitions,
                1,
                config=compact if name == topics.table else {"message.timestamp.type": "LogAppendTime"},
            )
        )
    for created in admin.create_topics(new).values():
        created.result(30)
    await_leaders(admin, [topic.topic for topic in new])


def read(
    bootstrap: str, topic: str, committed: bool = True, partitions: Collection[int] | None = None
) -> list[Message]:
    """Every record of a topic, or of some of its partitions, a partition after the other."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reckoning",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    records: list[Message] = []
    try:
        waiting = set(partitions or consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in waiting])
        limit = time.monotonic() + 60
        while waiting:
            assert time.monotonic() < limit, f"{topic}/{waiting} cannot be read to the end"
            for message in consumer.consume(5_000, timeout=0.1):
                error = message.error()
                if error is None:
                    records.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(partition_of(message))
    finally:
        consumer.close()
    return sorted(records, key=partition_of)


def key_of(message: Message) -> bytes:
    key = message.key()
    assert isinstance(key, bytes)
    return key


def value_of(message: Message) -> bytes:
    value = message.value()
    assert isinstance(value, bytes)
    return value


def offset_of(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset


def partition_of(message: Message) -> int:
    partition = message.partition()
    assert partition is not None
    return partition


def send(bootstrap: str, topic: str, records: Iterable[tuple[str, str]], **config: str) -> None:
    """Send (key, value) pairs and wait until all are acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", **config})
    for key, value in records:
        producer.produce(topic, value.encode(), key.encode())
    assert producer.flush(30) == 0


class Answers:
    """Counts the toy's answers as they are committed."""

    def __init__(self, bootstrap: str, topic: str, partitions: int = 4) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "answers",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self.seen: Counter[str] = Counter()
        self.arrived: list[float] = []

    def take(self, timeout: float = 0.2) -> None:
        for message in self._consumer.consume(5_000, timeout=timeout):
            assert message.error() is None, message.error()
            self.seen[(message.value() or b"").decode(errors="replace")] += 1
            self.arrived.append(time.monotonic())

    def wait(self, number: int, timeout: float) -> None:
        """Until so many different commands are answered."""
        limit = time.monotonic() + timeout
        while len(self.seen) < number:
            assert time.monotonic() < limit, f"{len(self.seen)} of {number} commands answered after {timeout} s"
            self.take()

    def close(self) -> None:
        self._consumer.close()


@dataclass(slots=True)
class Worker:
    number: int
    log: Path
    wanted: bool = True
    stalled: bool = False
    leaving: bool = False
    """Was asked to stop, and that process has not ended yet."""
    process: subprocess.Popen[bytes] | None = None


@dataclass(slots=True)
class Fleet:
    """Worker processes; one that ends although it is wanted is started again, as a supervisor outside would."""

    folder: Path
    arguments: dict[str, object]
    workers: list[Worker] = field(default_factory=list)
    exits: list[tuple[int, int]] = field(default_factory=list)
    """(worker, exit status) of the ends nobody asked for."""
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self, number: int) -> None:
        self.workers = [Worker(each, self.folder / f"worker-{each}.log") for each in range(number)]
        self._thread = threading.Thread(target=self._supervise, name="supervisor")
        self._thread.start()

    def _supervise(self) -> None:
        while not self._ending.wait(0.1):
            for worker in self.workers:
                process = worker.process
                if process is not None and process.poll() is not None:
                    if not worker.leaving and process.returncode != -signal.SIGKILL:
                        self.exits.append((worker.number, process.returncode))
                    worker.process = process = None
                    worker.leaving = False
                if process is None and worker.wanted:
                    with worker.log.open("ab") as log:
                        worker.process = subprocess.Popen(
                            [sys.executable, "-m", "tests.shell.toy", json.dumps(self.arguments)],
                            cwd=ROOT,
                            stdout=subprocess.DEVNULL,
                            stderr=log,
                        )

    def kill(self, number: int) -> None:
        """`kill -9`; the supervisor starts it again at once."""
        self._signal(number, signal.SIGKILL)

    def stall(self, number: int, seconds: float) -> threading.Thread:
        """SIGSTOP, and SIGCONT after some seconds."""
        worker = self.workers[number]
        process = worker.process

        def stop_and_go() -> None:
            if process is None or process.poll() is not None:
                return
            worker.stalled = True
            process.send_signal(signal.SIGSTOP)
            self._ending.wait(seconds)
            process.send_signal(signal.SIGCONT)
            worker.stalled = False

        thread = threading.Thread(target=stop_and_go, name=f"stall-{number}")
        thread.start()
        return thread

    def leave(self, number: int) -> None:
        """Graceful stop; stays away until it joins again."""
        self.workers[number].wanted = False
        self.workers[number].leaving = True
        self._signal(number, signal.SIGTERM)

    def join(self, number: int) -> None:
        self.workers[number].wanted = True

    def _signal(self, number: int, which: signal.Signals) -> None:
        process = self.workers[number].process
        if process is not None and process.poll() is None:
            process.send_signal(which)

    def settle(self, quiet: float = 3, timeout: float = 90) -> None:
        """Wait until every worker is at work and has been for a while: a zombie is fenced at its next tick."""
        limit = time.monotonic() + timeout
        since, before = time.monotonic(), ""
        while time.monotonic() - since < quiet or "None" in before:
            assert time.monotonic() < limit, f"the workers do not settle: {before}"
            now = str([self._state(worker) for worker in self.workers])
            if now != before:
                since, before = time.monotonic(), now
            time.sleep(0.2)

    def _state(self, worker: Worker) -> tuple[int, str] | None:
        process = worker.process
        if process is None or worker.stalled or worker.leaving or not worker.log.exists():
            return None
        lines = re.findall(rf" {process.pid} INFO streams.shell owns partitions \[(.*)\]", worker.log.read_text())
        return (process.pid, lines[-1]) if lines else None

    def stop(self, timeout: float = 60) -> list[int]:
        """Stop all gracefully; their exit statuses."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        running = [worker.process for worker in self.workers if worker.process is not None]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        statuses = []
        limit = time.monotonic() + timeout
        for process in running:
            try:
                statuses.append(process.wait(max(0.1, limit - time.monotonic())))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                statuses.append(-signal.SIGKILL)
        return statuses

    def owned(self, number: int) -> list[int]:
        """Partitions a worker owns by its log; none while it is down, stalled or starting."""
        state = self._state(self.workers[number])
        return [int(each) for each in state[1].split(", ")] if state and state[1] else []

    def reasons(self) -> Counter[str]:
        """Why workers ended by themselves, by their logs."""
        found: Counter[str] = Counter()
        for worker in self.workers:
            if worker.log.exists():
                for line in re.findall(r"the worker ends: (.*)", worker.log.read_text(errors="replace")):
                    found[line.split(":")[0]] += 1
        return found


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What the topics say at the end. Every field but `aborted` and `moved` is to be 0."""

    unanswered: int
    answered_twice: int
    answered_unasked: int
    forwarded_wrongly: int
    never_abroad: int
    """Whether no message went to another partition, of so many that some had to."""
    version_gaps: int
    conflicts: int
    broken_chains: int
    out_of_order: int
    foreign_partition: int
    table_differs: int
    position_differs: int
    aborted: int
    """Records of the answers topic in transactions that were never committed."""

    def faults(self) -> dict[str, int]:
        return {
            name: getattr(self, name) for name in Reckoning.__slots__ if name != "aborted" and getattr(self, name) != 0
        }


def reckon(bootstrap: str, topics: Topics, asked: set[str]) -> Reckoning:
    """Join what was asked, logged, kept and answered."""
    answers = Counter(value_of(message).decode() for message in read(bootstrap, topics.answers))
    forwarded = Counter(value_of(message).decode() for message in read(bootstrap, topics.messages))
    abroad = [message for message in read(bootstrap, topics.messages) if key_of(message).startswith(b"over-")]
    should_forward = {each for each in asked if int(each.rsplit("-", 1)[1]) % FORWARDED == 0}
    gaps = conflicts = broken = disorder = foreign = 0
    fold: dict[bytes, tuple[int, str]] = {}
    latest: dict[bytes, int] = {}
    home: dict[bytes, int] = {}
    for message in read(bootstrap, topics.events):
        key = key_of(message)
        version, previous, identity, _ = value_of(message).decode().split(" ")
        known, last = fold.get(key, (0, START))
        conflicts += int(version) <= known
        gaps += int(version) > known + 1
        broken += previous != last
        number = int(identity.rsplit("-", 1)[1])
        disorder += number <= latest.get(key, -1)
        foreign += home.setdefault(key, partition_of(message)) != partition_of(message)
        latest[key] = number
        fold[key] = int(version), chain(previous, identity)
    table: dict[bytes, bytes | None] = {}
    stood: dict[int, dict[str, int]] = {}
    for message in read(bootstrap, topics.table):
        key = key_of(message)
        if positions.is_reserved(key):
            stood[partition_of(message)] = positions.decode(value_of(message))
        else:
            table[key] = message.value() if message.value() is None else value_of(message)
    replayed = {key: f"{version} {last}".encode() for key, (version, last) in fold.items()}
    differs = sum(table.get(key) != replayed.get(key) for key in table.keys() | replayed.keys())
    ends: dict[tuple[int, str], int] = {}
    for topic in (topics.commands, topics.messages):
        for message in read(bootstrap, topic):
            ends[partition_of(message), topic] = offset_of(message)
    misplaced = sum(stood.get(number, {}).get(topic) != offset for (number, topic), offset in ends.items())
    return Reckoning(
        unanswered=len(asked - answers.keys()),
        answered_twice=sum(count - 1 for count in answers.values()),
        answered_unasked=len(answers.keys() - asked),
        forwarded_wrongly=len(should_forward ^ forwarded.keys()) + sum(count - 1 for count in forwarded.values()),
        never_abroad=int(len(should_forward) > 100 and not abroad),
        version_gaps=gaps,
        conflicts=conflicts,
        broken_chains=broken,
        out_of_order=disorder,
        foreign_partition=foreign,
        table_differs=differs,
        position_differs=misplaced,
        aborted=len(read(bootstrap, topics.answers, committed=False)) - answers.total(),
    )


class Load:
    """An upstream that sends commands at a rate, some of them in transactions, some of those aborted."""

    def __init__(self, bootstrap: str, topics: Topics, commands: int, keys: int, rate: float, seed: int) -> None:
        self._topics = topics
        self._commands = commands
        self._keys = keys
        self._rate = rate
        self._random = random.Random(seed)
        plain = {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "compression.type": "zstd"}
        self._producer = Producer({**plain, "enable.idempotence": "true"})
        self._transactional = Producer({**plain, "transactional.id": f"{topics.stem}-upstream"})
        self.asked: set[str] = set()
        self.aborted = 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> set[str]:
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.asked

    def _run(self) -> None:
        try:
            self._transactional.init_transactions(30)
            began = time.monotonic()
            number = 0
            while number < self._commands:
                several = min(self._random.choice((20, 50, 100, 800)), self._commands - number)
                numbers = range(number, number + several)
                kind = self._random.random()
                if kind < 0.5:
                    self._produce(self._producer, "c", numbers)
                    assert self._producer.flush(30) == 0
                else:
                    if kind < 0.65:  # never to be answered
                        self._transactional.begin_transaction()
                        self._produce(self._transactional, "aborted", numbers)
                        self._transactional.flush(30)
                        self._transactional.abort_transaction(30)
                        self.aborted += several
                    self._transactional.begin_transaction()
                    self._produce(self._transactional, "c", numbers)
                    self._transactional.commit_transaction(30)
                self.asked.update(f"c-{each}" for each in numbers)
                number += several
                ahead = number / self._rate - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(ahead)
        except BaseException as error:
            self.error = error

    def _produce(self, producer: Producer, kind: str, numbers: range) -> None:
        for number in numbers:
            key = f"k-{self._random.randrange(self._keys)}"
            producer.produce(self._topics.commands, f"{kind}-{number}".encode(), key.encode())
