"""Reading the broker beside Faust: the table in bulk, and what really lies at an offset.

Two needs Faust does not serve: a table record costs it a task and a future each (100,000 took ten seconds, here
0.3), and an offset that never arrived may be a transaction's marker or a record lost on the way: only the log knows.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition

from roles.stuck import Broker
from streams.keeper import ShellSettings
from streams.positions import decode, position_key, rebuild_key

_AT_ONCE = 10_000
_PASSING = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_RESOLVE", "NOT_LEADER_FOR_PARTITION"})


def _consumer(settings: ShellSettings, purpose: str) -> Consumer:
    return Consumer(
        {
            **dict(settings.kafka),
            "bootstrap.servers": settings.bootstrap,
            "group.id": f"{settings.application}-{purpose}",  # a name only: nothing is joined, nothing committed
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # a deleted offset is passed over, not an error
            "enable.partition.eof": True,  # the only sign that what is left before the end are markers
            "fetch.wait.max.ms": 20,
            "fetch.error.backoff.ms": 20,
        }
    )


def _offset(message: Message) -> int:
    offset = message.offset()
    if offset is None:
        raise ValueError(f"offset: none on a record of {message.topic()}")
    return offset


def _watermarks(consumer: Consumer, topic: str, partition: int, timeout: float) -> tuple[int, int]:
    """Where a log begins, and its end. Raises KafkaException, TimeoutError."""
    found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout, cached=False)
    if found is None:
        raise TimeoutError(f"{topic}/{partition}: no end offset in {timeout} s")
    return found


class NeverEnded(Exception):
    """A transaction that is neither committed nor aborted lies in a partition whose every writer has been fenced."""


class TableReader:
    """Loads whole partitions of the table. One consumer a load: loads run side by side, in threads."""

    def __init__(self, settings: ShellSettings) -> None:
        self._settings = settings
        self._broker = Broker(settings.bootstrap, dict(settings.kafka), settings.look_timeout)

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Of each partition the offset after the last one, markers included. Raises KafkaException."""
        found = self._broker.ends((self._settings.table, partition) for partition in partitions)
        return {partition: end for (_, partition), end in found.items()}

    def check_ended(self, partition: int, end: int) -> None:
        """See that every transaction of former owners has ended, in the table, whose end is `end`, and the outputs.

        A fence ends them, and returns when it has. Brokers of Kafka 4.3 and 4.4 can forget one, though, if its
        partitions have no leader as it ends (KAFKA-20734): nobody sees its records, until the next commit of the same
        producer makes them visible, also if they were aborted, and who decided in between did so from less than the
        table holds. What has become of it cannot be asked, so nothing is decided.

        Raises NeverEnded, KafkaException.
        """
        table, limit = self._settings.table, time.monotonic() + self._settings.look_timeout
        places = [(topic, partition) for topic in (table, *self._settings.outputs)]
        while True:
            ends = self._broker.ends(places, IsolationLevel.READ_UNCOMMITTED)
            committed = self._broker.ends(places)
            pending = [f"{place[0]}/{partition} at offset {at}" for place, at in committed.items() if at < ends[place]]
            if not pending:
                break
            if time.monotonic() >= limit:
                raise NeverEnded(f"a transaction has not ended: {', '.join(pending)}; see docs/operating.md")
            time.sleep(0.2)
        if committed[table, partition] != end:
            raise NeverEnded(f"{table}/{partition}: somebody else's transaction ended at {end} while it was loaded")

    def load(
        self, partition: int, end: int, cancelled: Callable[[], bool]
    ) -> tuple[dict[bytes, bytes], dict[str, int]] | None:
        """Values and inbox positions of a partition, read up to `end`; None if cancelled on the way.

        Raises KafkaException, and ValueError for a position that cannot be read, or a table half rebuilt.
        """
        values: dict[bytes, bytes] = {}
        if end > 0:
            consumer = _consumer(self._settings, "table")
            try:
                consumer.assign([TopicPartition(self._settings.table, partition, 0)])
                if not self._read(consumer, end, values, cancelled):
                    return None
            finally:
                consumer.close()
        if rebuild_key(partition) in values:
            raise ValueError(
                f"table: the rebuild of partition {partition} has not ended: run `meterlog rebuild table` again"
            )
        position = values.pop(position_key(partition), None)
        return values, {} if position is None else decode(position)

    def _read(self, consumer: Consumer, end: int, values: dict[bytes, bytes], cancelled: Callable[[], bool]) -> bool:
        while not cancelled():
            for message in consumer.consume(_AT_ONCE, timeout=0.05):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        if _offset(message) >= end:
                            return True
                    elif error.name() not in _PASSING:
                        raise KafkaException(error)
                    continue
                key, value = message.key(), message.value()
                if isinstance(key, str) or isinstance(value, str):
                    raise TypeError("table: keys and values are bytes")
                if key is not None:
                    if value is None:
                        values.pop(key, None)
                    else:
                        values[key] = value
                if _offset(message) >= end - 1:
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Passed:
    """Offsets of one partition that rightly never arrived."""

    markers: int = 0  # or records of aborted transactions
    deleted: tuple[tuple[int, int], ...] = ()  # by retention before they were read: first and last of each range


class Lost(Exception):
    """A committed input never reached us, although later ones did. The process must end before it commits past it."""


class Guard:
    """Says what the offsets are that never arrived: markers and deleted records, or an input lost on the way.

    Stock Faust loses inputs after a recovery with a backlog (its issue 596), so every jump is looked at, before
    anything is decided. Not safe for several threads at once.
    """

    def __init__(self, settings: ShellSettings) -> None:
        self._settings = settings
        self._consumer: Consumer | None = None

    def check(self, topic: str, partition: int, jumps: Sequence[tuple[int, int]]) -> Passed:
        """What was rightly passed over in the jumps of a partition: (expected, arrived) pairs in rising order.

        One read over the whole span, however many jumps: an upstream with transactions leaves one after each. Raises
        Lost for a committed record in a jump, TimeoutError when the broker does not tell in time, KafkaException when
        it cannot.
        """
        begins, _ = _watermarks(self._own(), topic, partition, self._settings.look_timeout)
        pending = iter(jumps)
        expected, arrived = next(pending)
        for offset in self._offsets(topic, partition, expected, jumps[-1][1]):
            while offset >= arrived:
                expected, arrived = next(pending)  # there is one: the read ends before the last arrived
            if offset >= expected:
                raise Lost(f"{topic}/{partition}: input {offset} never arrived; expected {expected}, got {arrived}")
        gone = [(first, min(arrived, begins) - 1) for first, arrived in jumps if first < min(arrived, begins)]
        passed = sum(arrived - first for first, arrived in jumps)
        return Passed(passed - sum(last - first + 1 for first, last in gone), tuple(gone))

    def _own(self) -> Consumer:
        if self._consumer is None:
            self._consumer = _consumer(self._settings, "guard")
        return self._consumer

    def _offsets(self, topic: str, partition: int, start: int, end: int) -> Iterator[int]:
        """Offsets of the committed records in [start, end)."""
        if start >= end:
            return
        consumer = self._own()
        consumer.assign([TopicPartition(topic, partition, start)])
        limit = time.monotonic() + self._settings.look_timeout
        try:
            while True:
                # record by record: consume() would wait for its whole time-out
                message = consumer.poll(max(0.0, limit - time.monotonic()))
                if message is None:
                    if time.monotonic() >= limit:
                        raise TimeoutError(f"{topic}/{partition}: offsets {start} to {end} could not be looked at")
                    continue
                error = message.error()
                if error is None:
                    offset = _offset(message)
                    if offset >= end:
                        return
                    yield offset
                    if offset == end - 1:
                        return
                elif error.code() == KafkaError._PARTITION_EOF:
                    if _offset(message) >= end:
                        return
                elif error.name() not in _PASSING:
                    raise KafkaException(error)
        finally:
            consumer.unassign()

    def end(self, topic: str, partition: int, position: int) -> tuple[int, tuple[int, int] | None]:
        """Committed end of a topic if inputs after `position` are still to be decided, else 0; and the first and last
        of those that were deleted. These count as undecided until the position has passed them.

        Not the bare end offset: behind the last record there may be markers only, which never arrive, and who waited
        for them would wait for ever.
        """
        begins, end = _watermarks(self._own(), topic, partition, self._settings.look_timeout)
        if begins > position + 1:
            return end, (position + 1, begins - 1)
        undecided = self._offsets(topic, partition, position + 1, end)
        return 0 if next(undecided, None) is None else end, None

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
