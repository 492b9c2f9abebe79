"""Avro bytes by value, looked up: most numbers, times and names of a batch are written again and again.

A table is a dict that makes what it is asked for first, so that an encoder's field is one subscription: `LONGS[9]` is
`b"\\x12"`. It is emptied when it is full, which costs less than knowing the oldest entry.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

_FULL: Final = 16_384  # entries a table; some 2 MB
_LONGEST: Final = 64  # bytes of a text worth keeping: identifications, names, symbols


def long_bytes(number: int) -> bytes:
    """Avro long: zigzag, seven bits a byte, least significant first. Raises OverflowError outside 64 bits."""
    if (whole := int(number)) != number:  # 7.0 passes: a table holds equal keys for one
        raise TypeError(f"{number!r} is no whole number")
    number = whole
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError(f"{number} does not fit a long")
    left = number << 1 ^ number >> 63
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def text_bytes(text: str) -> bytes:
    """Avro string: its length in UTF-8, and the UTF-8. Raises UnicodeEncodeError, AttributeError for no text."""
    data = text.encode()
    return long_bytes(len(data)) + data


class _Table(dict[Any, bytes]):
    """Bytes by value."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Any], bytes]) -> None:
        self._make = make

    def __missing__(self, value: Any) -> bytes:
        made = self._make(value)
        if len(made) <= _LONGEST:
            if len(self) >= _FULL:
                self.clear()
            self[value] = made
        return made


LONGS: Final = _Table(long_bytes)
TEXTS: Final = _Table(text_bytes)


@cache
def optional(make: Callable[[Any], bytes], null: int, place: int) -> _Table:
    """Of a union of null, its branch `null`, and one other, its branch `place`: None is looked up like any value."""
    absent, present = long_bytes(null), long_bytes(place)
    return _Table(lambda value: absent if value is None else present + make(value))


class Unchanged(dict[int, tuple[bytes, object]]):
    """The bytes of records that are written again as they are, by identity. To be used for frozen records only.

    An entry holds its record, so an id that is here is of no other.
    """

    __slots__ = ()

    def keep(self, record: object, data: bytes) -> bytes:
        if len(self) >= _FULL // 4:
            self.clear()
        self[id(record)] = data, record
        return data


@cache
def unchanged(_schema: str) -> Unchanged:
    """The one of a schema, for all records it lies in."""
    return Unchanged()
