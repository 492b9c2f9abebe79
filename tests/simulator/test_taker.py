"""The taker's readiness means progress: records that wait and are not fetched turn it unready. On a real broker."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from connectors.dlms import taker as module
from connectors.dlms.taker import Taker
from roles.stuck import JOIN_SECONDS, NOT_LET_IN

T = TypeVar("T", bound=Taker)


class Forgetful(Taker):
    """What librdkafka does to a partition whose pause outlived its assignment: it is owned, and never fetched."""

    forgets = True

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        super()._on_assign(consumer, partitions)
        if self.forgets:
            consumer.pause(partitions)


def _nothing(_: Message) -> Future[None]:
    aside: Future[None] = Future()
    aside.set_result(None)
    return aside


def taking(kafka: str, topic: str, kind: type[T]) -> T:
    """On the running loop, in a group called as its topic."""
    return kind(
        {"bootstrap.servers": kafka, "group.id": topic},
        topic,
        loop=asyncio.get_running_loop(),
        free=lambda: 10,
        read=_nothing,
        take=lambda _: None,
    )


async def _until(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        await asyncio.sleep(0.05)
    return holds()


async def _readiness(kafka: str, topic: str, forgets: bool) -> tuple[bool, bool]:
    """Ready while the topic is empty; ready some time after a record came."""
    taker = taking(kafka, topic, Forgetful)
    taker.forgets = forgets
    taker.start()
    try:
        before = await _until(lambda: taker.ready, 20)
        producer = Producer({"bootstrap.servers": kafka})
        producer.produce(topic, value=b"a record")
        assert producer.flush(20) == 0
        await _until(lambda: not taker.ready, 4)
        return before, taker.ready
    finally:
        await taker.stop()


@pytest.mark.parametrize("forgets", [True, False])
def test_ready_means_that_what_waits_is_taken(
    kafka: str, make_topics: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    topic = make_topics("jobs")["jobs"]
    assert asyncio.run(_readiness(kafka, topic, forgets)) == (True, not forgets)


def test_who_is_left_out_of_the_group_stands_still(make_topics: Callable[..., dict[str, str]], kafka: str) -> None:
    """Played: librdkafka tells of a membership that was lost, and of none that is won."""

    async def play() -> None:
        topic = make_topics("jobs")["jobs"]
        taker = taking(kafka, topic, Taker)
        assert (found := taker.standstill()) is not None and found.what == NOT_LET_IN
        assert found.least == JOIN_SECONDS, "a group takes its time to gather"
        taker.start()
        try:
            assert await _until(lambda: taker.ready, 30) and taker.standstill() is None
            consumer = Consumer({"bootstrap.servers": kafka, "group.id": "another"})
            taker._on_revoke(consumer, [])
            consumer.close()
            assert not taker.ready
            assert (found := taker.standstill()) is not None and found.what == NOT_LET_IN
        finally:
            await taker.stop()

    asyncio.run(play())
