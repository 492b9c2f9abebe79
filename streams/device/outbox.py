"""What is sent: records in bytes with their Kafka headers, each to the partition of its input, but messages to that
of their receiver.

The headers are those of `schemas/headers.py`, put together here from parts that are encoded once: seven records leave
for each command, and their headers would otherwise cost more than its decision.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from schemas import codec, headers, topics
from schemas.records import DelegatedJob, Job, Notification
from streams.device.events import DeviceEvents
from streams.device.react import Response, Said
from streams.device.wire import encode_events
from streams.keeper import Headers, Outgoing, Received

SOURCE: Final = "meterlog/streams/device"
FORWARDED: Final = "meterlog-forwarded-from"
NO_PARTITION: Final = -1  # librdkafka's: the partitioner chooses, as `dead-letters` has its own number of partitions
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Pair = tuple[str, bytes]
_HEAD: Final[tuple[_Pair, ...]] = (
    ("content-type", headers.CONTENT_TYPE.encode()),
    ("ce_specversion", headers.SPEC_VERSION.encode()),
    ("ce_source", SOURCE.encode()),
)


def logged(key: bytes, decision: DeviceEvents, partition: int, traceparent: bytes | None) -> Outgoing:
    """A record of the log. Its CloudEvents id names device and version, or for version 0 the message."""
    name = f"{decision.device_id}@{decision.version}" if decision.version else f"{partition}/{decision.cause}"
    head = (*_HEAD, _type("meterlog.DeviceEvents"), ("ce_id", name.encode(errors="replace")), ("ce_subject", key))
    return Outgoing(topics.DEVICE_EVENTS.name, key, encode_events(decision), _with(head, decision.at, traceparent))


def said(key: bytes, record: Said, partition: int, at: int, traceparent: bytes | None) -> Outgoing:
    """A message from the device `key` to another, in the partition of that one. Its CloudEvents id names the job, and
    of an answer the command.
    """
    if isinstance(record, DelegatedJob):
        kind, ident = "meterlog.DelegatedJob", f"{record.mbus_device_id}/{record.number}"
    else:
        kind, ident = "meterlog.DelegatedEnded", f"{record.device_id}/{record.number}/{record.command.correlation_id}"
    receiver = record.device_id.encode()
    head = (*_HEAD, _type(kind), ("ce_id", ident.encode()), ("ce_subject", key))
    value = codec.encode(record)
    return Outgoing(topics.DEVICE_MESSAGES.name, receiver, value, _with(head, at, traceparent), partition)


def told(key: bytes, record: Job | Response | Notification, at: int, traceparent: bytes | None) -> Outgoing:
    """A job, a response or a notification."""
    if isinstance(record, Job):
        head = (*_HEAD, _type("meterlog.Job"), ("ce_id", key + b"/%d" % record.number), ("ce_subject", key))
        return Outgoing(topics.JOBS.name, key, codec.encode(record), _with(head, at, traceparent))
    if isinstance(record, Notification):
        correlation_id = record.correlation_id.encode(errors="replace")
        head = (
            *_HEAD,
            _type("meterlog.Notification"),
            ("ce_id", correlation_id + b"/" + record.notice.encode()),
            ("ce_subject", key),
            ("correlation-id", correlation_id),
            _operation(record.operation),
        )
        return Outgoing(topics.NOTIFICATIONS.name, key, codec.encode(record), _with(head, at, traceparent))
    about = record.header
    correlation_id = about.correlation_id.encode(errors="replace")
    value = codec.encode_response(about.operation, about, record.result)
    ident = correlation_id + (b"/repeated/%d" % about.received_at if about.repeated else b"/response")
    head = (
        *_HEAD,
        _type(_response_type(value[: codec.HEADER_BYTES])),
        ("ce_id", ident),
        ("ce_subject", key),
        ("correlation-id", correlation_id),
        _operation(about.operation),
    )
    return Outgoing(topics.RESPONSES.name, key, value, _with(head, at, traceparent))


def forwarded(received: Received, partition: int) -> Outgoing:
    """A command that lay in a partition its key does not belong to, unchanged but for the mark that makes it happen
    once.
    """
    mark = (FORWARDED, b"%d" % received.partition)
    return Outgoing(received.topic, received.key, received.value, (*received.headers, mark), partition)


def was_forwarded(received: Received) -> bool:
    return any(name == FORWARDED for name, _ in received.headers)


def dead_letter(received: Received, reason: str) -> Outgoing:
    """The original bytes, and why nobody could be told."""
    letter = headers.DeadLetter(
        reason=reason,
        topic=received.topic,
        partition=received.partition,
        offset=received.offset,
        at=max(received.timestamp, 0),
        role="streams/device",
    )
    pairs = tuple(headers.write_dead_letter(received.headers, letter))
    return Outgoing(topics.DEAD_LETTERS.name, received.key, received.value, pairs, NO_PARTITION)


def traceparent_of(received: Received) -> bytes | None:
    for name, value in received.headers:
        if name == "traceparent":
            return value
    return None


def _with(head: tuple[_Pair, ...], at: int, traceparent: bytes | None) -> Headers:
    if traceparent is None:
        return (*head, ("ce_time", _moment(at)))
    return (*head, ("ce_time", _moment(at)), ("traceparent", traceparent))


@lru_cache(maxsize=64)
def _type(name: str) -> _Pair:
    return "ce_type", name.encode()


@lru_cache(maxsize=256)
def _operation(name: str) -> _Pair:
    return "operation", name.encode(errors="replace")


@lru_cache(maxsize=256)
def _response_type(head: bytes) -> str:
    return codec.name_of(head)


@lru_cache(maxsize=4_096)
def _moment(at: int) -> bytes:
    try:
        moment = _EPOCH + timedelta(milliseconds=at)
    except OverflowError:  # a foreign clock; the value itself is in the record
        return b"1970-01-01T00:00:00.000Z"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
