"""Takes jobs from the topic, each at most once: poll a batch, commit it, only then hand it over (design, section 5).

A batch whose commit is refused is not handed over: its partition has a new owner, who will get it. A commit that went
astray is asked again from the same place; nothing of it has started. Jobs are lost by a crash between commit and start:
the streams see no result by the deadline, and try again.

The consumer lives in a thread of its own, since librdkafka's calls block. Eager `range` assignment: a revocation is
heard inside `poll`, where the batch in hand is thrown away. Committing it later would be accepted by the broker, for it
checks the member, not the assignment, and the jobs would run twice.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from roles.membership import take_over
from roles.steps import passing
from roles.stuck import Standstill, not_let_in
from schemas.records import Job

BATCH: Final = 500
POLL_SECONDS: Final = 0.1
FULL_SECONDS: Final = 1.0
"""How long no session may be free before fetching is paused. A pause throws away what was fetched, and polling may rest
that long: rebalances wait for it, the group does not."""
FULL_POLL_SECONDS: Final = 0.005
LOOK_SECONDS: Final = 5.0
LEAVE_SECONDS: Final = 10.0
TURN_SECONDS: Final = 5.0  # a loop that polls turns more often
ASIDE_SECONDS: Final = 30.0  # for a record that is no job to be with the dead letters
REJOIN_MS: Final = 60_000
"""librdkafka waits as long (`max.poll.interval.ms`) and three seconds more for the answer to JoinGroup before it asks
again: with its default a member that a coordinator forgot would be out for five minutes. No turn takes longer."""
PATIENCE: Final = 60.0
"""Seconds without a turn of the loop, or with records that wait and are not taken, until the taker counts as stuck."""

_log = structlog.get_logger(__name__)


class Taken(NamedTuple):
    """A job that is this process's, and the partition its answers go to."""

    partition: int
    job: Job


class _Ends:
    """Asks how far partitions reach, without waiting and on a connection of its own: the consumer's waits for a fetch
    that finds nothing, and a job that comes meanwhile waited with it (measured: 0.2 s, once in five seconds). After a
    failure it asks with a new client: one whose broker died asks for ever with the leader's epoch that it knew.
    """

    def __init__(self, settings: Mapping[str, str | int | float | bool]) -> None:
        self._settings = {name: value for name, value in settings.items() if not name.startswith("group.")}
        self._client = AdminClient(self._settings)
        self._asked: dict[TopicPartition, Future[ListOffsetsResultInfo]] = {}

    def ask(self, places: list[TopicPartition]) -> None:
        spec: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        latest = {TopicPartition(place.topic, place.partition): spec for place in places}
        committed = IsolationLevel.READ_COMMITTED
        if latest:
            self._asked = self._client.list_offsets(latest, isolation_level=committed, request_timeout=LOOK_SECONDS)

    def forget(self) -> None:
        """What was asked is of no use any more: other partitions are ours now."""
        self._asked = {}

    def told(self) -> dict[int, int] | None:
        """{partition: offset after its last committed record}, once; None as long as nothing was answered, or asked."""
        if not self._asked or not all(future.done() for future in self._asked.values()):
            return None
        asked, self._asked = self._asked, {}
        if any(future.exception() is not None for future in asked.values()):
            self._client = AdminClient(self._settings)
            return None  # the broker is away; that shows elsewhere
        return {place.partition: future.result().offset for place, future in asked.items()}


class Taker:
    """The consumer of one process, in a group that shares the jobs."""

    def __init__(
        self,
        settings: Mapping[str, str | int | float | bool],
        topic: str,
        *,
        loop: asyncio.AbstractEventLoop,
        free: Callable[[], int],
        read: Callable[[Message], Job | Future[None]],
        take: Callable[[list[Taken]], None],
    ) -> None:
        """`free`: jobs that may be taken now. `read`, in the taker's thread before the commit: the job of a record, or,
        when it is none, what is done when it is set aside: that is waited for once a batch, or bad records would hold
        up good ones. `take`, on the loop: jobs that are this process's, for good.
        """
        self._settings = {
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,  # tells that there is nothing left, which offsets alone do not: markers
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "range",
            "session.timeout.ms": 10_000,
            "max.poll.interval.ms": REJOIN_MS,
            "fetch.wait.max.ms": 100,
            **settings,
        }
        self._ends = _Ends(settings)
        self._topic = topic
        self._loop, self._free, self._read, self._take = loop, free, read, take
        self._batch: list[Message] = []
        self._spans: dict[int, tuple[int, int]] = {}  # of the batch, by partition: first offset, offset after the last
        self._paused = False
        self._full_since: float | None = None
        self._parted: float | None = time.monotonic()  # since when it has no assignment, not even an empty one
        self._turned = time.monotonic()
        self._reached: dict[int, int] = {}  # by partition: everything below was handed to us, or is a marker
        self._looked = self._behind_since = 0.0  # when the broker was last asked; since when records wait, 0 = none do
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="taker", daemon=True)
        self.failure: BaseException | None = None
        self.ended: asyncio.Future[None] = loop.create_future()
        self.refused = 0  # batches whose commit was refused
        self.taken = 0

    @property
    def ready(self) -> bool:
        """Whether it belongs to the group, goes on polling, and takes what lies there."""
        now, behind = time.monotonic(), self._behind_since
        stuck = bool(behind) and now - behind > PATIENCE
        return self._parted is None and self.failure is None and now - self._turned < PATIENCE and not stuck

    def standstill(self) -> Standstill | None:
        """A loop that does not turn, a group that does not let it in, or jobs that wait though sessions are free."""
        now, turned, behind = time.monotonic(), self._turned, self._behind_since
        if now - turned > TURN_SECONDS:
            return Standstill(turned, "the taking of jobs hangs")
        if (outside := not_let_in(self._parted)) is not None:
            return outside
        return Standstill(behind, "jobs wait in Kafka, sessions are free, and none is taken") if behind else None

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Take nothing more, and leave the group. With the broker away librdkafka waits for it without end, for the
        answer to a commit above all; then it is left behind, and the session's end parts this member.
        """
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, LEAVE_SECONDS)
        if self._thread.is_alive():
            _log.warning("left_without_the_brokers_answer")

    def _run(self) -> None:
        try:
            consumer = Consumer(self._settings)
            try:
                consumer.subscribe(
                    [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
                )
                while not self._stopping.is_set():
                    self._turned = time.monotonic()
                    self._turn(consumer)
            finally:
                consumer.close()
        except BaseException as failure:
            self.failure = failure
            _log.error("taker_failed", error=str(failure))
        finally:
            self._parted = time.monotonic()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _turn(self, consumer: Consumer) -> None:
        free = self._free()
        if free > 0:
            self._full_since = None
        elif self._full_since is None or time.monotonic() - self._full_since < FULL_SECONDS:
            self._full_since = self._full_since or time.monotonic()
            self._stopping.wait(FULL_POLL_SECONDS)
            return
        self._pause(consumer, free <= 0)
        self._gather(consumer, min(free, BATCH))
        if not self._batch:
            self._look(consumer)
            return
        self._behind_since = 0.0
        first, offsets = self._places()
        messages, self._batch = self._batch, []
        try:
            found = [(message.partition(), self._read(message)) for message in messages]
            for _, one in found:
                if isinstance(one, Future):
                    one.result(ASIDE_SECONDS)
            refusal = _commit(consumer, offsets)
        except TimeoutError:
            refusal = "a record that is no job cannot be set aside"
        if refusal is not None:
            self.refused += 1
            _log.warning("batch_not_started", records=len(messages), reason=refusal)
            self._go_back(consumer, first)
            return
        passing("offset committed", len(messages))
        batch = [Taken(place, one) for place, one in found if place is not None and isinstance(one, Job)]
        self.taken += len(batch)
        self._loop.call_soon_threadsafe(self._take, batch)

    def _gather(self, consumer: Consumer, most: int) -> None:
        """Fill the batch: wait for the first message, take what else is there. Rebalances are heard in here."""
        self._spans.clear()
        wait = POLL_SECONDS
        while True:
            message = consumer.poll(wait)
            if message is None:
                return
            error = message.error()
            if error is None:
                self._batch.append(message)
                partition, offset = message.partition(), message.offset()
                first, _ = self._spans.get(partition, (offset, offset))  # type: ignore[arg-type]
                self._spans[partition] = (first, offset + 1)  # type: ignore[operator,index]
                self._reached[partition] = offset + 1  # type: ignore[operator,index]
                wait = 0.0
                if len(self._batch) >= most:
                    return
            elif error.fatal():
                raise KafkaException(error)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached[message.partition()] = message.offset()  # type: ignore[index,assignment]
            else:
                _log.warning("poll_failed", error=error.name())

    def _look(self, consumer: Consumer) -> None:
        """Nothing came: ask the broker now and then whether something should have. A partition that the consumer forgot
        to fetch looks idle from here.
        """
        ends = self._ends.told()
        if ends is not None:
            if all(self._reached.get(partition, 0) >= end for partition, end in ends.items()):
                self._behind_since = 0.0
            else:
                self._behind_since = self._behind_since or time.monotonic()
        if not self._paused and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._ends.ask(consumer.assignment())

    def _places(self) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """First offset of each partition in the batch, and the offset after its last."""
        return (
            [TopicPartition(self._topic, partition, first) for partition, (first, _) in self._spans.items()],
            [TopicPartition(self._topic, partition, end) for partition, (_, end) in self._spans.items()],
        )

    def _go_back(self, consumer: Consumer, first: list[TopicPartition]) -> None:
        for place in first:
            with contextlib.suppress(KafkaException):  # no longer ours: the new owner begins at what is committed
                consumer.seek(place)

    def _pause(self, consumer: Consumer, pause: bool) -> None:
        """Stop fetching while no session is free. Polling goes on, or the group would think the process dead."""
        if pause is not self._paused:
            self._paused = pause
            (consumer.pause if pause else consumer.resume)(consumer.assignment())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._reached.clear()
        self._ends.forget()
        self._behind_since = 0.0
        take_over(consumer, partitions, paused=self._paused)
        self._parted = None

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._batch.clear()
        self._spans.clear()
        self._parted = time.monotonic()


def _commit(consumer: Consumer, offsets: list[TopicPartition]) -> str | None:
    """Commit and wait. Why it was refused, or None."""
    try:
        results: Any = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as refused:
        return str(refused.args[0].name())
    for place in results:
        if place.error is not None:
            return str(place.error.name())
    return None
