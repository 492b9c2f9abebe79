"""The table's store: one dict a partition, living and dying with that partition's transactional producer.

Why not Faust's own: it knows a key's partition only from recovery, keeps what it lost, and recovers a record at a time.
Here fence and load belong together. A worker that woke from a long stop gets its old partitions back and Faust calls
none of them new, yet its dict is stale; so the question is never "is it newly assigned?" but "have I a live producer?",
and a producer is fenced exactly once, before its dict is read. What kept a stale dict has a producer that was fenced
since, and ends at its first commit.

In Faust's rebalance hook only the fence and the end offset are taken: the group's heartbeat rests while the hook runs,
and a load longer than the session would cost the membership. The load goes on beside, awaited before input resumes.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from faust.stores import STORES
from faust.stores.memory import Store as MemoryStore
from faust.types import TP, EventT

from streams.keeper import Keeper, KeeperFactory, ShellSettings
from streams.readers import TableReader
from streams.status import ShellStatus
from streams.transactions import Transactions

_SCHEME = "bulk"


@dataclass(slots=True, eq=False)
class Partition:
    """One owned partition: its producer, its committed values, its position, its keeper."""

    number: int
    transactions: Transactions
    values: dict[bytes, bytes] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    keeper: Keeper | None = None
    loading: asyncio.Future[None] | None = None
    dropped: bool = False
    deleted: dict[str, tuple[int, int]] = field(default_factory=dict)  # by topic: unread inputs, as a tick found

    @property
    def loaded(self) -> bool:
        return self.keeper is not None

    def apply(self, changes: Mapping[bytes, bytes | None], positions: dict[str, int]) -> None:
        """Take over what has been committed."""
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        self.positions = positions
        self.deleted = {}


class Partitions:
    """The partitions this worker owns. Used from the loop alone; blocking parts run in its threads."""

    def __init__(self, settings: ShellSettings, make_keeper: KeeperFactory, status: ShellStatus) -> None:
        self.settings = settings
        self._make_keeper = make_keeper
        self._status = status
        self._reader = TableReader(settings)
        self._owned: dict[int, Partition] = {}
        self._ends: dict[int, int] = {}
        self.threads = ThreadPoolExecutor(max_workers=max(4, min(settings.partitions, 32)), thread_name_prefix="shell")

    def get(self, number: int) -> Partition | None:
        return self._owned.get(number)

    def note_deleted(self, deleted: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        """By topic and partition, the first and last of inputs that were deleted unread."""
        for (topic, number), gone in deleted.items():
            if number in self._owned:
                self._owned[number].deleted[topic] = gone

    def owned(self) -> list[Partition]:
        return list(self._owned.values())

    def end(self, number: int) -> int:
        """End offset of an owned partition of the table as of the last rebalance."""
        return self._ends[number]

    async def own(self, numbers: set[int]) -> None:
        """Own exactly these: drop the others with their producers, fence and begin to load the new ones.

        Raises KafkaException or TimeoutError; then nothing may be decided any more.
        """
        for number in self._owned.keys() - numbers:
            self._drop(number)
        new = numbers - self._owned.keys()
        loop = asyncio.get_running_loop()
        taken = await asyncio.gather(
            *(loop.run_in_executor(self.threads, self._take, number) for number in sorted(new)), return_exceptions=True
        )
        for result in taken:
            if isinstance(result, BaseException):
                raise result
            self._owned[result.number] = result
        self._ends = await loop.run_in_executor(self.threads, self._reader.ends, list(self._owned))
        for number in new:
            partition = self._owned[number]
            partition.loading = loop.run_in_executor(self.threads, self._load, partition, self._ends[number])

    async def loaded(self) -> None:
        """Wait until every owned partition is loaded. Raises what a load raised."""
        for partition in self.owned():
            if partition.loading is not None:
                # shielded: the next rebalance cancels who waits, not the load
                await asyncio.shield(partition.loading)

    def _drop(self, number: int) -> None:
        partition = self._owned.pop(number)
        partition.dropped = True
        # letting go of a producer joins its threads: not on the loop
        self.threads.submit(_let_go, partition)

    def _take(self, number: int) -> Partition:
        transactions = Transactions(self.settings, number)
        transactions.fence()
        return Partition(number, transactions)

    def _load(self, partition: Partition, end: int) -> None:
        began = time.monotonic()
        self._reader.check_ended(partition.number, end)
        found = self._reader.load(partition.number, end, lambda: partition.dropped)
        if found is None:
            return
        partition.values, partition.positions = found
        partition.keeper = self._make_keeper(partition.number, MappingProxyType(partition.values))
        self._status.metrics.load_seconds.observe(time.monotonic() - began)
        self._status.metrics.loaded_values.inc(len(partition.values))


def _let_go(partition: Partition) -> None:
    del partition


class Store(MemoryStore[bytes, bytes]):
    """What Faust sees of it: a table that never has anything left to recover."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.options:
            raise ValueError("store: the table needs options={'partitions': ...}")
        self._partitions: Partitions = self.options["partitions"]

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        settings = self._partitions.settings
        by_topic = {topic: {tp.partition for tp in assigned if tp.topic == topic} for topic in settings.inbox}
        numbers = by_topic[settings.ticks]
        for topic, found in by_topic.items():
            if found != numbers:
                raise RuntimeError(f"assignment: {topic} has partitions {found}, {settings.ticks} has {numbers}")
        await self._partitions.own(numbers)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing: the memory store would look for foreign keys here."""

    def persisted_offset(self, tp: TP) -> int | None:
        """The last offset there is, marker or not: waiting for a record at it could be for ever."""
        return self._partitions.end(tp.partition) - 1

    def apply_changelog_batch(
        self, batch: Iterable[EventT[Any]], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Nothing: the load has read everything up to the end that the fence fixed."""


def register() -> str:
    """Make the store known to Faust; returns the URL to give to a table."""
    STORES[_SCHEME] = f"{__name__}:{Store.__name__}"
    return f"{_SCHEME}://partitions"  # without a host the URL is falsy, and Faust takes its default store
