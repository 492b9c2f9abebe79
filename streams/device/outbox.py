"""What is sent: records in bytes with their Kafka headers, each to the partition of its input, but messages to that
of their receiver.
"""

from functools import lru_cache
from typing import Final

from schemas import codec, topics
from schemas.records import DelegatedJob, Job, Notification, PermitAsked
from streams.device.events import DeviceEvents
from streams.device.possible import asks_the_store
from streams.device.react import Request, Response, Said
from streams.device.wire import encode_events
from streams.envelope import Pair, complete, head, kind
from streams.keeper import Outgoing, Received

SOURCE: Final = "meterlog/streams/device"
FORWARDED: Final = "meterlog-forwarded-from"
_HEAD: Final = head(SOURCE)


def logged(key: bytes, decision: DeviceEvents, partition: int, traceparent: bytes | None) -> Outgoing:
    """A record of the log. Its CloudEvents id names device and version, or for version 0 the message."""
    name = f"{decision.device_id}@{decision.version}" if decision.version else f"{partition}/{decision.cause}"
    pairs = (*_HEAD, kind("meterlog.DeviceEvents"), ("ce_id", name.encode(errors="replace")), ("ce_subject", key))
    return Outgoing(topics.DEVICE_EVENTS.name, key, encode_events(decision), complete(pairs, decision.at, traceparent))


def said(key: bytes, record: Said, partition: int, at: int, traceparent: bytes | None) -> Outgoing:
    """A message from the device `key` to another, in the partition of that one. Its CloudEvents id names the job, and
    of an answer the command.
    """
    if isinstance(record, DelegatedJob):
        name, ident = "meterlog.DelegatedJob", f"{record.mbus_device_id}/{record.number}"
    else:
        name, ident = "meterlog.DelegatedEnded", f"{record.device_id}/{record.number}/{record.command.correlation_id}"
    receiver = record.device_id.encode()
    pairs = (*_HEAD, kind(name), ("ce_id", ident.encode()), ("ce_subject", key))
    value = codec.encode(record)
    return Outgoing(topics.DEVICE_MESSAGES.name, receiver, value, complete(pairs, at, traceparent), partition)


def asked(key: bytes, record: Request, partition: int, at: int) -> Outgoing:
    """A message from the device `key` to its radio cell, in the partition of that one. Its CloudEvents id names the
    request.
    """
    name = "PermitAsked" if isinstance(record, PermitAsked) else "PermitReturned"
    ident = key + b"/permit/%d/" % record.number + name.encode()
    pairs = (*_HEAD, kind(f"meterlog.{name}"), ("ce_id", ident), ("ce_subject", key))
    cell = record.cell_id.encode()
    return Outgoing(topics.PERMIT_REQUESTS.name, cell, codec.encode(record), complete(pairs, at, None), partition)


def told(key: bytes, record: Job | Response | Notification, at: int, traceparent: bytes | None) -> Outgoing:
    """A job, a response or a notification."""
    if isinstance(record, Job):
        pairs = (*_HEAD, kind("meterlog.Job"), ("ce_id", key + b"/%d" % record.number), ("ce_subject", key))
        topic = topics.STORE_JOBS if asks_the_store(record.commands) else topics.JOBS
        return Outgoing(topic.name, key, codec.encode(record), complete(pairs, at, traceparent))
    if isinstance(record, Notification):
        correlation_id = record.correlation_id.encode(errors="replace")
        pairs = (
            *_HEAD,
            kind("meterlog.Notification"),
            ("ce_id", correlation_id + b"/" + record.notice.encode()),
            ("ce_subject", key),
            ("correlation-id", correlation_id),
            _operation(record.operation),
        )
        return Outgoing(topics.NOTIFICATIONS.name, key, codec.encode(record), complete(pairs, at, traceparent))
    about = record.header
    correlation_id = about.correlation_id.encode(errors="replace")
    value = codec.encode_response(about.operation, about, record.result)
    ident = correlation_id + (b"/repeated/%d" % about.received_at if about.repeated else b"/response")
    pairs = (
        *_HEAD,
        kind(_response_type(value[: codec.HEADER_BYTES])),
        ("ce_id", ident),
        ("ce_subject", key),
        ("correlation-id", correlation_id),
        _operation(about.operation),
    )
    return Outgoing(topics.RESPONSES.name, key, value, complete(pairs, at, traceparent))


def forwarded(received: Received, partition: int) -> Outgoing:
    """A command that lay in a partition its key does not belong to, unchanged but for the mark that makes it happen
    once.
    """
    mark = (FORWARDED, b"%d" % received.partition)
    return Outgoing(received.topic, received.key, received.value, (*received.headers, mark), partition)


def was_forwarded(received: Received) -> bool:
    return any(name == FORWARDED for name, _ in received.headers)


@lru_cache(maxsize=256)
def _operation(name: str) -> Pair:
    return "operation", name.encode(errors="replace")


@lru_cache(maxsize=256)
def _response_type(head: bytes) -> str:
    return codec.name_of(head)
