"""A fetch's records through Faust's own parts as one message: in order, bounded, dropped and acknowledged whole."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ParamSpec, cast

import faust
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from faust.types import TP

from streams import patches
from streams.keeper import Received
from tests.shell import harness
from tests.shell.toy import Topics

POLL = 100
MOST = 250

P = ParamSpec("P")


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def record(topic: str, partition: int, offset: int, **other: Any) -> ConsumerRecord[bytes, bytes]:
    told: dict[str, Any] = {"key": b"k", "value": b"v", "headers": (), "timestamp": 5, **other}
    return ConsumerRecord(
        topic,
        partition,
        offset,
        timestamp_type=1,
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
        **told,
    )


class Endless:
    """In the place of the broker: each fetch finds POLL records, of one partition after the other, without end."""

    def __init__(self, partitions: int) -> None:
        self.ends = [0] * partitions
        self.fetches = 0
        self.only: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, active_partitions: set[TP], timeout: float) -> dict[TopicPartition, list[Any]]:
        number = self.fetches % len(self.ends)
        first = self.ends[number]
        self.fetches += 1
        if self.only is not None and self.fetches > self.only:
            await asyncio.sleep(timeout)
            return {}
        await self.gate.wait()
        self.ends[number] += POLL
        return {TopicPartition("inbox", number): [record("inbox", number, first + each) for each in range(POLL)]}


@asynccontextmanager
async def carrying(folder: Path, partitions: int = 2) -> AsyncIterator[tuple[Any, Any, Any, Endless]]:
    """(app, its consumer, a stream, its source) with Faust's conductor, channel and flow control between."""
    app = faust.App("runs", broker="kafka://nowhere", datadir=str(folder), autodiscover=False, web_enabled=False)
    patches.carry_runs(app)
    topic = app.topic("inbox", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    stream = app.stream(topic)
    consumer = cast(Any, app.consumer)
    places = {TP("inbox", number) for number in range(partitions)}
    await cast(Any, app.topics)._update_indices()
    await app.topics.on_partitions_assigned(places)
    consumer._set_active_tps(places)
    app.consumer_generation_id = 7
    app.flow_control.resume()
    consumer.resume_flow()
    consumer._getmany = source = Endless(partitions)
    drain = asyncio.create_task(consumer._drain_messages(SimpleNamespace(_stopped=asyncio.Event())))
    try:
        yield app, consumer, stream, source
    finally:
        drain.cancel()
        await asyncio.wait([drain])


async def settle(consumer: Any, number: int) -> None:
    """Until so many records wait."""
    async with asyncio.timeout(20):
        while consumer.waiting < number:
            await asyncio.sleep(0)


async def settle_down() -> None:
    """Let everything that is ready run."""
    for _ in range(200):
        await asyncio.sleep(0)


def test_a_run_is_its_records_and_ends_at_the_last() -> None:
    records = [
        record("t", 3, 10, timestamp=1_234_567_890_123, headers=(("a", None), ("a", b"2"))),
        record("t", 3, 12, key=None, value=None),
    ]
    run = patches.Run(TP("t", 3), records, 7)
    assert (run.tp, run.offset, run.generation_id) == (TP("t", 3), 12, 7)
    assert run.received == [
        Received("t", 3, 10, 1_234_567_890_123, b"k", b"v", (("a", b""), ("a", b"2"))),
        Received("t", 3, 12, 5, b"", b"", ()),
    ]


@in_a_loop
async def test_a_backlog_without_end_is_fetched_up_to_the_bound_and_comes_whole_and_in_order(tmp_path: Path) -> None:
    async with carrying(tmp_path) as (_, consumer, stream, source):
        batches = patches.batches(stream, MOST, 0.0)
        seen: list[list[int]] = [[], []]
        for _ in range(20):
            batch = await anext(batches)
            size = sum(len(event.message.received) for event in batch)
            assert size <= MOST
            for event in batch:
                assert len(event.message.received) == POLL, "the records of a fetch are one message"
                seen[event.message.partition] += [each.offset for each in event.message.received]
                await stream.ack(event)
            await settle(consumer, 2 * MOST)
            await settle_down()
            assert consumer.waiting <= 2 * MOST + POLL
            assert source.fetches * POLL <= sum(len(each) for each in seen) + 2 * MOST + POLL
        assert all(offsets == list(range(len(offsets))) for offsets in seen)
        assert not consumer.unacked
        for number, offsets in enumerate(seen):
            assert consumer._new_offset(TP("inbox", number)) == len(offsets), "the group's offset follows at once"
            assert consumer._new_offset(TP("inbox", number)) is None


@in_a_loop
async def test_what_is_taken_is_waited_for_and_a_stale_run_can_be_forgotten(tmp_path: Path) -> None:
    async with carrying(tmp_path) as (_, consumer, stream, source):
        source.only = 2
        batches = patches.batches(stream, MOST, 0.0)
        while source.fetches <= 2:
            await asyncio.sleep(0)
        batch = await anext(batches)
        assert consumer.waiting == 0
        assert {event.message for event in batch} == set(consumer.unacked), "a rebalance waits for all of them"
        first, second = batch
        await stream.ack(first)
        consumer.forget(second.message)
        assert not consumer.unacked
        assert consumer._new_offset(first.message.tp) == POLL
        assert consumer._new_offset(second.message.tp) is None, "forgotten is not acknowledged"


@in_a_loop
async def test_a_fetch_that_ends_after_the_flow_was_stopped_is_dropped_and_fetched_again(tmp_path: Path) -> None:
    async with carrying(tmp_path, partitions=1) as (app, consumer, stream, source):
        again = asyncio.Event()

        async def seek() -> None:
            source.ends = [POLL]
            again.set()

        consumer.perform_seek = seek
        batches = patches.batches(stream, POLL, 0.0)
        (event,) = await anext(batches)
        assert event.message.received[0].offset == 0
        await stream.ack(event)
        source.gate.clear()
        while consumer.waiting:
            await anext(batches)
        await settle_down()
        consumer.stop_flow()
        app.flow_control.suspend()
        source.gate.set()
        async with asyncio.timeout(20):
            await again.wait()
        assert consumer.waiting == 0, "nothing is handed over to an assignment that ends"
        app.consumer_generation_id = 8
        app.flow_control.resume()
        consumer.resume_flow()
        (event,) = await anext(batches)
        assert (event.message.generation_id, event.message.received[0].offset) == (8, POLL)


@in_a_loop
async def test_the_fetched_partitions_take_turns(kafka: str) -> None:
    topics = Topics(f"r{uuid.uuid4().hex[:8]}")
    harness.create(kafka, topics)
    for topic in (topics.commands, topics.messages):
        harness.send(kafka, topic, ((f"k-{number}", "v") for number in range(4_000)))
    consumer = patches.ReadCommittedConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        places = {TopicPartition(topic, 0) for topic in (topics.commands, topics.messages)}
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        async with asyncio.timeout(30):
            while len(consumer._fetcher._records) < 2:
                await asyncio.sleep(0.01)
        thread = SimpleNamespace(consumer=SimpleNamespace(flow_active=True))
        found = await patches._Fetching._fetch_records(cast(Any, thread), consumer, places, 1.0, 100)
        assert {place: [each.offset for each in several] for place, several in found.items()} == {
            place: list(range(50)) for place in places
        }
    finally:
        await consumer.stop()
