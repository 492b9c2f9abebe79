"""One worker process on a real broker: what comes in, what goes out, and how it ends."""

import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.process import check_topics
from tests.shell import harness
from tests.shell.toy import Topics, settings


class One:
    """A worker, its topics, and its answers."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.kafka = kafka
        self.topics = Topics(f"w{uuid.uuid4().hex[:8]}")
        harness.create(kafka, self.topics)
        self.answers = harness.Answers(kafka, self.topics.answers)
        self._folder = folder
        self._fleets: list[harness.Fleet] = []

    def start(self, **arguments: object) -> None:
        folder = self._folder / str(len(self._fleets))
        folder.mkdir()
        fleet = harness.Fleet(folder, {"stem": self.topics.stem, "bootstrap": self.kafka, **arguments})
        self._fleets.append(fleet)
        fleet.start(1)

    def stop(self) -> list[int]:
        return self._fleets[-1].stop()

    @property
    def exits(self) -> list[int]:
        return [status for _, status in self._fleets[-1].exits]

    @property
    def log(self) -> str:
        return self._fleets[-1].workers[0].log.read_text()

    def metric(self, name: str) -> float:
        """A counter as the worker's log gives it at its end."""
        found = re.findall(rf"^{re.escape(name)} (\S+)$", self.log, re.M)
        assert found, f"no {name} in the log"
        return float(found[-1])

    def send(self, first: int, number: int, **config: str) -> set[str]:
        commands = {f"c-{each}": f"k-{each % 7}" for each in range(first, first + number)}
        harness.send(self.kafka, self.topics.commands, ((key, command) for command, key in commands.items()), **config)
        return set(commands)

    def ends(self) -> dict[int, int]:
        """The offset behind the last command of each partition."""
        found = dict.fromkeys(range(4), 0)
        for message in harness.read(self.kafka, self.topics.commands):
            found[harness.partition_of(message)] = harness.offset_of(message) + 1
        return found

    def delete(self, before: dict[int, int]) -> None:
        """The commands of each partition before an offset, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.kafka})
        places = [TopicPartition(self.topics.commands, partition, offset) for partition, offset in before.items()]
        for deleted in admin.delete_records(places).values():
            deleted.result(10)

    def answered(self) -> list[tuple[bytes, bytes]]:
        """Keys and values of all answers."""
        answers = harness.read(self.kafka, self.topics.answers)
        return [(harness.key_of(message), harness.value_of(message)) for message in answers]

    def set_group_offsets(self, offsets: dict[int, int]) -> None:
        """Move the group's offsets of the commands, as an operator by mistake might."""
        admin = AdminClient({"bootstrap.servers": self.kafka})
        wanted = [TopicPartition(self.topics.commands, partition, offset) for partition, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(self.topics.stem, wanted)]
        for altered in admin.alter_consumer_group_offsets(request).values():
            altered.result(10)

    def close(self) -> None:
        self.answers.close()
        for fleet in self._fleets:
            fleet.stop()


@pytest.fixture
def one(kafka: str, tmp_path: Path) -> Iterator[One]:
    one = One(kafka, tmp_path)
    try:
        yield one
    finally:
        one.close()


def test_every_compression_is_read(one: One) -> None:
    asked = set()
    for place, compression in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        asked |= one.send(place * 20, 20, **{"compression.type": compression})
    one.start()
    one.answers.wait(100, 60)
    assert one.stop() == [0]
    assert harness.reckon(one.kafka, one.topics, asked).faults() == {}


def test_open_and_aborted_inputs_are_invisible(one: One) -> None:
    producer = Producer({"bootstrap.servers": one.kafka, "transactional.id": one.topics.stem + "-upstream"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(25):
        producer.produce(one.topics.commands, f"aborted-{number}".encode(), f"k-{number}".encode())
    producer.flush(10)
    producer.abort_transaction(10)
    asked = one.send(100, 20)
    producer.begin_transaction()
    producer.produce(one.topics.commands, b"c-500", b"k-500")
    producer.flush(10)
    one.start()
    one.answers.wait(20, 60)
    assert "c-500" not in one.answers.seen
    producer.commit_transaction(10)
    one.answers.wait(21, 30)
    assert one.stop() == [0]
    assert harness.reckon(one.kafka, one.topics, asked | {"c-500"}).faults() == {}


@pytest.mark.parametrize("offset", [0, 10])
def test_the_position_decides_and_not_the_groups_offset(one: One, offset: int) -> None:
    asked = one.send(0, 100)
    one.start()
    one.answers.wait(100, 60)
    assert one.stop() == [0]
    asked |= one.send(100, 400)
    ends = {partition: 0 for partition in range(4)}
    for message in harness.read(one.kafka, one.topics.commands):
        ends[harness.partition_of(message)] = harness.offset_of(message) + 1
    # once all is behind the group's offset, once all before it: neither is true
    one.set_group_offsets({partition: 0 if offset == 0 else end for partition, end in ends.items()})
    one.start()
    one.answers.wait(500, 60)
    assert one.stop() == [0]
    assert one.exits == []
    assert one.metric("meterlog_shell_skipped_inputs_total") == 0, "nothing is read again"
    assert harness.reckon(one.kafka, one.topics, asked).faults() == {}


def test_a_load_longer_than_the_session_keeps_the_membership(one: One) -> None:
    asked = one.send(0, 40)
    one.start(session=6.0, seconds_to_load=9.0)
    one.answers.wait(40, 60)
    assert one.stop() == [0]
    assert len(re.findall(r"Joined group", one.log)) == 1
    assert harness.reckon(one.kafka, one.topics, asked).faults() == {}


def test_null_keys_and_values_reach_the_keeper(one: One) -> None:
    producer = Producer({"bootstrap.servers": one.kafka})
    producer.produce(one.topics.commands, None, b"k-1", 0, headers=[("a", None), ("a", b"2"), ("b", b"")])
    producer.produce(one.topics.commands, b"\xff\x00 no text", None, 0)
    producer.produce(one.topics.commands, b"last", None, 0)
    assert producer.flush(10) == 0
    one.start()
    one.answers.wait(3, 60)
    assert one.stop() == [0]
    answered = [(m.key() or b"", m.value() or b"", m.headers()) for m in harness.read(one.kafka, one.topics.answers)]
    assert answered == [
        (b"k-1", b"", [("a", b""), ("a", b"2"), ("b", b"")]),
        (b"", b"\xff\x00 no text", None),
        (b"", b"last", None),
    ]


def test_a_keeper_that_raises_ends_the_process_and_commits_nothing(one: One) -> None:
    asked = one.send(0, 20)
    one.start()
    one.answers.wait(20, 60)
    harness.send(one.kafka, one.topics.commands, [("k-1", "c-20"), ("k-1", "raise")])
    for _ in range(300):
        one.answers.take(0.1)
        if one.exits:
            break
    assert one.exits and one.exits[0] not in (0, None)
    one.stop()
    assert "the worker ends: RuntimeError: asked to raise" in one.log
    found = harness.reckon(one.kafka, one.topics, asked)
    assert (found.answered_unasked, found.table_differs, found.conflicts) in {(0, 0, 0), (1, 0, 0)}, (
        "c-20 may have come in an earlier batch, but is then wholly done"
    )


def test_ticks_carry_time_and_ends_to_every_partition(one: One) -> None:
    asked = one.send(0, 50)
    one.start()
    one.answers.wait(50, 60)
    ticks: dict[int, list[dict[str, object]]] = {}
    decided = {one.topics.messages: 0}  # everything, though markers lie at the end
    while len(ticks) < 4 or any(len(each) < 2 or each[-1]["ends"] != decided for each in ticks.values()):
        one.answers.take(0.5)
        ticks = {}
        for message in harness.read(one.kafka, one.topics.ticks):
            ticks.setdefault(harness.partition_of(message), []).append(json.loads(harness.value_of(message)))
    assert one.stop() == [0]
    for partition, found in ticks.items():
        assert all(tick["partition"] == partition for tick in found)
        assert len({str(tick["seed"]) for tick in found}) == len(found)
    assert harness.reckon(one.kafka, one.topics, asked).faults() == {}


def test_a_keeper_that_waits_for_a_time_is_told_before_the_interval_is_over(one: One) -> None:
    def ticks() -> list[int]:
        found = Counter(harness.partition_of(message) for message in harness.read(one.kafka, one.topics.ticks))
        return sorted(found.values())

    one.start(interval=3_600)
    while ticks() != [1, 1, 1, 1]:
        one.answers.take(0.5)
    harness.send(one.kafka, one.topics.commands, [("k-1", "wake")])
    one.answers.wait(1, 60)
    assert one.stop() == [0]
    assert ticks() == [1, 1, 1, 2]


@pytest.mark.timeout(600)  # two starts, on a busy machine
@pytest.mark.parametrize("left", [0, 2])
def test_inputs_deleted_unread_are_passed_over_and_told(one: One, left: int) -> None:
    """By retention, while nobody ran: what is left of them is decided. Where none is, the next start tells it."""
    one.send(0, 40)
    one.start()
    one.answers.wait(40, 240)
    assert one.stop() == [0]
    before = one.ends()
    lost = one.send(40, 60)
    gone = {partition: max(before[partition], end - left) for partition, end in one.ends().items()}
    kept = {
        harness.value_of(message).decode()
        for message in harness.read(one.kafka, one.topics.commands)
        if harness.offset_of(message) >= gone[harness.partition_of(message)]
    }
    one.delete(gone)
    further = one.send(100, 10)
    one.start()
    moved = {partition: offset for partition, offset in gone.items() if offset > before[partition]}
    one.answers.wait(40 + len(kept) + 10 + len(moved), 240)
    assert one.stop() == [0]
    told = [(key, value.decode()) for key, value in one.answered() if key == b"passed"]
    assert sorted(told) == sorted(
        (b"passed", f"{one.topics.commands}/{partition} {offset - 1}") for partition, offset in moved.items()
    )
    deleted = sum(offset - before[partition] for partition, offset in moved.items())
    assert one.metric(f'meterlog_shell_deleted_inputs_total{{topic="{one.topics.commands}"}}') == deleted > 20
    assert f"retention deleted inputs {before[min(moved)]} to " in one.log
    answered = {value.decode() for key, value in one.answered() if key != b"passed"}
    assert answered & lost == kept & lost
    assert further <= answered


@pytest.mark.timeout(600)  # three starts, on a busy machine
@pytest.mark.parametrize("topic", ["table", "events"])
def test_nothing_is_decided_while_a_transaction_of_a_former_owner_has_not_ended(one: One, topic: str) -> None:
    """As a broker leaves one that forgot it (KAFKA-20734): here one of a stranger, which the fence cannot end."""
    name = getattr(one.topics, topic)
    stranger = Producer(
        {"bootstrap.servers": one.kafka, "transactional.id": f"{one.topics.stem}-x", "transaction.timeout.ms": 600_000}
    )
    stranger.init_transactions(60)
    stranger.begin_transaction()
    stranger.produce(name, b"1 0", b"k-1", partition=2)
    assert stranger.flush(60) == 0
    asked = one.send(0, 40)
    one.start()
    limit = time.monotonic() + 240
    while not one.exits:  # the supervisor starts it again, and again it refuses
        assert time.monotonic() < limit
        one.answers.take()
    assert not one.answers.seen
    assert f"NeverEnded: a transaction has not ended: {name}/2 at offset 0" in one.log
    stranger.abort_transaction(60)
    one.answers.wait(40, 240)
    assert one.stop() == [0]
    assert harness.reckon(one.kafka, one.topics, asked).faults() == {}


def test_topics_are_checked_before_the_start(kafka: str) -> None:
    topics = Topics(f"c{uuid.uuid4().hex[:8]}")
    with pytest.raises(ValueError, match=f"{topics.commands}: no such topic"):
        check_topics(settings(topics.stem, kafka))
    harness.create(kafka, topics, partitions=2)
    with pytest.raises(ValueError, match="has 2 partitions, the shell is set to 4"):
        check_topics(settings(topics.stem, kafka))
    check_topics(settings(topics.stem, kafka, partitions=2))
