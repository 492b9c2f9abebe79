"""Rows of a profile buffer as columns: times made whole, repeated values filled in, only what lies in the range.

Reference operations-reading 3.3, 3.6. Rows come by the hundred and usually complete, stamped alike in the whole fleet:
so the work is done column by column, in C where nothing is missing, and row by row only over what is.
"""

import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from operations._cosem_time import instant, instant_of, millis_of, moment_of
from operations._errors import MeterUnusable
from operations._profile import Column
from schemas.records import NO_VALUE

CLOCK_CLASS: Final = 8
DATA_CLASS: Final = 1
EXTENDED_REGISTER_CLASS: Final = 4
DAY_SECONDS: Final = 86_400
_STATUS: Final = (96, 10)  # value groups C and D of every AMR profile status (operations-reading 2.4)
_ONLY_BYTES: Final = {bytes}

Cell = Any  # int, bytes, str, None, or what else a meter may store in a row
Step = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows that are wanted, as columns of one length."""

    times: tuple[int, ...]  # milliseconds since 1970 UTC
    cells: Mapping[Column, Sequence[Cell]]  # of every column, the clock's too; `capture_times` as milliseconds

    @property
    def statuses(self) -> tuple[int | None, ...]:
        """AMR profile status bytes; empty when the profile has none. null-data is status absent for that row (3.3,
        Advice). Raises MeterUnusable for what is no byte.
        """
        return next((_statuses(cells) for column, cells in self.cells.items() if is_status(column)), ())

    def only(self, rows: Sequence[int]) -> "Table":
        """These rows of it."""
        cells = {column: [each[row] for row in rows] for column, each in self.cells.items()}
        return Table(tuple([self.times[row] for row in rows]), cells)


def is_clock(column: Column) -> bool:
    """The row's own time."""
    return column.class_id == CLOCK_CLASS and column.attribute == 2


def is_capture_time(column: Column) -> bool:
    """When a value of an M-Bus meter was taken: attribute 5 beside its attribute 2 (meter-model 10.3)."""
    return column.class_id == EXTENDED_REGISTER_CLASS and column.attribute == 5


def is_status(column: Column) -> bool:
    """An AMR profile status: 0.0.96.10.2.255 or one of its kin."""
    return column.class_id == DATA_CLASS and tuple(column.obis[2:4]) == _STATUS


def table(
    rows: Sequence[tuple[Cell, ...]],
    columns: Sequence[Column],
    step: Step,
    begin: int,
    end: int,
    *,
    repeats: bool = False,
    capture_times: Collection[Column] = (),
    dated: bool = False,
) -> Table:
    """The rows whose time lies in begin to end, both included (milliseconds).

    `step`: the time one period after a time, for rows and `capture_times` without one (3.6). `repeats`: the meter sends
    null-data for a value like the one above (meter-model 11), so null-data is not a missing value. `dated`: a row whose
    capture time is null-data with none above it is left out (3.6). Raises MeterUnusable: a row of another width, a time
    that is none, columns without a clock.
    """
    try:
        turned: Iterable[Sequence[Cell]] = zip(*rows, strict=True) if rows else [()] * len(columns)
        cells = dict(zip(columns, turned, strict=True))
    except ValueError:
        widths = sorted({len(row) for row in rows})
        raise MeterUnusable(f"rows have {widths} columns, {len(columns)} were asked for") from None
    clock = next((cells[column] for column in columns if is_clock(column)), None)
    if clock is None:
        raise MeterUnusable("the profile does not capture the clock: nobody can say when its rows were made")
    times = _times(clock, step)
    for column in columns:
        if column in capture_times:
            cells[column], missing = _capture_times(cells[column], step)
            if dated and missing:
                times = [None if row in missing else time for row, time in enumerate(times)]
        elif repeats:
            cells[column] = _repeated(cells[column])
    known, keep = _kept(times, begin, end)
    whole = Table(tuple(known), cells)
    return whole if keep is None else whole.only(keep)


def stepper(capture_period: int, months: int, time_zone: str | None) -> Step:
    """How a time moves on by one period: months, calendar days in the device's zone when the period is a day, else
    seconds. A period of 0 that is no month is no period: the time stays.

    A local midnight is one calendar day after the other, 23, 24 or 25 hours; a month later is the same day of the next
    month, or its last (3.6, Advice).
    """
    days = 1 if capture_period == DAY_SECONDS and not months else 0
    if not days and not months:
        return lambda time: time + capture_period * 1000
    zone = ZoneInfo(time_zone) if time_zone else UTC

    def later(time: int) -> int:
        local = moment_of(time).astimezone(zone).replace(tzinfo=None)
        for _ in range(months):
            first = local.replace(day=1) + timedelta(days=32)  # some day of the next month
            last = (first.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
            local = local.replace(year=first.year, month=first.month, day=min(local.day, last.day))
        return millis_of((local + timedelta(days=days)).replace(tzinfo=zone).astimezone(UTC))

    return later


def in_zone(moment: datetime, time_zone: str | None) -> datetime:
    """A moment in the device's zone; none counts as UTC (operations-reading 1.2)."""
    return moment.astimezone(ZoneInfo(time_zone) if time_zone else UTC)


def packed(column: Iterable[int | None]) -> bytes:
    """Little-endian int64, NO_VALUE for None: a column of a read record."""
    values = array("q", [NO_VALUE if value is None else value for value in column])
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _times(clock: Sequence[Cell], step: Step) -> list[int | None]:
    """Each row's time; None for rows before the first that has one."""
    if set(map(type, clock)) <= _ONLY_BYTES:
        times = list(map(instant, clock))
        if None not in times:
            return times
    times = [instant_of(cell, "clock of a row") for cell in clock]
    previous: int | None = None
    for row, time in enumerate(times):
        if time is None and previous is not None:
            times[row] = time = _next(previous, step, "clock of a row")
        previous = time
    return times


def _capture_times(cells: Sequence[Cell], step: Step) -> tuple[list[int | None], frozenset[int]]:
    """Milliseconds, None where the M-Bus meter said nothing (unspecified); and the rows that are null-data with no time
    above them. GXF fails the whole request for one unspecified time (3.6), but an hour without a telegram is usual
    (meter-model 11), and must not hide the others.
    """
    if set(map(type, cells)) <= _ONLY_BYTES:
        return list(map(instant, cells)), frozenset()
    times: list[int | None] = []
    missing = set()
    for row, cell in enumerate(cells):
        time = instant_of(cell, "capture time of a row")
        if cell is None and row and times[-1] is not None:
            time = _next(times[-1], step, "capture time of a row")
        elif cell is None and (not row or row - 1 in missing):
            missing.add(row)
        times.append(time)
    return times, frozenset(missing)


def _next(time: int, step: Step, what: str) -> int:
    try:
        return step(time)
    except (OverflowError, ValueError):
        raise MeterUnusable(f"{what}: no period comes after {time}") from None


def _kept(times: list[int | None], begin: int, end: int) -> tuple[list[int], list[int] | None]:
    """The times, and the numbers of the rows that stay; None: all of them."""
    known = [-1 if time is None else time for time in times] if None in times else cast(list[int], times)
    if known is times and (not known or (begin <= min(known) and max(known) <= end)):
        return known, None
    return known, [row for row, time in enumerate(times) if time is not None and begin <= time <= end]


def _repeated(column: Sequence[Cell]) -> Sequence[Cell]:
    """null-data filled with what stands above it; before the first value there is none."""
    if None not in column:
        return column
    values: list[Cell] = []
    for cell in column:
        values.append(values[-1] if cell is None and values else cell)
    return values


def _statuses(column: Sequence[Cell]) -> tuple[int | None, ...]:
    for cell in column:
        if cell is not None and not (type(cell) is int and 0 <= cell < 256):
            raise MeterUnusable(f"status of a row: {cell!r} is no byte")
    return tuple(column)
