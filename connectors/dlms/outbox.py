"""What leaves a worker for Kafka: each record until the broker has it, whatever that takes.

One idempotent producer, acknowledged by all replicas. `deliver` returns when the record is there, and where; a broker
that is away makes it wait, turns `stuck` true (and so readiness false), and is never an error. Only a record that no
broker would ever take raises.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

PATIENCE: Final = 10.0
"""Seconds a record may wait for its acknowledgement before the outbox counts as stuck."""

_PAUSE: Final = 0.2  # seconds between attempts, doubled up to:
_LONGEST_PAUSE: Final = 5.0
_NEVER: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)

_log = structlog.get_logger(__name__)

Headers = Sequence[tuple[str, str | bytes | None]]


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Undeliverable(Exception):
    """No broker will ever take this record: it is too large, or not one."""


class Outbox:
    """The producer of one process. Made and used on the event loop; `close` flushes."""

    def __init__(self, settings: Mapping[str, str | int]) -> None:
        self._settings = {
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
            "linger.ms": 5,
            "message.max.bytes": 16 * 1_048_576,
            **settings,
        }
        self._producer = Producer(self._settings)
        self._waiting: dict[int, float] = {}
        self._numbers = itertools.count()
        self._closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="outbox", daemon=True)
        self._poller.start()

    @property
    def stuck(self) -> bool:
        """Whether a record has waited longer than PATIENCE."""
        oldest = next(iter(self._waiting.values()), None)
        return oldest is not None and time.monotonic() - oldest > PATIENCE

    @property
    def waiting(self) -> int:
        """Records not yet acknowledged."""
        return len(self._waiting)

    async def deliver(
        self, topic: str, key: str | bytes, value: bytes, *, partition: int | None = None, headers: Headers = ()
    ) -> Place:
        """Send, and return where it lies once all replicas have it. Raises Undeliverable."""
        number, pause = next(self._numbers), _PAUSE
        self._waiting[number] = time.monotonic()
        try:
            while True:
                producer = self._producer
                try:
                    return await self._attempt(producer, topic, key, value, partition, headers)
                except BufferError:
                    pass  # the queue is full: it empties when the broker takes
                except KafkaException as caught:
                    error: KafkaError = caught.args[0]
                    if error.code() in _NEVER:
                        raise Undeliverable(f"{topic}: {error.str()}") from None
                    _log.warning("not_delivered", topic=topic, error=error.name(), fatal=error.fatal())
                    if error.fatal():
                        self._replace(producer)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            del self._waiting[number]

    async def close(self, seconds: float) -> None:
        """Wait up to `seconds` for what is still on its way, then stop."""
        await asyncio.to_thread(self._producer.flush, seconds)
        self._closed.set()
        await asyncio.to_thread(self._poller.join, 2.0)

    async def _attempt(
        self,
        producer: Producer,
        topic: str,
        key: str | bytes,
        value: bytes,
        partition: int | None,
        headers: Headers,
    ) -> Place:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Place] = loop.create_future()

        def settle(error: KafkaError | None, place: Place) -> None:
            if done.done():  # who waited has gone
                return
            if error is None:
                done.set_result(place)
            else:
                done.set_exception(KafkaException(error))

        def delivered(error: KafkaError | None, message: object) -> None:
            where = Place(topic, message.partition(), message.offset())  # type: ignore[attr-defined]
            # The loop is closed only when nobody waits any more.
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, error, where)

        where = -1 if partition is None else partition
        producer.produce(topic, value, key, where, on_delivery=delivered, headers=list(headers))
        return await done

    def _replace(self, broken: Producer) -> None:
        """An idempotent producer does not survive a fatal error (librdkafka): go on with a new one."""
        if self._producer is broken:
            self._producer = Producer(self._settings)
            broken.purge()
            broken.flush(0)  # tells those who wait

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.1)
