"""Send commands and await their outcomes from Python: what the command line, the demo and any Python upstream use.

A command is one Avro record on the `commands` topic; its outcome is one record on `responses` with the same
correlation id. Nothing here is needed by other languages: `docs/records.md` says what the bytes are.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from operations import build_request
from schemas import codec, headers
from schemas.records import CommandHeader, ResponseHeader
from schemas.topics import COMMANDS, RESPONSES

DELIVERY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2


class NotDelivered(Exception):
    """The broker did not take a command: nothing of it has happened."""


@dataclass(frozen=True, slots=True)
class Response:
    """The terminal outcome of one command: its header, and the operation's result as plain values."""

    header: ResponseHeader
    result: dict[str, Any] | None


class Upstream:
    """An upstream system.

    Open it before sending: responses are read from the end of the topic as it was when it was opened.
        Use as a context manager. Raises KafkaException when the broker cannot be reached within `timeout` seconds.
    """

    def __init__(self, bootstrap: str, *, requester: str = "python", timeout: float = 15.0) -> None:
        self._requester = requester
        self._failed: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",  # a device's commands belong to the partition Java's partitioner gives
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"meterlog-upstream-{uuid4()}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "latest",
            }
        )
        try:
            self._assign(timeout)
        except BaseException:
            self._consumer.close()
            raise

    def _assign(self, timeout: float) -> None:
        topic = self._consumer.list_topics(RESPONSES.name, timeout=timeout).topics[RESPONSES.name]
        if topic.error is not None:
            raise KafkaException(topic.error)
        places = []
        for partition in topic.partitions:
            places.append(TopicPartition(RESPONSES.name, partition, self._end(partition, timeout)))
        self._consumer.assign(places)

    def _end(self, partition: int, timeout: float) -> int:
        """The end of a partition of `responses`; a broker that is just taking it over is asked again."""
        until = time.monotonic() + timeout
        while True:
            try:
                _, end = self._consumer.get_watermark_offsets(
                    TopicPartition(RESPONSES.name, partition), timeout=timeout
                )
                return end
            except KafkaException:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.flush(DELIVERY_SECONDS)
        self._consumer.close()

    @staticmethod
    def now() -> int:
        """Milliseconds since the epoch: what `created_at`, `scheduled_at` and `expires_at` count in."""
        return time.time_ns() // 1_000_000

    def send(self, operation: str, device_id: str, request: object, **options: Any) -> str:
        """Hand the command to the producer; gives its correlation id.

        `request` is the operation's own Request, or a mapping of its fields, checked here; `options` are fields of
        CommandHeader: correlation_id, priority, scheduled_at, expires_at, bypass_retry. Raises Rejected, naming the
        field, before anything is sent. Call `flush` to know that the broker has taken it.
        """
        checked = build_request(operation, request) if isinstance(request, Mapping) else request
        header = CommandHeader(
            correlation_id=options.pop("correlation_id", None) or str(uuid4()),
            device_id=device_id,
            created_at=self.now(),
            requester=options.pop("requester", self._requester),
            **options,
        )
        while True:
            try:
                self._producer.produce(
                    COMMANDS.name,
                    key=device_id.encode(),
                    value=codec.encode_command(operation, header, checked),
                    headers=[*headers.for_command(operation, header)],
                    on_delivery=self._delivered,
                )
                break
            except BufferError:  # the local queue is full: wait until some of it has gone
                self._producer.poll(POLL_SECONDS)
        self._producer.poll(0)
        return header.correlation_id

    def flush(self) -> None:
        """Wait until the broker has every command.

        Raises NotDelivered, saying why, when it has not. To send those again under the same correlation ids is safe.
        """
        left = self._producer.flush(DELIVERY_SECONDS)
        failed, self._failed = self._failed, []
        if left or failed:
            reason = failed[0] if failed else f"no answer from the broker within {DELIVERY_SECONDS:.0f} s"
            raise NotDelivered(f"{left + len(failed)} command(s) were not taken: {reason}")

    def responses(self, timeout: float) -> Iterator[Response]:
        """Every response as it arrives, anybody's, until none came for `timeout` seconds."""
        quiet_at = time.monotonic() + timeout
        while time.monotonic() < quiet_at:
            for message in self._arrived():
                response = _response(_value(message))
                if response is not None:
                    quiet_at = time.monotonic() + timeout
                    yield response

    def await_response(self, correlation_id: str, timeout: float) -> Response:
        """The outcome of one command.

        Raises TimeoutError after `timeout` seconds; the command goes on all the same.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for message in self._arrived():
                value = _value(message)
                response = _response(value) if _is_for(message, correlation_id) else None
                if response is not None:
                    return response
        raise TimeoutError(f"no response to {correlation_id} within {timeout:.0f} s; it may still come")

    def _arrived(self) -> list[Message]:
        """What has come: the first message as soon as it is there, and all that lies behind it.

        `consume` alone would wait for its time to be over.
        """
        first = self._consumer.poll(POLL_SECONDS)
        return [] if first is None else [first, *self._consumer.consume(1_000, 0)]

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(error.str())


def _value(message: Message) -> bytes | None:
    error = message.error()
    if error is not None:
        if error.retriable() or error.code() == KafkaError._PARTITION_EOF:
            return None
        raise KafkaException(error)
    value = message.value()
    return value if isinstance(value, bytes) else None


def _response(value: bytes | None) -> Response | None:
    """None when there is none, or nobody can read it: the sink sets such a record aside."""
    try:
        return Response(*codec.decode_response(value)) if value is not None else None
    except codec.Unreadable:
        return None


def _is_for(message: Message, correlation_id: str) -> bool:
    """Told by the header, so that responses to others are not decoded."""
    return headers.read(message.headers()).correlation_id == correlation_id  # type: ignore[arg-type]
