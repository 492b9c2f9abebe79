"""Profile buffers, computed when they are asked for: rows of A-XDR from capture objects, instants and a meter's
registers.

Rules of meter-model 11: rows stand at multiples of the period of local time, oldest first; both ends of a range
belong to it; columns come in the order of capture_objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from struct import Struct
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.axdr import Data
from connectors.dlms.cosem.cosem_time import CosemDateTime
from connectors.dlms.cosem.names import Selection
from operations._profile import Column, CosemObject

ZONE: Final = ZoneInfo("Europe/Amsterdam")  # of every meter of the fleet
# octet-string 12: year month day weekday hour minute second hundredths deviation status
_TIME = Struct(">BBHBBBBBBBhB")
BY_RANGE, BY_ENTRY = 1, 2  # access selectors
_NULL = b"\x00"


class OutOfScope(Exception):
    """The selection names what this buffer does not have: answered with result 13."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a selection leaves of a buffer: instants from `first` to `last`, or entry numbers, and column indexes."""

    first: float
    last: float
    columns: tuple[int, ...]
    entries: tuple[int, int] | None = None  # from 1, last 0 = to the end


def everything(profile: CosemObject) -> Wanted:
    """The whole buffer."""
    return Wanted(0, float("inf"), tuple(range(len(profile.columns))))


def wanted(
    profile: CosemObject, selection: Selection | None, zone: ZoneInfo, clock: bytes, *, by_column: bool = True
) -> Wanted:
    """What a request asks of a buffer (meter-model 11.1, 11.2); `clock` is the clock's logical name.

    A meter that is not able to select `by_column` sends all columns. Raises OutOfScope.
    """
    whole = everything(profile)
    if selection is None:
        return whole
    parts = selection.parameters.value
    if selection.parameters.tag != axdr.Tag.STRUCTURE or len(parts) != 4:
        raise OutOfScope("access parameters are not a structure of 4")
    if selection.selector == BY_RANGE:
        if axdr.plain(parts[0]) != (8, clock, 2, 0):
            raise OutOfScope("the restricting object is not the clock")
        columns = _columns(profile, parts[3]) if by_column else ()
        return Wanted(_bound(parts[1], zone), _bound(parts[2], zone), columns or whole.columns)
    if selection.selector == BY_ENTRY:
        if [part.tag for part in parts] != [6, 6, 18, 18]:
            raise OutOfScope("entries are double-long-unsigned, columns long-unsigned")
        first, last, from_column, to_column = (part.value for part in parts)
        chosen = whole.columns[max(from_column, 1) - 1 : to_column or None] if by_column else whole.columns
        return Wanted(0, float("inf"), chosen, (max(first, 1), last))
    raise OutOfScope(f"selector {selection.selector}")


def _bound(bound: Data, zone: ZoneInfo) -> float:
    if not isinstance(bound.value, bytes) or len(bound.value) != 12:
        raise OutOfScope("a bound is not a date-time")
    second = instant(CosemDateTime.from_bytes(bound.value), zone)
    if second is None:
        raise OutOfScope("a bound has no date")
    return second


def instant(moment: CosemDateTime, zone: ZoneInfo) -> float | None:
    """Seconds since 1970 UTC: by the deviation, or as local time where it is not specified; None without a date."""
    found = moment.instant()
    if found is None:
        local = moment.local()
        found = None if local is None else local.replace(tzinfo=zone)
    return None if found is None else found.timestamp()


def _columns(profile: CosemObject, chosen: Data) -> tuple[int, ...]:
    if chosen.tag != axdr.Tag.ARRAY:
        raise OutOfScope("selected_values is not an array")
    definitions = {column.definition: index for index, column in enumerate(profile.columns)}
    try:
        found = {definitions[tuple(part.value for part in column.value)] for column in chosen.value}
    except (AttributeError, KeyError, TypeError):
        raise OutOfScope("a selected column is not captured") from None
    return tuple(sorted(found))


def stamps(
    profile: CosemObject, monthly: bool, now: float, want: Wanted, zone: ZoneInfo, since: float = 0.0
) -> list[int]:
    """Instants of the rows, oldest first: what of the last `entries` captures after `since` lies in the range, or in
    the entries asked for."""
    if want.entries is not None:
        rows = _captures(profile, monthly, since, now, now, zone)
        first, last = want.entries
        return rows[first - 1 : last or None]
    return _captures(profile, monthly, max(want.first, since), want.last, now, zone)


def _captures(profile: CosemObject, monthly: bool, first: float, last: float, now: float, zone: ZoneInfo) -> list[int]:
    last = min(last, now)
    if monthly or profile.capture_period >= 86_400:
        return [at for at in _calendar(profile, monthly, now, zone) if first <= at <= last]
    period = profile.capture_period
    if not period:  # nothing is captured by time (meter-model 10.1)
        return []
    newest = int(now // period) * period  # zones of our meters are whole hours from UTC: multiples agree
    begin = max(-int(-first // period) * period, newest - (profile.entries - 1) * period)
    return list(range(begin, int(min(last, newest)) + 1, period))


def _calendar(profile: CosemObject, monthly: bool, now: float, zone: ZoneInfo) -> list[int]:
    """Local midnights, or first days of months, up to now: as many as the buffer holds."""
    day = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    found = []
    for _ in range(profile.entries):
        if monthly:
            day = day.replace(day=1)
        found.append(int(day.timestamp()))
        day = (day - timedelta(days=1)).replace(hour=0)
    return found[::-1]


def encode_time(second: float, zone: ZoneInfo, status: int = 0) -> bytes:
    """An octet-string of 12 with the date-time of an instant as a Dutch meter writes it (meter-model 7.2), 14
    bytes."""
    local = datetime.fromtimestamp(second, zone)
    offset = local.utcoffset() or timedelta()
    summer = 0x80 if local.dst() else 0
    return _TIME.pack(
        9, 12, local.year, local.month, local.day, local.isoweekday(), local.hour, local.minute, local.second, 0,
        -int(offset.total_seconds()) // 60, summer | status,
    )  # fmt: skip


def encode_rows(
    columns: Sequence[Sequence[bytes]], *, compress: bool, period: int, at: Sequence[int], clock: int | None = 0
) -> bytes:
    """The array of structures.

    `compress` sends null-data for a clock (column `clock`) that is the one before plus the period, and for a value
    equal to the one before (meter-model 11).
    """
    head = bytes((axdr.Tag.STRUCTURE, len(columns)))
    if compress:
        columns = [_compressed(column, index == clock, period, at) for index, column in enumerate(columns)]
    rows = [head + b"".join(row) for row in zip(*columns, strict=True)]
    return bytes((axdr.Tag.ARRAY,)) + axdr.encode_length(len(rows)) + b"".join(rows)


def _compressed(column: Sequence[bytes], clock: bool, period: int, at: Sequence[int]) -> list[bytes]:
    if clock:
        regular = [index > 0 and at[index] - at[index - 1] == period for index in range(len(at))]
        return [_NULL if follows else value for value, follows in zip(column, regular, strict=True)]
    return [_NULL if index > 0 and value == column[index - 1] else value for index, value in enumerate(column)]


def capture_objects(profile: CosemObject) -> Data:
    """Attribute 3: array of structure {long-unsigned class, octet-string 6, integer attribute, long-unsigned data
    index}."""
    return axdr.array(*(_definition(column) for column in profile.columns))


def _definition(column: Column) -> Data:
    class_id, obis, attribute, data_index = column.definition
    parts: tuple[Any, ...] = (
        axdr.long_unsigned(class_id),
        axdr.octet_string(obis),
        axdr.integer(attribute),
        axdr.long_unsigned(data_index),
    )
    return axdr.structure(*parts)
