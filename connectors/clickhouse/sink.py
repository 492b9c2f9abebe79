"""The sink: a batch of records into ClickHouse, whole and once, then the commit.

    python -m connectors.clickhouse.sink

Order is everything: insert, dead letters, ledger, gaps, commit. Whatever dies in between, the records come again, and
their rows are known again by token or by key. Who refuses decides what follows: a server that is away or overloaded is
waited for, as long as it takes; content it refuses is halved until the culprit is alone, and that one is set aside.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, Final, Protocol

import structlog
from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ServerException, TooLargeStringSize, TypeMismatchError

from connectors.clickhouse import meters
from connectors.clickhouse.batch import COLUMNS, Batch, Record
from connectors.clickhouse.feed import DeadLetters, Feed, Undelivered
from connectors.clickhouse.overtaken import Gap, Unanswered
from connectors.clickhouse.queries import away
from connectors.clickhouse.rows import Row
from roles.steps import passing

log = structlog.get_logger()

# What the content of an insert can be guilty of; every other refusal is the server's own trouble, or the schema's.
CONTENT: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        36,  # BAD_ARGUMENTS: a packed column of odd length
        41,  # CANNOT_PARSE_DATETIME
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH: packed columns of different lengths
        248,  # INVALID_PARTITION_VALUE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
# The driver itself could not write a value the way its column wants it.
UNWRITABLE: Final = (TypeMismatchError, TooLargeStringSize, TypeError, ValueError, OverflowError, struct.error)
INSERT_SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,  # the batch is ours to cut, and its token names it
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,  # the tables are fed by views; older servers default to 0
    "max_partitions_per_insert_block": 1_000,  # monthly reads of many years
    "strings_as_bytes": True,
}
BACK_OFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Refused(Exception):
    """The server refuses the content."""


class Away(Exception):
    """The server cannot be reached, or cannot store anything now. Worth another attempt."""


class Stopped(Exception):
    """The role was asked to end while it waited; the batch is not committed and comes again."""


class Store(Protocol):
    """Where rows go."""

    def insert(self, table: str, rows: Sequence[Row], token: str) -> None: ...

    def away(self) -> str: ...


class Target:
    """ClickHouse, one connection, opened when needed. `connection` goes to the driver (user, password, secure ...)."""

    def __init__(self, host: str, port: int, *, database: str = "default", **connection: Any) -> None:
        self._where = f"{host}:{port}"
        self._connection = {"host": host, "port": port, "database": database, **connection}
        self._client = Client(
            client_name="meterlog-sink",
            connect_timeout=5,
            send_receive_timeout=90,  # a batch takes less than the feed's REJOIN_MS, or its group goes on without it
            settings=dict(INSERT_SETTINGS),
            **self._connection,
        )

    def insert(self, table: str, rows: Sequence[Row], token: str) -> None:
        """Insert rows under a token, all or none. Raises Refused (content), Away (anything else)."""
        query = f"INSERT INTO {table} ({', '.join(COLUMNS[table])}) VALUES"  # noqa: S608 - names of our own
        columns = list(zip(*rows, strict=True))
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
        try:
            self._client.execute(query, columns, columnar=True, settings=settings)
        except BaseException as error:
            self.close()  # whatever lies half-sent on the connection
            if isinstance(error, ServerException):
                kind = Refused if error.code in CONTENT else Away
                raise kind(f"{table}: ClickHouse code {error.code}: {_first_line(error)}") from error
            if isinstance(error, UNWRITABLE):
                raise Refused(f"{table}: {type(error).__name__} {_first_line(error)}") from error
            if isinstance(error, (Error, OSError, EOFError)):
                raise Away(f"ClickHouse at {self._where} is away: {_first_line(error)}") from error
            raise

    def away(self) -> str:
        """Why the server does not answer a question, on a connection of its own; empty when it does. Any thread."""
        return away(**self._connection)

    def close(self) -> None:
        """Drop the connection; the next insert opens another."""
        with contextlib.suppress(Exception):
            self._client.disconnect()


@dataclass(slots=True)
class Limits:
    """When a batch is full."""

    records: int = 5_000
    seconds: float = 1.0
    bytes: int = 64 * 2**20


@dataclass(slots=True)
class Sink:
    """Moves batches until `stop` is set. `waiting_for` says why it cannot, None when it can."""

    feed: Feed
    target: Store
    dead_letters: DeadLetters
    limits: Limits = field(default_factory=Limits)
    stop: Event = field(default_factory=Event)
    waiting_for: str | None = None
    batches: int = 0  # stored, and their positions to be committed
    turned_at: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Consume until stopped. Raises KafkaException when the Kafka client is lost for good: the role starts anew."""
        try:
            while not self.stop.is_set():
                records = self.feed.take(self.limits.records, self.limits.seconds, self.limits.bytes)
                self.turned_at = time.monotonic()
                if records:
                    self.store(Batch.of(records))
                for topic, behind in self.feed.lag().items():
                    meters.LAG.labels(topic).set(behind)
        except Stopped:
            log.info("stopped while waiting; the batch in hand comes again", reason=self.waiting_for)

    def store(self, batch: Batch) -> None:
        """Insert, dead letters, ledger, what was overtaken, commit."""
        begun = time.monotonic()
        for name in list(batch.tables):
            self._patiently(partial(self._insert, batch, name))
        at = time.time_ns() // 1_000_000
        if batch.aside:
            self._patiently(partial(self.dead_letters.send, batch, at))
            token = batch.token("set_aside_in", sorted(batch.aside))
            self._patiently(partial(self.target.insert, "set_aside_in", batch.reasons(at), token))
        token = batch.token("sink_batches_in", range(len(batch.records)))
        self._patiently(partial(self.target.insert, "sink_batches_in", batch.ledger(at), token))
        self._tell_gaps(at)
        self.feed.commit(batch.ends(), len(batch.records))
        self.batches += 1
        meters.count(batch, time.monotonic() - begun)
        self.turned_at = time.monotonic()

    def _tell_gaps(self, at: int) -> None:
        """Write down what was deleted before this batch, before its commit passes over it. `at`: milliseconds."""
        found: list[Gap] = []
        self._patiently(lambda: found.extend(self.feed.overtaken.gaps()))
        if not found:
            return
        rows: list[Row] = [(gap.topic.encode(), gap.partition, gap.first, gap.last, at) for gap in found]
        token = f"overtaken_in:{found}"
        self._patiently(partial(self.target.insert, "overtaken_in", rows, token))
        for gap in found:
            count = gap.last - gap.first + 1
            meters.OVERTAKEN.labels(gap.topic).inc(count)
            log.error("retention deleted what was not read yet", **gap._asdict(), offsets=count)

    def _insert(self, batch: Batch, name: str) -> None:
        """All rows of one table, halved when they are refused; a record that is refused alone is set aside.

        Raises Away; another attempt halves in the same places, so what was stored is known by its token.
        """
        table = batch.tables[name]
        waiting = [range(len(table.rows))]
        while waiting:
            part = waiting.pop()
            records = table.records[part.start : part.stop]
            token = batch.token(name, dict.fromkeys(records))
            try:
                with meters.INSERT_SECONDS.labels(name).time():
                    self.target.insert(name, table.rows[part.start : part.stop], token)
                passing("row inserted", len(part))
            except Refused as error:
                if records[0] == records[-1]:
                    batch.set_aside(records[0], str(error))
                else:
                    middle = _between_records(table.records, part)
                    waiting += [range(middle, part.stop), range(part.start, middle)]

    def _patiently(self, act: Callable[[], None]) -> None:
        """Until it succeeds, however long the servers are away, staying in the consumer group. Raises Stopped."""
        attempt = 0
        while True:
            try:
                act()
            except (Away, Undelivered, Unanswered) as error:
                self.waiting_for = str(error)
                pause = BACK_OFF_SECONDS[min(attempt, len(BACK_OFF_SECONDS) - 1)]
                attempt += 1
                meters.RETRIES.inc()
                log.warning("waiting", reason=self.waiting_for, attempt=attempt, seconds=pause)
                until = time.monotonic() + pause
                while time.monotonic() < until:
                    if self.stop.is_set():
                        raise Stopped from error
                    self.feed.stay(min(0.5, pause))
                continue
            if self.waiting_for is not None:
                log.info("going on", after_attempts=attempt)
                self.waiting_for = None
            return


def _between_records(records: Sequence[int], part: range) -> int:
    """A row near the middle of `part` that begins a record: a record's rows are never parted."""
    middle = (part.start + part.stop) // 2
    down, up = middle, middle
    while down > part.start and records[down] == records[down - 1]:
        down -= 1
    if down > part.start:
        return down
    while records[up] == records[up - 1]:
        up += 1
    return up


def _first_line(error: BaseException) -> str:
    text = str(getattr(error, "message", "") or error)
    return text.split("\n", 1)[0].split(" Stack trace:", 1)[0][:300]


def main() -> None:
    """Run the role with settings from the environment until TERM or INT."""
    from connectors.clickhouse import role

    role.run()


__all__ = ["Away", "Limits", "Record", "Refused", "Sink", "Store", "Target", "main"]

if __name__ == "__main__":
    main()
