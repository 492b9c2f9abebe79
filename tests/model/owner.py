"""One owner of one partition, of devices or of cells: the real keeper, between a modelled broker and a modelled table.

It does what `streams/shell.py` does: records in order of their topic, each once by the position that is committed with
what follows from it; whatever was not committed never happened, and the next owner begins from the table.
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from schemas import topics
from schemas.partition import partition_of
from schemas.topics import Topic
from streams.cell import keeper as cell
from streams.cell.limits import CellLimits
from streams.device import keeper as device
from streams.device.limits import Limits
from streams.keeper import Keeper, Outgoing, Received
from tests.model.broker import Broker
from tests.model.moves import PARTITIONS

K = TypeVar("K", bound=Keeper)


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


class Owner(Generic[K]):
    """`inbox`: the topics it reads. `watched`: those of them whose ends its ticks tell. `skew`: of its clock, ms."""

    def __init__(
        self, partition: int, table: Table, keeper: K, inbox: tuple[Topic, ...], watched: tuple[Topic, ...], skew: int
    ) -> None:
        self.partition, self.keeper, self.skew = partition, keeper, skew
        self._table, self._inbox, self._watched = table, inbox, watched
        self.looked: tuple[int, tuple[int, ...]] | None = None  # when, and the ends that a tick would have told
        self._deleted: dict[str, int] = {}  # by topic: the last of what a look found deleted unread

    def behind(self, broker: Broker) -> list[Topic]:
        """The topics in which something is to be read."""
        return [topic for topic in self._inbox if self._unread(broker, topic)]

    def look(self, broker: Broker, now: int) -> tuple[int, ...]:
        """The ends of what is watched as a tick says them, remembered for a tick made from an older look."""
        ends = tuple(broker.end(topic, self.partition, self._position(topic)) for topic in self._watched)
        self.looked = now, ends
        for topic in self._watched:
            if broker.begins(topic, self.partition) > self._position(topic) + 1:
                self._deleted[topic.name] = broker.begins(topic, self.partition) - 1
        return ends

    def decide(self, broker: Broker, most: int, order: int) -> Batch | None:
        """A batch decided; None when there is nothing to read."""
        inputs = [record for topic in self._inbox for record in self._unread(broker, topic)[:most]]
        if not inputs:
            return None
        ranks = [topic.name for topic in self._inbox]
        if order == 0:
            inputs.sort(key=lambda record: record.timestamp)
        else:  # one topic before the others: nothing says in which order Faust brings them
            inputs.sort(key=lambda record: (ranks.index(record.topic) + order) % len(ranks))
        positions = dict(self._table.positions)
        read = {record.topic for record in inputs}
        for topic in self._inbox:
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

    def _position(self, topic: Topic) -> int:
        return self._table.positions.get(topic.name, -1)

    def _unread(self, broker: Broker, topic: Topic) -> list[Received]:
        return broker.read(topic, self.partition, self._position(topic))


def of_devices(partition: int, table: Table, limits: Limits, now: int, skew: int) -> Owner[device.Partition]:
    """One that begins now."""
    values = MappingProxyType(table.values)
    keeper = device.Partition(partition, values, _partition_of, limits, since=now + skew)
    watched = topics.JOB_RESULTS, topics.DEVICE_MESSAGES
    return Owner(partition, table, keeper, topics.DEVICE_INBOX, watched, skew)


def of_cells(
    partition: int, table: Table, limits: CellLimits, now: int, skew: int, counts: cell.Counts
) -> Owner[cell.Partition]:
    """One that begins now."""
    values = MappingProxyType(table.values)
    keeper = cell.Partition(partition, values, _partition_of, limits, now + skew, counts)
    return Owner(partition, table, keeper, topics.CELL_INBOX, (), skew)


def _partition_of(key: bytes) -> int:
    return partition_of(key, PARTITIONS)
