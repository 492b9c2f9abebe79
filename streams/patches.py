"""The changes Faust 0.15.3 needs, and nothing else that reaches into it.

1. It reads uncommitted inputs under `at_least_once`, and has no setting for it (measured: commands of aborted
   transactions were answered). `read_committed` gives it a consumer that does not.
2. It seeks to the group's committed offsets, which cannot follow transaction markers and know nothing of our
   transactions. `seek_to_positions` makes it go on to our own positions: they are the only truth.
3. It carries each record by itself: four tasks, an event and an entry among the acknowledged offsets for every one,
   75 us of CPU (measured), and it commits offsets one gap at a time. `InboxConsumer` carries the records of one topic
   partition that came in one fetch as one message, a `Run`, through all of Faust's own parts (conductor, channel,
   stream, acknowledgement), which then are paid once a run. `batches` gathers runs for the agent.

All hang on Faust's inner names, so the pinned version is checked, and each has a test that fails without it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from importlib.metadata import version
from operator import itemgetter
from typing import Any, Protocol, cast

import aiokafka
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, StreamT
from faust.types.tuples import ConsumerMessage

from streams.keeper import Headers, Received

_PINNED = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}
_FETCH_WAIT_MS = 100
_POLL_SECONDS = 1.0
_value = itemgetter(1)


class _Consumer(Protocol):
    """What is used of Faust's consumer."""

    perform_seek: Callable[[], Awaitable[None]]
    _read_offset: MutableMapping[Any, int | None]
    _committed_offset: MutableMapping[Any, int | None]

    def assignment(self) -> Iterable[Any]: ...

    async def _seek(self, partition: Any, offset: int) -> None: ...


class ReadCommittedConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer, blind to records of open and aborted transactions whatever it is told.

    A fetch waits for new records a tenth of a second at most, not Faust's second and a half: aiokafka has one fetch
    under way for a broker, and partitions whose records were being handled when it was sent wait for its end.
    """

    def __init__(self, *topics: str, **settings: Any) -> None:
        ours = {"isolation_level": "read_committed", "fetch_max_wait_ms": _FETCH_WAIT_MS}
        super().__init__(*topics, **{**settings, **ours})


def check_versions() -> None:
    """Raises RuntimeError when Faust or aiokafka are not the versions the patches were written and tested for."""
    for name, pinned in _PINNED.items():
        installed = version(name)
        if installed != pinned:
            raise RuntimeError(f"{name}: {installed} is installed, the shell's patches are for {pinned}")


def read_committed() -> None:
    """Make every consumer Faust creates a read-committed one. It looks the class up when it creates one."""
    check_versions()
    aiokafka.AIOKafkaConsumer = ReadCommittedConsumer


def seek_to_positions(consumer: _Consumer, positions: Callable[[], Mapping[tuple[str, int], int]]) -> None:
    """After each of Faust's seeks, seek on to our own positions.

    `positions` gives {(topic, partition): offset of the last input done, -1 if none} of every inbox partition that is
    loaded; what is not assigned (any more) is left alone.
    """
    check_versions()
    faust_seek = consumer.perform_seek

    async def perform_seek() -> None:
        await faust_seek()
        assigned = {(tp.topic, tp.partition): tp for tp in consumer.assignment()}
        for name, position in positions().items():
            if name in assigned:
                following = position + 1
                tp = TopicPartition(*name)
                await consumer._seek(tp, following)
                # 0 is "unknown" to Faust: it then takes whatever comes first, as it should
                consumer._read_offset[tp] = following or None
                consumer._committed_offset[tp] = following or None

    consumer.perform_seek = perform_seek


class Run(ConsumerMessage):
    """Records of one topic partition that came in one fetch, in their order, as one message of Faust's.

    Its offset is the last one's, so to acknowledge it is to acknowledge them all. Key and value are empty: Faust would
    decode them.
    """

    __slots__ = ("received",)

    def __init__(self, tp: TP, records: Sequence[Any], generation: int) -> None:
        topic, partition = tp
        super().__init__(
            topic, partition, records[-1].offset, 0.0, 0, None, b"", b"", None, tp=tp, generation_id=generation
        )
        self.received = [
            Received(
                topic,
                partition,
                record.offset,
                record.timestamp,
                record.key or b"",
                record.value or b"",
                _headers(record.headers) if record.headers else (),
            )
            for record in records
        ]


def _headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    if None in map(_value, headers):
        return tuple([(name, value or b"") for name, value in headers])
    return cast(Headers, tuple(headers))


class _Fetching(driver.AIOKafkaConsumerThread):
    """Faust's side of the fetching thread, with turns."""

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[Any], timeout: float | None = None, max_records: int | None = None
    ) -> Mapping[Any, list[Any]]:
        """At most so many records, of all topic partitions that have some in equal parts.

        aiokafka would empty one after the other: results then wait for the whole fetched backlog of commands.
        """
        fetcher = consumer._fetcher
        ready = [tp for tp in fetcher._records if tp in active_partitions]
        if len(ready) > 1 and max_records and self.consumer.flow_active and not fetcher._closed:
            share = max(1, max_records // len(ready))
            found: dict[Any, list[Any]] = {}
            with fetcher._subscriptions.fetch_context():
                for tp in ready:  # nothing is waited for in here, so all are of one assignment
                    found.update(await fetcher.fetched_records({tp}, timeout=0, max_records=share))
            if found:
                return found
        return await super()._fetch_records(consumer, active_partitions, timeout, max_records)


class InboxConsumer(driver.Consumer):
    """Faust's consumer, carrying runs of records. `take_from` says where they are waited for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inbox: Any = None
        self._most = 0
        self._room = asyncio.Event()

    def _new_consumer_thread(self) -> _Fetching:
        return _Fetching(self, loop=self.loop, beacon=self.beacon)

    def take_from(self, inbox: Any, most: int) -> None:
        """No more is fetched while so many records wait in this queue of the agent's channel."""
        self._inbox, self._most = inbox, most

    @property
    def waiting(self) -> int:
        """Records fetched and not yet taken. Faust empties the queue when it revokes or seeks, so it is counted."""
        return 0 if self._inbox is None else sum(len(event.message.received) for event in self._inbox._queue)

    def taken(self) -> None:
        """Runs were taken from the queue."""
        self._room.set()

    def forget(self, run: Run) -> None:
        """Let go of a run of an earlier assignment without acknowledging it; Faust would wait for it."""
        run.acked = True
        self._unacked_messages.discard(run)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand over what is fetched until stopped. Follows Faust's own, but for the runs and the bound."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await asyncio.sleep(0)  # a fetch that finds records at once would never give way
                if self.flow_active and self.waiting >= self._most > 0:
                    self._room.clear()
                    await self.wait_first(self._room.wait(), self.suspend_flow.wait())
                    continue
                records, active = await self._wait_next_records(_POLL_SECONDS)
                if self.should_stop:
                    break
                if self.flow_active:
                    await self._hand_over(records or {}, active or set())
                    continue
                try:
                    await self.perform_seek()  # what came while the flow was stopped is fetched again
                except Exception as error:  # as Faust has it: the seek at the end of the recovery counts
                    self.log.warning("no seek while the flow is stopped: %r", error)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _hand_over(self, records: Mapping[Any, Sequence[Any]], active: set[Any]) -> None:
        generation = self.app.consumer_generation_id
        for tp, several in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # the seek that follows brings them again
            if tp in active:
                run = Run(TP(*tp), several, generation)
                await self.wait_first(self.callback(run), self.suspend_flow.wait())
                self._read_offset[run.tp] = run.offset

    def _new_offset(self, tp: TP) -> int | None:
        """The group's offset goes to the end of the last run acknowledged.

        Faust looks for gaps before that, and stays behind them for long. Runs are acknowledged in their order, and
        what the group's offset says is not used (2).
        """
        acked = self._acked[tp]
        if not acked:
            return None
        following: int = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return following


class _Transport(driver.Transport):
    Consumer = InboxConsumer


def carry_runs(app: AppT) -> None:
    """Make the app's consumer an `InboxConsumer`. Before its first use."""
    check_versions()
    app.transport = _Transport(app.conf.broker_consumer, app)


async def batches(stream: StreamT[Any], most: int, within: float) -> AsyncIterator[list[Any]]:
    """Events with a `Run` each, all that wait but at most so many records; to acknowledge them is the caller's part.

    The first of an idle time comes at once; under load batches begin `within` seconds apart at least, so that there are
    not more transactions than are of use. (Faust's `noack_take` looks every `within` seconds, idle or not.)
    """
    consumer = cast(InboxConsumer, stream.app.consumer)
    inbox = cast(Any, stream.channel).queue
    consumer.take_from(inbox, 2 * most)
    stream.enable_acks = False
    began = 0.0
    async for event in stream.events():
        wait = began + within - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        began = time.monotonic()
        batch, size = [event], len(event.message.received)
        while inbox._queue and size + len(inbox._queue[0].message.received) <= most:
            another = inbox.get_nowait()
            another.message.tracked = True
            consumer.track_message(another.message)  # as Faust's iteration does: it waits for these before it stops
            batch.append(another)
            size += len(another.message.received)
        consumer.taken()
        yield batch
