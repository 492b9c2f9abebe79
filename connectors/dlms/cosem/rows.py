"""Profile buffers, fast: an array of thousands of equal structures becomes a list of tuples (platform-facts, row
decoding).

Row one is read element by element and gives a layout: where the tag and length bytes stand, and one struct for what is
between. If those bytes stand in every row (one strided slice each), `struct.iter_unpack` reads all rows at once.
Whatever does not fit, such as null-data for a repeated clock, falls back to the generic decoder, with the same result.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from . import axdr
from .axdr import read_length
from .errors import RemoteProtocolError

Row = tuple[Any, ...]
_CODES = {
    3: "?",
    5: "i",
    6: "I",
    13: "b",
    15: "b",
    16: "h",
    17: "B",
    18: "H",
    20: "q",
    21: "Q",
    22: "B",
    23: "f",
    24: "d",
}
_RAW = {25: 12, 26: 5, 27: 4}
_WIDTHS = {tag: Struct(">" + code).size for tag, code in _CODES.items()}


class Layout(NamedTuple):
    """Shape of one row: `skeleton` as (offset, byte) of every tag and length byte, `body` reads the values.

    `size` in bytes; `nulls` are the columns that are null-data in every row.
    """

    skeleton: tuple[tuple[int, int], ...]
    body: Struct
    size: int
    nulls: tuple[int, ...]


def decode_rows(buffer: bytes) -> list[Row]:
    """The rows of a profile buffer (A-XDR array of structure), values as `axdr.plain` gives them.

    An empty array gives an empty list. Raises RemoteProtocolError when the bytes are malformed, or not an array of
    structures.
    """
    if len(buffer) > 2 and buffer[0] == 1:
        count, start = read_length(buffer, 1)
        rows = _decode_alike(buffer, start, count)
        if rows is None and count > 2 and buffer[start : start + 1] == b"\x02":
            # a compressed buffer: the first row is whole, the others have null-data for what follows from it
            first, start = axdr.decode_from(buffer, start)
            others = _decode_alike(buffer, start, count - 1)
            rows = None if others is None else [axdr.plain(first), *others]
        if rows is not None:
            return rows
    return _decode_generic(buffer)


def _decode_alike(buffer: bytes, start: int, count: int) -> list[Row] | None:
    """The `count` rows from `start` to the end, or None unless all have the layout of the first."""
    layout = _learn(buffer, start)
    if layout is None or count * layout.size != len(buffer) - start:
        return None
    body = buffer[start:]
    size = layout.size
    for offset, byte in layout.skeleton:
        if body[offset::size].count(byte) != count:
            return None
    rows = list(layout.body.iter_unpack(body))
    if not layout.nulls:
        return rows
    columns = list(zip(*rows, strict=True))
    for column in layout.nulls:
        columns.insert(column, (None,) * count)
    return list(zip(*columns, strict=True))


def _learn(buffer: bytes, start: int) -> Layout | None:
    """The layout of the structure at `start`, or None when it holds something of no fixed size."""
    head = bytearray()
    end = len(buffer)
    at = start
    if at + 2 > end or buffer[at] != 2 or buffer[at + 1] >= 0x80:
        return None
    elements = buffer[at + 1]
    at += 2
    for _ in range(elements):
        if at >= end:
            return None
        tag = buffer[at]
        head.append(tag)
        at += 1
        if tag in _CODES:
            at += _WIDTHS[tag]
        elif tag == 9:
            length = buffer[at] if at < end else 0x80
            if length >= 0x80:
                return None
            head.append(length)
            at += 1 + length
        elif tag in _RAW:
            at += _RAW[tag]
        elif tag != 0:
            return None
    return _layout(elements, bytes(head))


@lru_cache(maxsize=512)  # a fleet has few shapes of rows; a hostile peer only makes the cache turn over
def _layout(elements: int, head: bytes) -> Layout:
    skeleton = [(0, 2), (1, elements)]
    code = [">xx"]
    offset = 2
    nulls = []
    tags = iter(head)
    for column, tag in enumerate(tags):
        skeleton.append((offset, tag))
        offset += 1
        if tag == 9:
            length = next(tags)
            skeleton.append((offset, length))
            code.append(f"xx{length}s")
            offset += 1 + length
        elif tag in _RAW:
            code.append(f"x{_RAW[tag]}s")
            offset += _RAW[tag]
        elif tag == 0:
            code.append("x")
            nulls.append(column)
        else:
            code.append("x" + _CODES[tag])
            offset += _WIDTHS[tag]
    body = Struct("".join(code))
    return Layout(tuple(skeleton), body, body.size, tuple(nulls))


def _decode_generic(buffer: bytes) -> list[Row]:
    data = axdr.decode(buffer)
    if data.tag == 19:
        rows = data.value.items
    elif data.tag == 1:
        rows = data.value
    else:
        raise RemoteProtocolError(f"a profile buffer is an array, not type {data.tag}")
    for row in rows:
        if row.tag != 2:
            raise RemoteProtocolError(f"a row of a profile buffer is a structure, not type {row.tag}")
    return [axdr.plain(row) for row in rows]
