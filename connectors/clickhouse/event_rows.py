"""Meters' event logs and outages to rows, pure. The names of the codes come in here, from the table that answers use.

A log has one row an entry, however often it is read: an entry is known by its time and code, and entries of equal time
and code by their place among each other. A reading always has all of them, as its range is one of time.
"""

import struct
from collections import Counter
from collections.abc import Iterable
from typing import Final

from connectors.clickhouse.rows import INT64_MAX, Row, SetAside, correlation, device, moment
from operations._events import name_of
from schemas.records import NO_VALUE, MeterEvent, MeterEvents, MeterOutages

MAX_CODE: Final = 0xFFFF
MAX_COUNTER: Final = 0xFFFFFFFF
MAX_SECONDS: Final = 0xFFFFFFFF

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "meter_events_in": (
        "device_id",
        "log",
        "received_at",
        "correlation",
        "times",
        "codes",
        "occurrences",
        "events",
        "counters",
        "packed_magnitudes",
        "units",
        "packed_durations",
    ),
    "meter_outages_in": ("device_id", "received_at", "correlation", "times", "durations"),
}


def events(record: MeterEvents) -> tuple[Row, int]:
    """One row for `meter_events_in`, and how many rows it becomes. Raises SetAside."""
    if not record.category:
        raise SetAside("category: empty")
    for number, event in enumerate(record.events):
        _check(event, f"event {number}")
    row = (
        device(record.device_id),
        record.category.encode(),
        moment(record.received_at, "received_at"),
        correlation(record.correlation_id),
        [event.captured_at for event in record.events],
        [event.code for event in record.events],
        occurrences(record.events),
        [name_of(event.code, record.protocol).encode() for event in record.events],
        [event.counter for event in record.events],
        _packed(event.magnitude for event in record.events),
        [event.magnitude_unit.encode() for event in record.events],
        _packed(event.duration for event in record.events),
    )
    return row, len(record.events)


def outages(record: MeterOutages) -> tuple[Row, int]:
    """One row for `meter_outages_in`, and how many rows it becomes. Raises SetAside."""
    for number, outage in enumerate(record.outages):
        moment(outage.ended_at, f"end of outage {number}")
        if not 0 <= outage.duration <= MAX_SECONDS:
            raise SetAside(f"duration of outage {number}: {outage.duration} is no number of 32 bits")
    row = (
        device(record.device_id),
        moment(record.received_at, "received_at"),
        correlation(record.correlation_id),
        [outage.ended_at for outage in record.outages],
        [outage.duration for outage in record.outages],
    )
    return row, len(record.outages)


def occurrences(found: Iterable[MeterEvent]) -> list[int]:
    """Of each event the number of those before it with the same time, code and counter."""
    seen: Counter[tuple[int, int, int | None]] = Counter()
    numbers = []
    for event in found:
        key = (event.captured_at, event.code, event.counter)
        numbers.append(seen[key])
        seen[key] += 1
    return numbers


def _check(event: MeterEvent, what: str) -> None:
    moment(event.captured_at, f"time of {what}")
    if not 0 <= event.code <= MAX_CODE:
        raise SetAside(f"code of {what}: {event.code} is no number of 16 bits")
    if event.counter is not None and not 0 <= event.counter <= MAX_COUNTER:
        raise SetAside(f"counter of {what}: {event.counter} is no number of 32 bits")
    for name, value in (("magnitude", event.magnitude), ("duration", event.duration)):
        if value is not None and not -INT64_MAX <= value <= INT64_MAX:
            raise SetAside(f"{name} of {what}: {value} is not a 64-bit number of millionths")


def _packed(values: Iterable[int | None]) -> bytes:
    column = [NO_VALUE if value is None else value for value in values]
    return struct.pack(f"<{len(column)}q", *column)
