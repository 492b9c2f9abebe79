"""Columns of a profile, typed by what stands in them: for results that may hold anything a meter captures.

A column has values of one kind. Numbers are exact: what does not go into whole millionths of 63 bits stands as text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from operations._errors import MeterUnusable
from operations._obis import obis_text
from operations._profile import Column, ScalerUnit
from operations._profile_rows import EXTENDED_REGISTER_CLASS, Cell, is_capture_time, packed
from operations._values import MILLIONTHS, Millionths, exact, unit_name
from schemas.records import CommandHeader, ProfileColumn, ProfileReads

_COUNT: Final = ScalerUnit(0, 255)
_ONE: Final = 10**MILLIONTHS


class Kind(StrEnum):
    """Which list of a column holds its values."""

    NUMBER = "NUMBER"
    TIME = "TIME"
    TEXT = "TEXT"
    OCTETS = "OCTETS"


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """One capture object of a profile besides the clock, and its value in each row, null for null-data.

    `quantity` is its name (`_quantities`). The list of its `kind` holds the values, the others are empty.
    """

    class_id: int
    logical_name: str
    attribute_index: int
    data_index: int
    quantity: str
    unit: str  # of numbers; empty: a count, or nobody says
    kind: Kind
    numbers: tuple[int | None, ...] = ()  # millionths of the unit
    times: tuple[int | None, ...] = ()  # milliseconds since 1970 UTC
    texts: tuple[str | None, ...] = ()
    octets: tuple[bytes | None, ...] = ()
    unscaled: str = ""  # why the meter's own numbers stand here, unscaled: it did not say its scaler


@dataclass(frozen=True, slots=True)
class ProfileRows:
    """Rows of one profile as columns of one length, oldest first as the meter sent them."""

    logical_name: str  # of the profile: 1-0:99.1.1.255
    profile: str  # its name, POWER_QUALITY_PROFILE_1; empty when it has none here
    capture_period: int  # seconds between two rows; 0: not by time
    log_times: tuple[int, ...]  # milliseconds since 1970 UTC: the clock of each row
    columns: tuple[TypedColumn, ...]


def typed(column: Column, quantity: str, cells: Sequence[Cell], scaling: ScalerUnit | str | None) -> TypedColumn:
    """A column of a `Table`. `scaling`: None when values of its class have none, a text when the meter refused it."""
    refused = scaling if isinstance(scaling, str) else ""
    scaler = scaling if isinstance(scaling, ScalerUnit) else _COUNT
    place = (column.class_id, obis_text(column.obis), column.attribute, column.data_index)
    bare = TypedColumn(*place, quantity, unit_name(scaler.unit), Kind.NUMBER, unscaled=refused)
    if is_capture_time(column):
        return replace(bare, kind=Kind.TIME, times=tuple(cells))
    kinds = set(map(type, cells)) - {type(None)}
    if kinds <= {int}:
        try:
            return replace(bare, numbers=tuple(Millionths(scaler, quantity).column(cells)))
        except MeterUnusable:  # too fine, or too large
            texts = [None if cell is None else format(exact(cell, scaler), "f") for cell in cells]
            return replace(bare, kind=Kind.TEXT, texts=tuple(texts))
    if kinds == {bytes}:
        return replace(bare, kind=Kind.OCTETS, octets=tuple(cells))
    return replace(bare, kind=Kind.TEXT, texts=tuple([None if cell is None else _text(cell) for cell in cells]))


def _text(cell: Cell) -> str:
    if isinstance(cell, bytes):
        return cell.hex()
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, tuple):
        return f"({', '.join('null' if each is None else _text(each) for each in cell)})"
    return str(cell)


def reads_of(header: CommandHeader, rows: ProfileRows, received_at: int) -> Iterator[ProfileReads]:
    """The numbers of a profile as one record with packed columns; none when there are no rows or no numbers.

    An AMR profile status is the rows' status, and a capture time that of the value beside it: no quantities.
    """
    statuses = b""
    columns = []
    taken = {(each.class_id, each.logical_name): each.times for each in rows.columns if each.kind is Kind.TIME}
    for each in rows.columns:
        if each.kind is not Kind.NUMBER or each.unscaled:
            continue
        if is_amr_status(each):
            statuses = bytes([(number or 0) // _ONE for number in each.numbers])
            continue
        dated = each.class_id == EXTENDED_REGISTER_CLASS and each.attribute_index == 2
        times = taken.get((each.class_id, each.logical_name), ()) if dated else ()
        columns.append(ProfileColumn(each.quantity, each.unit, packed(each.numbers), packed(times)))
    if rows.log_times and columns:
        yield ProfileReads(
            device_id=header.device_id,
            correlation_id=header.correlation_id,
            received_at=received_at,
            logical_name=rows.logical_name,
            profile=rows.profile,
            times=packed(rows.log_times),
            statuses=statuses,
            columns=tuple(columns),
        )


def is_amr_status(column: TypedColumn) -> bool:
    """Whether it holds AMR profile status bytes (operations-reading 2.4)."""
    whole = all(number is None or 0 <= number <= 255 * _ONE for number in column.numbers)
    return column.class_id == 1 and ":96.10." in column.logical_name and whole
