"""The transactional producer of one partition: everything that follows from a batch, or nothing.

Its transactional id is the partition's, so taking it (`fence`) ends whatever an earlier owner left open and refuses all
that it tries later. A refused or failed commit is not retried and not undone here: the process ends, and the next owner
reads from the broker which of the two it was.
"""

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaException, Producer

from roles.steps import passing
from schemas.topics import DEAD_LETTERS
from streams.keeper import Outgoing, ShellSettings
from streams.positions import encode, is_reserved, position_key

_QUEUED_RECORDS = 2_000_000  # a batch is bounded by the shell, so librdkafka's own bound must never be met first
_QUEUED_KILOBYTES = 1_048_576
_RECORD_BYTES = DEAD_LETTERS.max_bytes  # the most that any topic takes of us; librdkafka's own is less than they take


class Transactions:
    """One partition's transactions. Blocking: call it from a thread."""

    __slots__ = ("_partition", "_producer", "_settings")

    def __init__(self, settings: ShellSettings, partition: int) -> None:
        self._settings = settings
        self._partition = partition
        self._producer = Producer(
            {
                **dict(settings.kafka),
                "bootstrap.servers": settings.bootstrap,
                "transactional.id": settings.transactional_id(partition),
                "transaction.timeout.ms": int(settings.transaction_timeout * 1000),
                "linger.ms": 2,
                "message.max.bytes": _RECORD_BYTES,
                "compression.type": settings.compression,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": _QUEUED_RECORDS,
                "queue.buffering.max.kbytes": _QUEUED_KILOBYTES,
            }
        )

    def fence(self) -> None:
        """Take the partition over: from the return on, no earlier owner can commit.

        Exactly once in the life of this object, and before the table is read: a second time would give a stale state
        its right to commit back. Raises KafkaException.
        """
        self._producer.init_transactions(self._settings.transaction_timeout)

    def commit(
        self, outgoing: Iterable[Outgoing], changes: Mapping[bytes, bytes | None], positions: Mapping[str, int]
    ) -> None:
        """Send and commit records, changed values and the position. Raises KafkaException, above all when fenced."""
        produce, partition, table = self._producer.produce, self._partition, self._settings.table
        for key in changes:
            if is_reserved(key):
                raise ValueError(f"table: key {key!r} is reserved for the shell")
        self._producer.begin_transaction()
        passing("transaction begun", len(changes))
        for record in outgoing:
            target = partition if record.partition is None else record.partition
            if record.headers:
                produce(record.topic, record.value, record.key, target, headers=list(record.headers))
            else:
                produce(record.topic, record.value, record.key, target)
        for key, value in changes.items():
            produce(table, value, key, partition)
        produce(table, encode(positions), position_key(partition), partition)
        passing("written", len(changes), before=self._producer.flush)
        self._producer.commit_transaction(self._settings.transaction_timeout)


def is_fenced(error: BaseException) -> bool:
    """Whether the broker refused because the partition has another owner by now."""
    if not isinstance(error, KafkaException):
        return False
    return error.args[0].name() in {"_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"}
