"""Outcomes to the rows ClickHouse is sent, and what all rows have in common: pure. Each record is checked, so that none
can have a whole insert refused.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from schemas import codec
from schemas.records import Fault, LargeResult, LoggedFrame, ReadingPlan, ResponseHeader

Row = tuple[Any, ...]
Rows = tuple[tuple[str, Row], ...]  # table and row

# Nothing a meter can have measured lies outside. Each month is a part of the table, so wild times would be many parts.
EARLIEST_MS: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)
LATEST_MS: Final = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)
INT64_MAX: Final = (1 << 63) - 1
MAX_DEVICE_BYTES: Final = 256
ZERO_UUID: Final = bytes(16)

# Columns of the tables as `Target` inserts them; the rows below are in this order.
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "responses_in": (
        "device_id",
        "received_at",
        "correlation",
        "correlation_text",
        "operation",
        "status",
        "fault_code",
        "fault_name",
        "fault_component",
        "fault_message",
        "fault_inner",
        "fault_field",
        "attempts",
        "repeated",
        "created_at",
        "settled_at",
        "result",
        "large_result",
        "topic_partition",
        "topic_offset",
    ),
    "large_results_in": ("correlation", "device_id", "operation", "stored_at", "result"),
    "dlms_log_in": (
        "device_id",
        "at",
        "job",
        "association",
        "sequence",
        "incoming",
        "valid",
        "correlation",
        "frame",
        "withheld",
        "summary",
        "text",
    ),
    "plan_versions_in": (
        "name",
        "version",
        "at",
        "deleted",
        "zone",
        "device_types",
        "profiles",
        "cells",
        "label_names",
        "label_values",
        "device_ids",
        "window_begin",
        "window_end",
        "read_names",
        "read_operations",
        "read_profiles",
        "read_days",
        "source",
    ),
}


class SetAside(Exception):
    """A record that cannot be stored, and why: for `dead-letters`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def response(header: ResponseHeader, result: Any, partition: int, offset: int) -> Row:
    """One row for `responses_in`. Raises SetAside.

    A correlation id that is no UUID is kept as text: its rejection is an outcome as well.
    """
    fault = header.fault or Fault(code=0, name="", component="", message="")
    try:
        identity, text = correlation(header.correlation_id), b""
    except SetAside:
        identity, text = ZERO_UUID, header.correlation_id.encode()
    return (
        device(header.device_id),
        moment(header.received_at, "received_at"),
        identity,
        text,
        header.operation.encode(),
        header.status.value.encode(),
        None if header.fault is None else fault.code,
        fault.name.encode(),
        fault.component.encode(),
        fault.message.encode(),
        (fault.inner or "").encode(),
        (fault.field or "").encode(),
        min(max(header.attempts, 0), 65_535),
        header.repeated,
        # The caller's clock may say anything; that is no reason to lose the outcome.
        header.created_at if header.created_at and EARLIEST_MS <= header.created_at < LATEST_MS else None,
        moment(header.settled_at, "settled_at"),
        b"" if result is None else as_json(result),
        (header.large_result or "").encode(),
        partition,
        offset,
    )


def large_result(record: LargeResult, stored_at: int) -> Row:
    """One row for `large_results_in`; `stored_at` is the append time of the record. Raises SetAside."""
    try:
        result = codec.decode_result(record.operation, record.result)
    except codec.Unreadable as error:
        raise SetAside(f"result of {record.operation}: {error.reason}") from error
    except LookupError as error:
        raise SetAside(f"operation: {record.operation!r} has no schema here") from error
    return (
        correlation(record.correlation_id),
        device(record.device_id),
        record.operation.encode(),
        moment(stored_at, "append time"),
        as_json(result),
    )


def logged_frame(record: LoggedFrame) -> Row:
    """One row for `dlms_log_in`. Raises SetAside."""
    for name, most in (("job", 64), ("association", 16), ("sequence", 32), ("withheld", 32)):
        if not 0 <= getattr(record, name) < 1 << most:
            raise SetAside(f"{name}: {getattr(record, name)} is not an unsigned number of {most} bits")
    return (
        device(record.device_id),
        moment(record.at, "at"),
        record.job,
        record.association,
        record.sequence,
        record.incoming,
        record.valid,
        None if record.correlation_id is None else correlation(record.correlation_id),
        record.frame,
        record.withheld,
        record.summary.encode(),
        record.text.encode(),
    )


def plan(record: ReadingPlan) -> Row:
    """One row for `plan_versions_in`. Raises SetAside."""
    for name, value in (("window_begin", record.window_begin), ("window_end", record.window_end)):
        if not 0 <= value < 24 * 60:
            raise SetAside(f"{name}: {value} is no minute of a day")
    if record.version < 1:
        raise SetAside(f"version: {record.version} is not 1 or more")

    def texts(values: Iterable[str]) -> list[bytes]:
        return [value.encode() for value in values]

    return (
        record.name.encode(),
        record.version,
        moment(record.at, "at"),
        record.deleted,
        record.zone.encode(),
        texts(record.device_types),
        texts(record.profiles),
        texts(record.cells),
        texts(record.labels),
        texts(record.labels.values()),
        texts(record.device_ids),
        record.window_begin,
        record.window_end,
        texts(read.name for read in record.reads),
        texts(read.operation for read in record.reads),
        texts(read.profile for read in record.reads),
        [min(max(read.catch_up_days, 0), 65_535) for read in record.reads],
        record.source.encode(),
    )


def device(identification: str) -> bytes:
    """A device identification as bytes. Raises SetAside when it is empty or absurdly long."""
    data = identification.encode()
    if not 0 < len(data) <= MAX_DEVICE_BYTES:
        raise SetAside(f"device_id: {len(data)} bytes, 1 to {MAX_DEVICE_BYTES} are allowed")
    return data


def moment(millis: int, name: str) -> int:
    """A plausible time in milliseconds. Raises SetAside."""
    if not EARLIEST_MS <= millis < LATEST_MS:
        raise SetAside(f"{name}: {millis} ms is not between 2000 and 2100")
    return millis


def correlation(text: str) -> bytes:
    """The 16 bytes of ClickHouse's UUID: two little-endian 64-bit halves, the upper first. Raises SetAside."""
    try:
        data = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        data = b""
    if len(data) != 16 or len(text) != 36:
        raise SetAside(f"correlation_id: {text[:64]!r} is not a UUID")
    return data[7::-1] + data[:7:-1]


def as_json(value: Any) -> bytes:
    """JSON of decoded values, UTF-8: times as ISO 8601 in UTC, decimals as exact text, bytes as hex.

    A record of a union is an object whose `type` is the record's name; of an operation's (the entries of a bundle) with
    its module, as each has a `Result`.
    """
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if type(value) is dict:
        return {key: _plain(each) for key, each in value.items()}
    if type(value) is tuple and len(value) == 2 and type(value[0]) is str and type(value[1]) is dict:
        return {"type": _type(value[0]), **_plain(value[1])}
    if type(value) in _JSON:
        return _JSON[type(value)](value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def _type(full: str) -> str:
    own = full.removeprefix("meterlog.operations.")
    return own if own != full else full.rpartition(".")[2]


def _number(value: float) -> float | str:
    return value if value - value == 0 else repr(value)  # JSON has no NaN and no infinity


_JSON: Final[dict[type, Callable[[Any], Any]]] = {
    datetime: lambda value: value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    date: date.isoformat,
    Decimal: lambda value: format(value, "f"),
    bytes: bytes.hex,
    float: _number,
}
