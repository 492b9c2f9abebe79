"""Read a profile buffer with as much selective access as the meter has, and do the rest here.

Reference operations-reading 3.5, 7.2; meter-model 11. Some meters know no range, some no selection of columns, and say
so (by the profile's traits or the device's settings), refuse it, or send all columns whatever was selected.
"""

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Any, Final

from operations import Meter
from operations._errors import MeterRefused
from operations._profile import Column
from operations._profile_rows import Cell, in_zone
from operations._steps import Attribute, Range, ReadRows

NO_SELECTION: Final = frozenset({12, 13})
"""type-unmatched, scope-of-access-violated: what a meter says to a selector, range or column it does not know
(meter-model 6, 11)."""
FALLBACKS: Final = 2
"""Requests more than one that `read` may need: without columns, then without a range."""

Found = tuple[Sequence[tuple[Cell, ...]], Sequence[Column]]


def read(
    meter: Meter, buffer: Attribute, columns: Sequence[Column], wanted: Sequence[Column], begin: datetime, end: datetime
) -> Generator[ReadRows, Any, Found]:
    """The rows, and the columns they have: `wanted`, or all of `columns`; rows out of the range may be among them.

    No columns are named when all are wanted. Raises MeterRefused when the buffer is refused without any selection.
    """
    traits = meter.profile.traits
    start, stop = (in_zone(moment, meter.time_zone) for moment in (begin, end))
    ways: list[Range | None] = [None]
    if traits.range_selection:
        ways.append(Range(start, stop))
        if traits.column_selection and meter.selective_access and tuple(wanted) != tuple(columns):
            ways.append(Range(start, stop, tuple([column.definition for column in wanted])))
    while True:
        selection = ways.pop()
        try:
            rows = yield ReadRows(buffer, selection)
        except MeterRefused as refused:
            if selection is None or refused.result not in NO_SELECTION:
                raise
            continue
        selected = selection is not None and selection.columns and not (rows and len(rows[0]) == len(columns))
        return rows, wanted if selected else columns
