"""What is asked of the broker beside the clients that work with it, by many threads at once: each gets its answer."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from confluent_kafka import KafkaException, Producer

from roles.stuck import Broker
from tests.shell import harness
from tests.shell.toy import Topics

THREADS = 8


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns after every few instructions: a race shows within seconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_threads_that_ask_first_together_are_all_answered(kafka: str) -> None:
    topics = Topics("asked")
    harness.create(kafka, topics)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(topics.commands, b"a record", partition=1)
    assert producer.flush(30) == 0
    places = [(topics.commands, partition) for partition in range(4)]
    for _ in range(20):
        broker, together = Broker(kafka, {}, seconds=30.0), Barrier(THREADS)

        def ask(broker: Broker = broker, together: Barrier = together) -> dict[tuple[str, int], int]:
            together.wait()
            return broker.ends(places)

        with ThreadPoolExecutor(THREADS) as pool:
            answers = [each.result(60) for each in [pool.submit(ask) for _ in range(THREADS)]]
        assert answers == [{place: int(place[1] == 1) for place in places}] * THREADS


def test_a_broker_that_does_not_answer_is_an_error_and_away_says_it() -> None:
    broker = Broker("127.0.0.1:1", {}, seconds=0.5)
    with pytest.raises(KafkaException):
        broker.ends([("a-topic", 0)])
    assert broker.away().startswith("Kafka at 127.0.0.1:1 is away: ")
