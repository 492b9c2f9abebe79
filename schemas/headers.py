"""Kafka headers of our records: routing, tracing and refusing by name need no decoding of the value.

Beside `content-type` every record carries `correlation-id` and `operation` when it belongs to a command, the
CloudEvents attributes of the Kafka protocol binding 1.0 (binary mode: `ce_` and the name, UTF-8), and W3C
`traceparent`, passed on as it came. The content type is `application/avro`: there is no registered name for
single-object encoding, whose first two bytes tell it from other Avro.

A foreign producer may send none of them, or nonsense: reading never raises. A dead letter keeps its own headers and
gets `dead-letter-*` besides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.records import CommandHeader, ResponseHeader

Headers = list[tuple[str, bytes]]
Raw = Mapping[str, bytes] | Iterable[tuple[str, bytes | str | None]] | None  # as the Kafka clients hand them out

CORRELATION_ID: Final = "correlation-id"
OPERATION: Final = "operation"
DEAD_LETTER_PREFIX: Final = "dead-letter-"

CONTENT_TYPE: Final = "application/avro"
SPEC_VERSION: Final = "1.0"
MAX_TEXT: Final = 1_000  # characters of a dead letter's reason

DESCRIPTIONS: Final[dict[str, str]] = {
    "content-type": f"{CONTENT_TYPE}: Avro single-object encoding.",
    CORRELATION_ID: "Of the command the record belongs to.",
    OPERATION: "Name of the operation, for instance SynchronizeTime.",
    "ce_specversion": f"CloudEvents: {SPEC_VERSION}.",
    "ce_id": "CloudEvents: with ce_source, unique for each record with an effect; the same again is a repeat.",
    "ce_source": "CloudEvents: who wrote the record.",
    "ce_type": "CloudEvents: full name of the Avro record.",
    "ce_subject": "CloudEvents: device identification.",
    "ce_time": "CloudEvents: when, RFC 3339 in UTC.",
    "traceparent": "W3C Trace Context, passed on from the command.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a record's headers say; empty or None for what they do not."""

    correlation_id: str | None = None
    operation: str | None = None
    content_type: str | None = None
    id: str = ""
    source: str = ""
    type: str = ""  # full name of the Avro record
    subject: str = ""  # device identification
    time: int | None = None  # milliseconds
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Why a record lies on `dead-letters`, where it lay before, and who put it there."""

    reason: str
    topic: str
    partition: int
    offset: int
    at: int  # milliseconds
    role: str


def write(attributes: Attributes) -> Headers:
    """The headers of a record of ours. `type`, `id` and `source` are required by CloudEvents: ValueError when one is
    empty.
    """
    for name in ("type", "id", "source"):
        if not getattr(attributes, name):
            raise ValueError(f"{name}: CloudEvents requires it")
    pairs = (
        ("content-type", CONTENT_TYPE),
        (CORRELATION_ID, attributes.correlation_id),
        (OPERATION, attributes.operation),
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", attributes.id),
        ("ce_source", attributes.source),
        ("ce_type", attributes.type),
        ("ce_subject", attributes.subject or None),
        ("ce_time", None if attributes.time is None else _rfc3339(attributes.time)),
        ("traceparent", attributes.traceparent),
    )
    return [(name, text.encode()) for name, text in pairs if text is not None]


def for_command(
    operation: str, header: CommandHeader, *, source: str = "meterlog/faces", traceparent: str | None = None
) -> Headers:
    """The headers of a command."""
    return write(
        Attributes(
            correlation_id=header.correlation_id,
            operation=operation,
            id=header.correlation_id,
            source=source,
            type=f"meterlog.commands.{operation}Command",
            subject=header.device_id,
            time=header.created_at,
            traceparent=traceparent,
        )
    )


def for_response(
    header: ResponseHeader, record: str, *, source: str = "meterlog/streams/device", traceparent: str | None = None
) -> Headers:
    """The headers of a response; `record`: full name of its Avro record. Told again, it has an id of its own."""
    again = f"/{header.settled_at}" if header.repeated else ""
    return write(
        Attributes(
            correlation_id=header.correlation_id,
            operation=header.operation,
            id=header.correlation_id + again,
            source=source,
            type=record,
            subject=header.device_id,
            time=header.settled_at,
            traceparent=traceparent,
        )
    )


def read(headers: Raw) -> Attributes:
    """What the headers say, whoever wrote them. Of a name given twice the last counts; what is not UTF-8 is read with
    marks.
    """
    said = _texts(headers)
    return Attributes(
        correlation_id=said.get(CORRELATION_ID),
        operation=said.get(OPERATION),
        content_type=said.get("content-type"),
        id=said.get("ce_id", ""),
        source=said.get("ce_source", ""),
        type=said.get("ce_type", ""),
        subject=said.get("ce_subject", ""),
        time=_millis(said.get("ce_time")),
        traceparent=said.get("traceparent"),
    )


def write_dead_letter(headers: Raw, letter: DeadLetter) -> Headers:
    """The record's own headers, unchanged, and the six of the dead letter; those of an earlier death are replaced."""
    kept = [(name, _bytes(value)) for name, value in _pairs(headers) if not name.startswith(DEAD_LETTER_PREFIX)]
    said = {
        "reason": letter.reason[:MAX_TEXT],
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "at": _rfc3339(letter.at),
        "role": letter.role,
    }
    return kept + [(DEAD_LETTER_PREFIX + name, text.encode("utf-8", "backslashreplace")) for name, text in said.items()]


def dead_letter(headers: Raw) -> DeadLetter:
    """What was written there. Raises ValueError, naming the header, when it is not a dead letter of ours."""
    said = _texts(headers)
    try:
        at = _millis(said[DEAD_LETTER_PREFIX + "at"])
        if at is None:
            raise ValueError(f"{DEAD_LETTER_PREFIX}at: not a time")
        return DeadLetter(
            reason=said[DEAD_LETTER_PREFIX + "reason"],
            topic=said[DEAD_LETTER_PREFIX + "topic"],
            partition=int(said[DEAD_LETTER_PREFIX + "partition"]),
            offset=int(said[DEAD_LETTER_PREFIX + "offset"]),
            at=at,
            role=said[DEAD_LETTER_PREFIX + "role"],
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0]}: missing") from None


def without_dead_letter(headers: Raw) -> Headers:
    """The headers the record had while it lived: for a replay."""
    return [(name, _bytes(value)) for name, value in _pairs(headers) if not name.startswith(DEAD_LETTER_PREFIX)]


def _pairs(headers: Raw) -> Iterable[tuple[str, bytes | str | None]]:
    return headers.items() if isinstance(headers, Mapping) else headers or ()


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _texts(headers: Raw) -> dict[str, str]:
    return {name: _bytes(value).decode("utf-8", "backslashreplace") for name, value in _pairs(headers)}


def _rfc3339(millis: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _millis(text: str | None) -> int | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
