"""The Kafka headers of what the streams send, and the records they set aside.

The headers are those of `schemas/headers.py`, put together here from parts that are encoded once: seven records leave
for each command, and their headers would otherwise cost more than its decision.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from schemas import headers, topics
from schemas.dead_letter import letter
from streams.keeper import Headers, Outgoing, Received

NO_PARTITION: Final = -1  # librdkafka's: the partitioner chooses, as `dead-letters` has its own number of partitions
_LONGEST_TRACE: Final = 256  # version 00 of W3C Trace Context has 55 bytes
_LONGEST_KEY: Final = 256  # bytes; a device identification has 40 at most
_MOST_HEADERS: Final = 64 * 1024  # bytes of their values; ours have a few hundred
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Pair = tuple[str, bytes]


def head(source: str) -> tuple[Pair, ...]:
    """What every record of a role says: `source` names the role."""
    return (
        ("content-type", headers.CONTENT_TYPE.encode()),
        ("ce_specversion", headers.SPEC_VERSION.encode()),
        ("ce_source", source.encode()),
    )


@lru_cache(maxsize=64)
def kind(name: str) -> Pair:
    """The full name of the record."""
    return "ce_type", name.encode()


def complete(head: tuple[Pair, ...], at: int, traceparent: bytes | None) -> Headers:
    """With the time, ms, and the trace it belongs to."""
    if traceparent is None:
        return (*head, ("ce_time", _moment(at)))
    return (*head, ("ce_time", _moment(at)), ("traceparent", traceparent))


def unbearable(received: Received) -> str:
    """Why a record is not even looked at: what follows from it repeats its key, and what is forwarded its headers."""
    if len(received.key) > _LONGEST_KEY:
        return f"a key of {len(received.key)} bytes is no identification"
    if (size := sum([len(value) for _, value in received.headers])) > _MOST_HEADERS:
        return f"headers of {size} bytes are more than {_MOST_HEADERS}"
    return ""


def traceparent_of(received: Received) -> bytes | None:
    """As it came, unless it is longer than any: it goes along with every record that follows."""
    for name, value in received.headers:
        if name == "traceparent":
            return value if len(value) <= _LONGEST_TRACE else None
    return None


def dead_letter(received: Received, reason: str, role: str) -> Outgoing:
    """The original bytes, and why nobody could be told."""
    about = headers.DeadLetter(
        reason=reason,
        topic=received.topic,
        partition=received.partition,
        offset=received.offset,
        at=max(received.timestamp, 0),
        role=role,
    )
    sent = letter(received.key, received.value, received.headers, about)
    return Outgoing(topics.DEAD_LETTERS.name, sent.key or b"", sent.value, tuple(sent.headers), NO_PARTITION)


@lru_cache(maxsize=4_096)
def _moment(at: int) -> bytes:
    try:
        moment = _EPOCH + timedelta(milliseconds=at)
    except OverflowError:  # a foreign clock; the value itself is in the record
        return b"1970-01-01T00:00:00.000Z"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
