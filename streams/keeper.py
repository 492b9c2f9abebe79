"""The contract between the shell and the pure core.

It is a file of its own so that the core can be written and tested without Faust, a broker or a clock: the shell
imports it, the core implements it, neither knows the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from schemas._quick import quick

Headers = tuple[tuple[str, bytes], ...]

NEVER: Final = 1 << 62  # ms since the epoch: no time is waited for


@quick
@dataclass(frozen=True, slots=True)
class Received:
    """One record of the inbox.

    A null key or value arrives as empty bytes: neither can carry anything the core could read, and both are answered
    the same way.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Append time in milliseconds since the epoch, if the topic says `message.timestamp.type=LogAppendTime`."""
    key: bytes
    value: bytes
    headers: Headers


@quick
@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to send inside the transaction of the batch."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    partition: int | None = None
    """None is the partition of the input: where every derived record belongs."""


class Keeper(Protocol):
    """The state of one partition, made anew whenever the partition is loaded.

    It is used from one thread at a time. After a commit that failed it is not asked again: the process ends.
    """

    def receive(self, received: Received) -> None:
        """Decide, evolve, collect. Pure; never raises for anything that can arrive: what raises ends the process."""

    @property
    def wake(self) -> int:
        """From when on the time is news, in ms since the epoch: a tick is sent then, before its interval is over."""

    def pass_over(self, topic: str, last: int, at: int) -> None:
        """Records of a topic up to offset `last` were deleted before anybody read them. Called before any later record
        of the batch is received; `at`: ms, as the time of the decisions that follow. Pure, and never raises, either.
        """

    def settle(self) -> tuple[list[Outgoing], dict[bytes, bytes | None]]:
        """Dispatch at the end of a batch; return all records and all changed values (None removes the key)."""


KeeperFactory = Callable[[int, Mapping[bytes, bytes]], Keeper]
"""(partition, values of the table) -> Keeper. The mapping is a read-only view of the committed values and stays
current, so a keeper may decode a value when it first needs it. Called in a thread, while nothing else runs on the
partition."""

MakeTick = Callable[[int, int, int, Mapping[str, int]], bytes]
"""(partition, now in ms since the epoch, seed, {watched topic: end}) -> value of a tick record. `end` is the committed
end of the topic when records of it were still to be decided at that time: they are once the keeper has received
offset end - 1, or at the latest when a later tick says 0. It is 0 when none were."""


@dataclass(frozen=True, slots=True)
class ShellSettings:
    """What a shell needs to know. Times in seconds unless said otherwise."""

    application: str
    """Consumer group, and the stem of every transactional id."""
    bootstrap: str
    inbox: tuple[str, ...]
    """Topics with `partitions` partitions each; the ticks topic is one of them."""
    table: str
    """Compacted changelog topic with `partitions` partitions. It exists already, as do all topics."""
    ticks: str
    watched: tuple[str, ...]
    """Inbox topics whose end a tick carries."""
    make_tick: MakeTick
    partitions: int
    outputs: tuple[str, ...] = ()
    """Topics whose partition p nobody but the shell of partition p writes transactions to, besides the table."""
    tick_interval: float = 1.0
    tick_soonest: float = 0.1
    """After the one before, for a keeper that waits for a time that has come."""
    session_timeout: float = 10.0
    batch_size: int = 2_000
    batch_within: float = 0.01
    transaction_timeout: float = 30.0
    """A batch that cannot be committed for this long ends the process."""
    look_timeout: float = 10.0
    """A gap that cannot be explained for this long ends the process."""
    compression: str = "lz4"
    kafka: tuple[tuple[str, str], ...] = ()
    """Further librdkafka settings for every client of the shell but Faust's own."""

    def __post_init__(self) -> None:
        if self.ticks not in self.inbox:
            raise ValueError(f"ticks: {self.ticks!r} is not one of the inbox topics {self.inbox}")
        for topic in self.watched:
            if topic not in self.inbox:
                raise ValueError(f"watched: {topic!r} is not one of the inbox topics {self.inbox}")
        if self.table in self.inbox:
            raise ValueError(f"table: {self.table!r} cannot be an inbox topic as well")
        if self.partitions < 1:
            raise ValueError(f"partitions: {self.partitions} is less than 1")

    def transactional_id(self, partition: int) -> str:
        """The one name under which a partition's transactions run: whoever takes it fences all others."""
        return f"{self.application}-{partition}"
