"""What retention deleted before the sink had read it. It is gone; this sees to it that nobody takes the rest for all.

An offset that never came is mostly a transaction's marker, or a record of one that was aborted. Only the first offset
that the broker still has tells the difference, and it is asked for once a batch, when there was a jump at all.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.clickhouse.batch import Partition
from roles.stuck import Broker

SECONDS: Final = 10.0

Starts = Callable[[Iterable[Partition]], Mapping[Partition, int]]
"""For each partition an offset: where the log begins, or where this group's position is (negative: nowhere)."""


class Unanswered(Exception):
    """The broker did not tell what it still has. Worth another attempt."""


class Gap(NamedTuple):
    """Offsets of a partition that were deleted unread, both ends included; markers of transactions count as well."""

    topic: str
    partition: int
    first: int
    last: int


class _Jump(NamedTuple):
    place: Partition
    expected: int | None  # None: the first record since the assignment, so the group's position tells
    arrived: int


class Overtaken:
    """Follows the offsets of one member's partitions. `begins` and `positions` ask the broker and raise Unanswered."""

    def __init__(self, begins: Starts, positions: Starts) -> None:
        self._begins, self._positions = begins, positions
        self._next: dict[Partition, int] = {}
        self._jumps: list[_Jump] = []

    def forget(self) -> None:
        """There is another assignment: who owns a partition now finds its gaps by the group's position."""
        self._next.clear()
        self._jumps.clear()

    def arrived(self, place: Partition, offset: int) -> None:
        """A record came."""
        expected = self._next.get(place)
        if expected != offset:
            self._jumps.append(_Jump(place, expected, offset))
        self._next[place] = offset + 1

    def gaps(self) -> list[Gap]:
        """What was deleted in the jumps since the last call. Raises Unanswered; then the next call asks again."""
        if not self._jumps:
            return []
        unknown = {jump.place for jump in self._jumps if jump.expected is None}
        positions = self._positions(unknown) if unknown else {}
        jumps = []
        for place, expected, arrived in self._jumps:
            start = positions.get(place, -1) if expected is None else expected
            if 0 <= start < arrived:
                jumps.append((place, start, arrived))
        begins = self._begins({place for place, _, _ in jumps}) if jumps else {}
        self._jumps.clear()
        return [
            Gap(*place, start, min(arrived, begins[place]) - 1)
            for place, start, arrived in jumps
            if start < begins[place]
        ]


def begins(broker: Broker) -> Starts:
    """Where the logs begin, as the broker says."""

    def ask(places: Iterable[Partition]) -> dict[Partition, int]:
        try:
            return broker.begins(places)
        except KafkaException as error:
            raise Unanswered(f"Kafka does not say where its logs begin: {error}") from error

    return ask


def positions(consumer: Consumer) -> Starts:
    """What the group has committed."""

    def ask(places: Iterable[Partition]) -> dict[Partition, int]:
        try:
            told = consumer.committed([TopicPartition(*place) for place in places], timeout=SECONDS)
        except KafkaException as error:
            raise Unanswered(f"Kafka does not say what was committed: {error}") from error
        failed = [each.error for each in told if each.error is not None]
        if failed:
            raise Unanswered(f"Kafka does not say what was committed: {failed[0]}")
        return {(each.topic, each.partition): each.offset for each in told}

    return ask
