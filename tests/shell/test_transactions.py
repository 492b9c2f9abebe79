"""Transactions of a partition on a real broker: all or nothing, the last owner only, the table read as it stands."""

import uuid

import pytest
from confluent_kafka import KafkaException

from streams.keeper import Outgoing
from streams.positions import is_reserved, position_key
from streams.readers import TableReader
from streams.transactions import Transactions, is_fenced
from tests.shell import harness
from tests.shell.toy import Topics, settings


@pytest.fixture
def topics(kafka: str) -> Topics:
    topics = Topics(f"t{uuid.uuid4().hex[:8]}")
    harness.create(kafka, topics, partitions=2)
    return topics


def _load(kafka: str, topics: Topics, partition: int) -> tuple[dict[bytes, bytes], dict[str, int]]:
    reader = TableReader(settings(topics.stem, kafka, partitions=2))
    found = reader.load(partition, reader.ends([partition])[partition], lambda: False)
    assert found is not None
    return found


def test_a_commit_shows_everything_and_an_unfinished_batch_nothing(kafka: str, topics: Topics) -> None:
    transactions = Transactions(settings(topics.stem, kafka, partitions=2), 1)
    transactions.fence()
    answer = Outgoing(topics.answers, b"k", b"first", (("h", b"1"), ("h", b"2")))
    elsewhere = Outgoing(topics.answers, b"k", b"elsewhere", partition=0)
    transactions.commit([answer, elsewhere], {b"k": b"1", b"gone": b"x"}, {topics.commands: 4})
    transactions.commit([], {b"gone": None}, {topics.commands: 5, topics.ticks: 0})
    too_large = Outgoing(topics.answers, b"k", bytes(5_000_000))
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        transactions.commit([Outgoing(topics.answers, b"k", b"second"), too_large], {b"k": b"2"}, {topics.commands: 9})
    sent = {harness.value_of(message): message for message in harness.read(kafka, topics.answers)}
    assert sent.keys() == {b"first", b"elsewhere"}
    assert (harness.partition_of(sent[b"first"]), harness.partition_of(sent[b"elsewhere"])) == (1, 0)
    assert sent[b"first"].headers() == [("h", b"1"), ("h", b"2")]
    values, position = _load(kafka, topics, 1)
    assert values == {b"k": b"1"}, "the position is not among the keeper's values"
    assert position == {topics.commands: 5, topics.ticks: 0}
    assert _load(kafka, topics, 0) == ({}, {})


def test_a_former_owner_is_fenced_and_leaves_no_trace(kafka: str, topics: Topics) -> None:
    shell = settings(topics.stem, kafka, partitions=2)
    former = Transactions(shell, 0)
    former.fence()
    former.commit([], {b"k": b"1"}, {topics.commands: 1})
    owner = Transactions(shell, 0)
    owner.fence()
    values, _ = _load(kafka, topics, 0)
    with pytest.raises(KafkaException) as refused:
        former.commit([Outgoing(topics.answers, b"k", b"zombie")], {b"k": b"zombie"}, {topics.commands: 2})
    assert is_fenced(refused.value)
    owner.commit([Outgoing(topics.answers, b"k", b"owner")], {b"k": values[b"k"] + b"2"}, {topics.commands: 2})
    assert [harness.value_of(message) for message in harness.read(kafka, topics.answers)] == [b"owner"]
    assert _load(kafka, topics, 0) == ({b"k": b"12"}, {topics.commands: 2})


def test_what_a_dead_owner_left_open_is_ended_by_the_fence(kafka: str, topics: Topics) -> None:
    shell = settings(topics.stem, kafka, partitions=2)
    dead = Transactions(shell, 0)
    dead.fence()
    dead._producer.begin_transaction()
    dead._producer.produce(topics.table, b"never", b"k", 0)
    dead._producer.flush(10)
    owner = Transactions(shell, 0)
    owner.fence()
    # without the abort that the fence writes, the read would end before what comes after
    owner.commit([], {b"other": b"1"}, {topics.commands: 0})
    assert _load(kafka, topics, 0) == ({b"other": b"1"}, {topics.commands: 0})


def test_a_key_of_the_shell_is_refused_to_the_keeper(kafka: str, topics: Topics) -> None:
    transactions = Transactions(settings(topics.stem, kafka, partitions=2), 0)
    transactions.fence()
    assert is_reserved(position_key(0)) and not is_reserved(b"position/0")
    with pytest.raises(ValueError, match="reserved"):
        transactions.commit([], {position_key(0): b"1"}, {})
