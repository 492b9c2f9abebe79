"""What a cell is: one value of the table. Frozen, without clock or I/O.

The Avro record is `meterlog.CellState` (`schemas/avro/shared/CellState.avsc`). Its first field, `busy`, is the first
byte of the body, so a recovery decodes only the cells in which something goes on.
"""

from dataclasses import dataclass
from typing import Final

from schemas import codec
from schemas._quick import quick

_BUSY: Final = codec.HEADER_BYTES  # where a value says so


@quick
@dataclass(frozen=True, slots=True)
class Waiting:
    """A device that waits for a permit: its last request."""

    device_id: str
    number: int
    priority: int
    since: int
    connections: int
    hold: int


@quick
@dataclass(frozen=True, slots=True)
class Open:
    """A permit that is out. It counts until `until`, if it is not given back before."""

    device_id: str
    number: int
    until: int


@quick
@dataclass(frozen=True, slots=True)
class Cell:
    """A device is in `waiting` or in `open` at most once, and in one of them."""

    busy: bool = False  # somebody waits or has a permit; first, see above
    cell_id: str = ""
    floor: int = 0  # no connection is given an earlier time any more
    connects: tuple[int, ...] = ()  # times given, in order: those after the floor, and shortly before it
    late: int = 0  # ms by which permits are given further ahead, since others lapsed
    waiting: tuple[Waiting, ...] = ()  # in order of arrival
    open: tuple[Open, ...] = ()  # in order of their grant


def is_busy(value: bytes) -> bool:
    """Whether something goes on in the cell of a table value, without decoding it."""
    return value[_BUSY] == 1


codec.bind("meterlog.CellState", Cell)
codec.bind("meterlog.Waiting", Waiting)
codec.bind("meterlog.Open", Open)


def encode_cell(cell: Cell) -> bytes:
    """The table value."""
    return codec.encode(cell)


def decode_cell(value: bytes) -> Cell:
    """Raises Unreadable."""
    cell = codec.decode(value)
    if not isinstance(cell, Cell):
        raise codec.Unreadable(f"{type(cell).__name__} is not a cell")
    return cell
