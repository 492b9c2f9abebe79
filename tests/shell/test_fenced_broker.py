"""A broker whose controller fences it and lets it back, again and again, under producers that do as the streams do.

What the streams build on: once a fence has returned, what can be seen of its predecessors is all that ever will be.
Kafka 4.3 and 4.4 break it (docs/decisions/005), and no test in which the broker dies shows it.
"""

import os
import random
import signal
import threading
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.embedded.kafka import Kafka
from infra.topics import await_leaders
from tests.shell import harness

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

WRITERS = 16
OTHERS = 400  # partitions that make a change of leaders take its time
SECONDS = 150.0


class Writer(threading.Thread):
    """One partition's producers, each fencing the one before; notes what each sees that has come of the others."""

    def __init__(self, bootstrap: str, number: int, end: float) -> None:
        super().__init__(name=f"writer-{number}")
        self.bootstrap, self.number, self.end = bootstrap, number, end
        self.seen: list[tuple[int, set[bytes]]] = []  # by life: what was visible after its fence
        self.commits = 0

    def run(self) -> None:
        life = 0
        while time.monotonic() < self.end:
            life += 1
            try:
                self._live(life)
            except (KafkaException, AssertionError):
                continue  # as the streams do: end, and begin anew from what the broker has

    def _live(self, life: int) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "transactional.id": f"writer-{self.number}",
                "transaction.timeout.ms": 3_000,
                "linger.ms": 1,
                "log_level": 0,
            }
        )
        producer.init_transactions(20)
        self.seen.append((life, visible(self.bootstrap, "a", self.number)))
        while time.monotonic() < self.end:
            identity = f"{life} {uuid.uuid4().hex}".encode()
            producer.begin_transaction()
            for topic in ("a", "b"):
                producer.produce(topic, identity, partition=self.number)
            producer.commit_transaction(5)
            self.commits += 1


def visible(bootstrap: str, topic: str, partition: int) -> set[bytes]:
    return {harness.value_of(message) for message in harness.read(bootstrap, topic, partitions={partition})}


def test_what_a_fence_shows_of_former_owners_is_all_that_ever_becomes_visible(tmp_path: Path) -> None:
    broker = Kafka(tmp_path / "kafka", tmp_path / "logs")
    broker.start()
    try:
        broker.wait_ready()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        topics = {"a": WRITERS, "b": WRITERS, "others": OTHERS}
        for created in admin.create_topics([NewTopic(name, count, 1) for name, count in topics.items()]).values():
            created.result(60)
        await_leaders(admin, list(topics))
        writers = [Writer(broker.bootstrap, number, time.monotonic() + SECONDS) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        dice = random.Random(5)
        while time.monotonic() < writers[0].end - 20:
            time.sleep(dice.uniform(4, 6))
            os.kill(broker.pid, signal.SIGSTOP)
            time.sleep(dice.uniform(6.5, 8))  # longer than its session with the controller
            os.kill(broker.pid, signal.SIGCONT)
        for writer in writers:
            writer.join()
        await_leaders(admin, list(topics))
        resigned = broker.log.read_text().count("Resigned as the txn coordinator")
        later = []
        for writer in writers:
            final = visible(broker.bootstrap, "a", writer.number)
            assert final == visible(broker.bootstrap, "b", writer.number)
            for life, seen in writer.seen:
                before = {identity for identity in final if int(identity.split()[0]) < life}
                later += sorted(before - seen)
                assert seen <= final
        lives = sum(len(writer.seen) for writer in writers)
        print(f"{sum(writer.commits for writer in writers)} commits in {lives} lives; {resigned} resignations")
        assert resigned and lives > WRITERS, "the broker was never fenced"
        assert not later
    finally:
        broker.stop()
