"""Rows of an energy profile as columns: times made whole, values in millionths of a kWh, only what lies in the range.

Reference operations-reading 3.3, 3.6 and 7.2. Rows come by the hundred and usually complete, stamped alike in the
whole fleet: so the work is done column by column, in C where nothing is missing, and row by row only over what is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from operations._cosem_time import instant, instant_of, millis_of, moment_of
from operations._errors import MeterUnusable
from operations._profile import Column, ScalerUnit
from operations._values import Millionths

CLOCK_CLASS: Final = 8
STATUS_CLASS: Final = 1
ELECTRICITY: Final = 1  # value group A
_ONLY_BYTES: Final = {bytes}

Cell = Any  # int, bytes, None, or Data
Step = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of one length. `statuses` is empty when the profile has no status column; so is a value column not
    asked for.
    """

    times: tuple[int, ...]  # milliseconds since 1970 UTC
    statuses: tuple[int | None, ...]
    values: dict[str, tuple[int | None, ...]]  # by the tag of the register: millionths of a kWh


def is_electricity(column: Column) -> bool:
    """Clock, status, and registers of the medium electricity: not the M-Bus columns of a combined profile."""
    return column.class_id in (CLOCK_CLASS, STATUS_CLASS) or column.obis[0] == ELECTRICITY


def convert(
    rows: Sequence[tuple[Cell, ...]],
    columns: Sequence[Column],
    scalings: dict[str, ScalerUnit],
    step: Step,
    begin: int,
    end: int,
    *,
    repeats: bool = False,
) -> Rows:
    """The rows whose time lies in begin to end, both included (milliseconds).

    `scalings`: scaler_unit of the register columns that are wanted, by tag. `step`: the time one period after a time,
    for rows without one. `repeats`: the meter sends null-data for a value like the one above (meter-model 11), so
    null-data is not a missing value. Raises MeterUnusable: a row of another width, a cell of another type, and what
    `Millionths` raises.
    """
    millionths = {tag: Millionths(scaling, tag) for tag, scaling in scalings.items()}
    try:
        turned: Iterable[Sequence[Cell]] = zip(*rows, strict=True) if rows else [()] * len(columns)
        cells = dict(zip(columns, turned, strict=True))
    except ValueError:
        widths = sorted({len(row) for row in rows})
        raise MeterUnusable(f"rows have {widths} columns, {len(columns)} were asked for") from None
    clock = next((cells[column] for column in columns if column.class_id == CLOCK_CLASS), ())
    times, keep = _kept(_times(clock, step), begin, end)
    if repeats:
        cells = {column: _repeated(each) for column, each in cells.items()}
    statuses = next((_statuses(cells[column]) for column in columns if column.class_id == STATUS_CLASS), ())
    values = {c.tag: millionths[c.tag].column(cells[c]) for c in columns if c.tag in millionths}
    if keep is None:
        return Rows(tuple(times), tuple(statuses), {tag: tuple(column) for tag, column in values.items()})
    return Rows(
        tuple(times[i] for i in keep),
        tuple(statuses[i] for i in keep) if statuses else (),
        {tag: tuple(column[i] for i in keep) for tag, column in values.items()},
    )


def stepper(capture_period: int, days: int, months: int, time_zone: str | None) -> Step:
    """One period later: seconds where the profile has them (interval), else calendar days and months in the device's
    zone.

    A local midnight is one calendar day after the other, 23, 24 or 25 hours; a month later is the same day of the next
    month, or its last (3.6, Advice).
    """
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


def _times(clock: Sequence[Cell], step: Step) -> list[int | None]:
    """Each row's time; None for rows before the first that has one."""
    if set(map(type, clock)) <= _ONLY_BYTES:
        times = list(map(instant, clock))
        if None not in times:
            return times
    else:
        times = [instant_of(cell, "clock of a row") for cell in clock]
    previous: int | None = None
    for row, time in enumerate(times):
        if time is None and previous is not None:
            try:
                times[row] = time = step(previous)
            except (OverflowError, ValueError):
                raise MeterUnusable(f"clock of a row: no period comes after {previous}") from None
        previous = time
    return times


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
    filled: list[Cell] = []
    for cell in column:
        filled.append(filled[-1] if cell is None and filled else cell)
    return filled


def _statuses(column: Sequence[Cell]) -> Sequence[int | None]:
    """AMR profile status bytes. null-data is status absent for that row (3.3, Advice)."""
    for cell in column:
        if cell is not None and not (type(cell) is int and 0 <= cell < 256):
            raise MeterUnusable(f"status of a row: {cell!r} is no byte")
    return column
