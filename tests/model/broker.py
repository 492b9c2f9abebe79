"""A broker made of lists: committed records only, in order, with offsets that markers leave holes in."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from schemas import topics
from streams.keeper import Headers, Outgoing, Received


class Broker:
    """`markers`: whether results come in transactions too, so that the end of their topic is no record."""

    def __init__(self, *, markers: bool = False) -> None:
        self._markers = markers
        self._records: dict[tuple[str, int], list[Received]] = defaultdict(list)
        self._ends: dict[tuple[str, int], int] = defaultdict(int)
        self._begins: dict[tuple[str, int], int] = defaultdict(int)

    def append(
        self, topic: topics.Topic, partition: int, key: bytes, value: bytes, at: int, headers: Headers = ()
    ) -> Received:
        """A record of its own; `at` is its append time in ms."""
        record = self._put(topic.name, partition, key, value, at, headers)
        if self._markers and topic is topics.JOB_RESULTS:
            self._ends[topic.name, partition] += 1
        return record

    def commit(self, partition: int, records: Iterable[Outgoing], at: int) -> None:
        """One transaction: its records, then a marker wherever it wrote."""
        touched = set()
        for each in records:
            target = partition if each.partition is None else max(0, each.partition)
            self._put(each.topic, target, each.key, each.value, at, each.headers)
            touched.add((each.topic, target))
        for place in touched:
            self._ends[place] += 1

    def read(self, topic: topics.Topic, partition: int, after: int) -> list[Received]:
        """The records behind offset `after`."""
        records = self._records[topic.name, partition]
        first = max(after + 1, self.begins(topic, partition))
        return records[bisect_left(records, first, key=lambda record: record.offset) :]

    def begins(self, topic: topics.Topic, partition: int) -> int:
        """The first offset that is still there."""
        return self._begins[topic.name, partition]

    def forget(self, topic: topics.Topic, partition: int) -> None:
        """Retention takes everything."""
        self._begins[topic.name, partition] = self._ends[topic.name, partition]

    def end(self, topic: topics.Topic, partition: int, after: int) -> int:
        """What a tick says: the end, markers included, if a record behind `after` is there or was deleted, else 0."""
        undecided = self.begins(topic, partition) > after + 1 or self.read(topic, partition, after)
        return self._ends[topic.name, partition] if undecided else 0

    def _put(self, topic: str, partition: int, key: bytes, value: bytes, at: int, headers: Headers) -> Received:
        place = topic, partition
        record = Received(topic, partition, self._ends[place], at, key, value, headers)
        self._ends[place] += 1
        self._records[place].append(record)
        return record
