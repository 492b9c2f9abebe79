"""Event logs: rows that are added when something happens, unlike those of profiles that time fills (meter-model 12)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.axdr import Data, Tag
from connectors.simulator import buffers
from operations._profile import CosemObject, Profile

SIZES: Final = {Tag.UNSIGNED: 1, Tag.LONG_UNSIGNED: 2, Tag.DOUBLE_LONG_UNSIGNED: 4}


@dataclass(frozen=True, slots=True)
class Event:
    """One row: when, and the columns after the clock (code; then counter, magnitude, duration where there are any)."""

    at: float
    values: tuple[int, ...]


def is_log(found: CosemObject) -> bool:
    return found.tag.endswith("_LOG")


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
        column = log.columns[index]
        kind = profile.objects[column.tag].attributes[column.attribute].type
        made.append([axdr.encode(Data(int(kind), _cut(row, index, SIZES[Tag(kind)]))) for row in rows])
    return buffers.encode_rows(made, compress=False, period=0, at=[int(row.at) for row in rows])


def _cut(row: Event, index: int, size: int) -> int:
    value = row.values[index - 1] if index <= len(row.values) else 0
    return value & ((1 << 8 * size) - 1)
