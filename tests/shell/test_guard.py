"""The guard on a real broker: what lies between an expected offset and the one that arrived."""

import uuid

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.readers import Guard, Lost, Passed
from tests.shell import harness
from tests.shell.toy import Topics, settings


class Inbox:
    """Partition 0 of a topic, written in known offsets."""

    def __init__(self, kafka: str) -> None:
        self.topics = Topics(f"g{uuid.uuid4().hex[:8]}")
        self.kafka = kafka
        harness.create(kafka, self.topics, partitions=1)
        self.guard = Guard(settings(self.topics.stem, kafka, partitions=1))
        self.name = self.topics.commands
        self._elsewhere = self.topics.answers
        self._plain = Producer({"bootstrap.servers": kafka})
        self._transactional = Producer({"bootstrap.servers": kafka, "transactional.id": self.topics.stem})
        self._transactional.init_transactions(30)

    def record(self) -> None:
        """One offset."""
        self._plain.produce(self.name, b"v", b"k", 0)
        assert self._plain.flush(10) == 0

    def transaction(self, end: str) -> None:
        """Two offsets if it is ended: a record and a marker; one if it is left open."""
        self._transactional.begin_transaction()
        self._transactional.produce(self.name, b"v", b"k", 0)
        assert self._transactional.flush(10) == 0
        if end == "open":
            return
        if end == "commit":
            self._transactional.commit_transaction(10)
        else:
            self._transactional.abort_transaction(10)
        # the coordinator answers before the marker is written; the next transaction waits for it
        self._transactional.begin_transaction()
        self._transactional.produce(self._elsewhere, b"v", b"k", 0)
        assert self._transactional.flush(10) == 0
        self._transactional.abort_transaction(10)


@pytest.fixture
def inbox(kafka: str) -> Inbox:
    return Inbox(kafka)


def test_markers_and_aborted_records_are_passed_over_and_counted(inbox: Inbox) -> None:
    inbox.record()  # 0
    inbox.transaction("commit")  # 1, marker 2
    inbox.transaction("abort")  # 3, marker 4
    inbox.record()  # 5
    assert inbox.guard.check(inbox.name, 0, [(2, 5)]) == Passed(3)
    assert inbox.guard.check(inbox.name, 0, [(5, 5)]) == Passed()


def test_a_record_that_never_arrived_is_a_fault(inbox: Inbox) -> None:
    inbox.record()
    inbox.transaction("commit")
    inbox.transaction("abort")
    inbox.record()
    with pytest.raises(Lost, match="input 1 never arrived; expected 1, got 5"):
        inbox.guard.check(inbox.name, 0, [(1, 5)])
    with pytest.raises(Lost, match="input 0"):
        inbox.guard.check(inbox.name, 0, [(0, 1)])


def test_many_jumps_are_one_look(inbox: Inbox) -> None:
    for _ in range(5):
        inbox.transaction("commit")  # 0 and 1, 2 and 3 ...
    inbox.record()  # 10
    assert inbox.guard.check(inbox.name, 0, [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]) == Passed(5)
    with pytest.raises(Lost, match="input 6 never arrived; expected 5, got 8"):
        inbox.guard.check(inbox.name, 0, [(1, 2), (3, 4), (5, 8), (9, 10)])
    with pytest.raises(Lost, match="input 8 never arrived; expected 7, got 10"):
        inbox.guard.check(inbox.name, 0, [(1, 2), (7, 10)])


def test_deleted_records_are_passed_over_and_told_from_markers(inbox: Inbox) -> None:
    for _ in range(4):
        inbox.record()
    admin = AdminClient({"bootstrap.servers": inbox.kafka})
    for deleted in admin.delete_records([TopicPartition(inbox.name, 0, 3)]).values():
        deleted.result(10)
    assert inbox.guard.check(inbox.name, 0, [(0, 3)]) == Passed(deleted=((0, 2),))
    assert inbox.guard.check(inbox.name, 0, [(1, 3)]) == Passed(deleted=((1, 2),))
    assert inbox.guard.check(inbox.name, 0, [(2, 3), (4, 4)]) == Passed(deleted=((2, 2),))
    with pytest.raises(Lost):
        inbox.guard.check(inbox.name, 0, [(0, 4)])


def test_the_end_a_tick_carries_counts_what_was_deleted_until_it_is_passed_over(inbox: Inbox) -> None:
    for _ in range(4):
        inbox.record()
    admin = AdminClient({"bootstrap.servers": inbox.kafka})
    for deleted in admin.delete_records([TopicPartition(inbox.name, 0, 4)]).values():
        deleted.result(10)
    assert inbox.guard.end(inbox.name, 0, 1) == (4, (2, 3))
    assert inbox.guard.end(inbox.name, 0, 3) == (0, None)


def test_the_end_a_tick_carries_counts_what_can_still_arrive(inbox: Inbox) -> None:
    assert inbox.guard.end(inbox.name, 0, -1) == (0, None)
    inbox.record()  # 0
    assert inbox.guard.end(inbox.name, 0, -1) == (1, None)
    assert inbox.guard.end(inbox.name, 0, 0) == (0, None)
    inbox.transaction("commit")  # 1, marker 2
    assert inbox.guard.end(inbox.name, 0, 0) == (3, None)
    assert inbox.guard.end(inbox.name, 0, 1) == (0, None), "only a marker is left: it never arrives"
    inbox.transaction("open")  # 3
    inbox.record()  # 4: behind an open transaction nobody reads
    assert inbox.guard.end(inbox.name, 0, 1) == (0, None)
