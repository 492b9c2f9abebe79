"""Event logs: rows that are added when something happens, unlike those of profiles that time fills (meter-model 12)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.axdr import Data, Tag
from connectors.simulator import buffers
from operations._profile import CosemObject, Profile

SIZES: Final = {Tag.UNSIGNED: 1, Tag.LONG_UNSIGNED: 2, Tag.DOUBLE_LONG_UNSIGNED: 4}
_ROW: Final = Struct(">dBIII")  # instant, how many values, three values at most


@dataclass(frozen=True, slots=True)
class Event:
    """One row: when, and the columns after the clock (code; then counter, magnitude, duration where there are any)."""

    at: float
    values: tuple[int, ...]


class Kept:
    """The rows a log has got by what was done to the meter, oldest first; the oldest falls out when it is full.

    Packed, 21 bytes a row: a fleet keeps thousands of rows for thousands of meters.
    """

    __slots__ = ("_packed",)

    def __init__(self) -> None:
        self._packed = bytearray()

    def add(self, event: Event, entries: int) -> None:
        values = (*event.values, 0, 0, 0)[:3]
        self._packed += _ROW.pack(event.at, len(event.values), *values)
        del self._packed[: -entries * _ROW.size]

    def __len__(self) -> int:
        return len(self._packed) // _ROW.size

    def __iter__(self) -> Iterator[Event]:
        for at, count, *values in _ROW.iter_unpack(self._packed):
            yield Event(at, tuple(values[:count]))


def is_log(found: CosemObject) -> bool:
    return found.tag.endswith("_LOG")


def merged(before: Sequence[Event], kept: Iterable[Event], entries: int) -> list[Event]:
    """The rows of a log, its history and what it has got since, which stay in the order in which they were added: a
    clock may have been set back."""
    rows: list[Event] = []
    place = 0
    for event in kept:
        while place < len(before) and before[place].at <= event.at:
            rows.append(before[place])
            place += 1
        rows.append(event)
    return [*rows, *before[place:]][-entries:]


def chosen(rows: Sequence[Event], want: buffers.Wanted) -> list[Event]:
    """The rows that a selection leaves."""
    if want.entries is not None:
        first, last = want.entries
        return list(rows[first - 1 : last or None])
    return [row for row in rows if want.first <= row.at <= want.last]


def encode(profile: Profile, log: CosemObject, rows: Sequence[Event], columns: Sequence[int]) -> bytes:
    """The buffer, `columns` by index; each value in the type of the object it is captured from."""
    made: list[list[bytes]] = []
    for index in columns:
        if index == 0:
            made.append([buffers.encode_time(row.at, buffers.ZONE) for row in rows])
            continue
        made.append([axdr.encode(value(profile, log, index, row)) for row in rows])
    return buffers.encode_rows(made, compress=False, period=0, at=[int(row.at) for row in rows])


def value(profile: Profile, log: CosemObject, index: int, row: Event | None) -> Data:
    """Column `index` of a row, in the type of the object it is captured from; of no row, nothing."""
    column = log.columns[index]
    kind = profile.objects[column.tag].attributes[column.attribute].type
    held = row.values[index - 1] if row is not None and index <= len(row.values) else 0
    return Data(int(kind), held & ((1 << 8 * SIZES[Tag(kind)]) - 1))
