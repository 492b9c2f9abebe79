"""One owner of one partition: the real keeper, between a modelled broker and a modelled table.

It does what `streams/shell.py` does: records in order of their topic, each once by the position that is committed with
what follows from it; whatever was not committed never happened, and the next owner begins from the table.
"""

from dataclasses import dataclass, field
from types import MappingProxyType

from schemas import topics
from schemas.partition import partition_of
from streams.device.keeper import Partition
from streams.device.limits import Limits
from streams.keeper import Outgoing, Received
from tests.model.broker import Broker

INBOX = topics.DEVICE_INBOX


@dataclass(slots=True)
class Table:
    """What is committed of one partition."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """What was decided of some inputs, not committed yet."""

    inputs: list[Received]
    records: list[Outgoing]
    values: dict[bytes, bytes | None]
    positions: dict[str, int]


class Owner:
    """`since`: its clock when it loaded the partition, ms."""

    def __init__(self, partition: int, partitions: int, table: Table, limits: Limits, since: int, skew: int) -> None:
        self.partition, self.skew = partition, skew
        self._table = table
        self.keeper = Partition(
            partition,
            MappingProxyType(table.values),
            lambda key: partition_of(key, partitions),
            limits,
            since=since,
        )
        self.looked: tuple[int, tuple[int, int]] | None = None  # when, and the ends that a tick would have told
        self._deleted: dict[str, int] = {}  # by topic: the last of what a look found deleted unread

    def behind(self, broker: Broker) -> bool:
        return any(self._unread(broker, topic) for topic in INBOX)

    def look(self, broker: Broker, now: int) -> tuple[int, int]:
        """The ends of results and messages as a tick says them, remembered for a tick made from an older look."""
        results, messages = (
            broker.end(topic, self.partition, self._position(topic))
            for topic in (topics.JOB_RESULTS, topics.DEVICE_MESSAGES)
        )
        self.looked = now, (results, messages)
        for topic in (topics.JOB_RESULTS, topics.DEVICE_MESSAGES):
            if broker.begins(topic, self.partition) > self._position(topic) + 1:
                self._deleted[topic.name] = broker.begins(topic, self.partition) - 1
        return results, messages

    def decide(self, broker: Broker, most: int, order: int) -> Batch | None:
        """A batch decided; None when there is nothing to read."""
        inputs = [record for topic in INBOX for record in self._unread(broker, topic)[:most]]
        if not inputs:
            return None
        ranks = [topic.name for topic in INBOX]
        if order == 0:
            inputs.sort(key=lambda record: record.timestamp)
        else:  # one topic before the others: nothing says in which order Faust brings them
            inputs.sort(key=lambda record: (ranks.index(record.topic) + order) % len(ranks))
        positions = dict(self._table.positions)
        read = {record.topic for record in inputs}
        for topic in INBOX:
            last = broker.begins(topic, self.partition) - 1 if topic.name in read else self._deleted.get(topic.name, -1)
            if last > positions.get(topic.name, -1):
                self.keeper.pass_over(topic.name, last, inputs[0].timestamp)
                positions[topic.name] = last
        self._deleted.clear()
        for record in inputs:
            self.keeper.receive(record)
            positions[record.topic] = record.offset
        records, values = self.keeper.settle()
        return Batch(inputs, records, values, positions)

    def commit(self, broker: Broker, batch: Batch, now: int) -> None:
        broker.commit(self.partition, batch.records, now)
        for key, value in batch.values.items():
            if value is None:
                self._table.values.pop(key, None)
            else:
                self._table.values[key] = value
        self._table.positions = batch.positions

    def _position(self, topic: topics.Topic) -> int:
        return self._table.positions.get(topic.name, -1)

    def _unread(self, broker: Broker, topic: topics.Topic) -> list[Received]:
        return broker.read(topic, self.partition, self._position(topic))
