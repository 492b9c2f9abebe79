"""Dead letters on a real broker: listed, shown and sent back, byte for byte."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from connectors.faces import dead_letters
from connectors.faces.dead_letters import NoSuchLetter
from infra.topics import apply
from schemas import headers
from schemas.topics import COMMANDS, DEAD_LETTERS

KEY, POISON = b"ML500000000000007", b"\xc3\x01poison"


@pytest.fixture
def broker(kafka: str) -> Iterator[str]:
    apply(kafka, partitions=2)
    yield kafka


def set_aside(kafka: str, reason: str, *, topic: str = COMMANDS.name, transaction: bool = False) -> None:
    """As a role does; within a transaction as the streams do."""
    settings: dict[str, Any] = {"bootstrap.servers": kafka}
    if transaction:
        settings["transactional.id"] = f"test-{uuid.uuid4()}"
    producer = Producer(settings)
    if transaction:
        producer.init_transactions(30)
        producer.begin_transaction()
    letter = headers.DeadLetter(
        reason=reason, topic=topic, partition=1, offset=17, at=time.time_ns() // 1_000_000, role="test"
    )
    told = headers.write_dead_letter([("operation", b"ReadAlarmRegister")], letter)
    producer.produce(DEAD_LETTERS.name, POISON, KEY, headers=[*told])
    if transaction:
        producer.commit_transaction(30)
    assert producer.flush(30) == 0


def test_letters_are_listed_shown_and_sent_back(broker: str) -> None:
    reason = f"test {uuid.uuid4()}"
    set_aside(broker, reason, transaction=True)
    set_aside(broker, reason)
    began = time.monotonic()
    found = [letter for letter in dead_letters.letters(broker) if letter.reason == reason]
    assert time.monotonic() - began < 10  # the mark that ends a transaction is not waited for
    assert len(found) == 2
    letter = found[0]
    assert (letter.origin, letter.role, letter.topic) == (f"{COMMANDS.name}:1:17", "test", COMMANDS.name)
    assert (letter.key, letter.value) == (KEY, POISON)
    assert letter.headers == (("operation", b"ReadAlarmRegister"),)
    assert list(dead_letters.letters(broker, only=letter.place)) == [letter]

    ends = _ends(broker)
    assert dead_letters.replay(broker, letter.place) == letter
    (again,) = _since(broker, ends)
    assert (again.key(), again.value(), again.headers()) == (KEY, POISON, [("operation", b"ReadAlarmRegister")])


@pytest.mark.parametrize("place", ["0:999999", "99:0", "first", "0:-1", ""])
def test_a_place_without_a_letter(broker: str, place: str) -> None:
    assert list(dead_letters.letters(broker, only=place)) == []
    with pytest.raises(NoSuchLetter, match="no dead letter"):
        dead_letters.replay(broker, place)


def test_a_letter_from_elsewhere_is_not_sent_back(broker: str) -> None:
    reason = f"test {uuid.uuid4()}"
    set_aside(broker, reason, topic="somebody.elses")
    (letter,) = [letter for letter in dead_letters.letters(broker) if letter.reason == reason]
    with pytest.raises(NoSuchLetter, match=r"somebody\.elses"):
        dead_letters.replay(broker, letter.place)


def test_no_broker_is_an_error() -> None:
    with pytest.raises(KafkaException):
        next(dead_letters.letters("127.0.0.1:1"))


def _consumer(kafka: str) -> Consumer:
    return Consumer({"bootstrap.servers": kafka, "group.id": f"t{uuid.uuid4()}", "enable.auto.commit": False})


def _ends(kafka: str) -> dict[int, int]:
    consumer = _consumer(kafka)
    try:
        return {p: consumer.get_watermark_offsets(TopicPartition(COMMANDS.name, p), timeout=10)[1] for p in range(2)}
    finally:
        consumer.close()


def _since(kafka: str, ends: dict[int, int]) -> list[Any]:
    consumer = _consumer(kafka)
    try:
        consumer.assign([TopicPartition(COMMANDS.name, partition, end) for partition, end in ends.items()])
        found = consumer.consume(1, 20)
        return [*found, *consumer.consume(1, 0.5)]
    finally:
        consumer.close()
