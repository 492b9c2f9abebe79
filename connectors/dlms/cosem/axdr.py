"""A-XDR (IEC 61334-6) for the COSEM Data CHOICE: every value that is read from or written to a meter.

A value is `Data(tag, value)`: the tag keeps what an operation may have to print or check, the value is plain Python:

| tag | value |
| --- | --- |
| null-data, don't-care | None |
| array, structure | tuple of Data |
| boolean | bool |
| bit-string | str of "0" and "1"; index 0 is bit 0, the most significant (meter-model 7.1) |
| the ten integers, bcd, enum | int |
| octet-string, date-time (12 bytes), date (5), time (4) | bytes; `cosem_time` reads them |
| visible-string, utf8-string | str |
| float32, float64 | float |
| compact-array | `CompactArray(description, items)` of `compact.py` |

Decoding is bounded: nesting by MAX_DEPTH, elements of arrays and structures by the bytes there are and by MAX_ELEMENTS
all together, so that no answer holds up the other sessions of a worker. It raises RemoteProtocolError only; encoding
LocalProtocolError only.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Any

from operations._data import Data, Tag

from .errors import LocalProtocolError, RemoteProtocolError
from .values import (
    NULL,
    array,
    bit_string,
    boolean,
    double_long,
    double_long_unsigned,
    enum,
    integer,
    long,
    long64_unsigned,
    long_unsigned,
    null,
    octet_string,
    plain,
    structure,
    unsigned,
    visible_string,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "NULL",
    "NUMBERS",
    "RAW_LENGTHS",
    "Data",
    "Tag",
    "array",
    "bit_string",
    "bits_of",
    "boolean",
    "bytes_of",
    "count_elements",
    "decode",
    "decode_from",
    "double_long",
    "double_long_unsigned",
    "encode",
    "encode_length",
    "enum",
    "integer",
    "long",
    "long64_unsigned",
    "long_unsigned",
    "null",
    "octet_string",
    "plain",
    "read_length",
    "structure",
    "take",
    "unsigned",
    "visible_string",
]

MAX_DEPTH = 32
MAX_ELEMENTS = 1 << 17
"""Of all arrays and structures of one APDU together: a list of all objects has some 20,000, ten days of quarter hours
that are not alike 6,000, and more would be tenths of a second in which no other meter is served."""


# Types of a fixed number of bytes that are one struct code; bool, raw bytes and the rest are handled apart.
NUMBERS: dict[int, Struct] = {
    5: Struct(">i"),
    6: Struct(">I"),
    13: Struct(">b"),
    15: Struct(">b"),
    16: Struct(">h"),
    17: Struct(">B"),
    18: Struct(">H"),
    20: Struct(">q"),
    21: Struct(">Q"),
    22: Struct(">B"),
    23: Struct(">f"),
    24: Struct(">d"),
}
RAW_LENGTHS = {25: 12, 26: 5, 27: 4}
_UNPACK = {tag: (number.unpack_from, number.size) for tag, number in NUMBERS.items()}
_new = tuple.__new__


def encode_length(length: int) -> bytes:
    """A-XDR (and definite BER) length: one byte below 128, else 81 nn, 82 nn nn, ..."""
    if length < 0x80:
        return bytes((length,))
    size = (length.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


def read_length(buffer: bytes, at: int) -> tuple[int, int]:
    """The length at `at`, and where what it measures begins. IndexError when cut off; callers turn it into the engine's
    error."""
    first = buffer[at]
    if first < 0x80:
        return first, at + 1
    size = first & 0x7F
    end = at + 1 + size
    if not 1 <= size <= 4 or end > len(buffer):
        raise RemoteProtocolError(f"length byte {first:02X} at {at} is not a definite length of at most 4 bytes")
    return int.from_bytes(buffer[at + 1 : end], "big"), end


def decode(buffer: bytes) -> Data:
    """The one value that fills `buffer`. Raises RemoteProtocolError when it is malformed or bytes are left over."""
    data, end = decode_from(buffer, 0)
    if end != len(buffer):
        raise RemoteProtocolError(f"{len(buffer) - end} bytes left over after the value")
    return data


def decode_from(buffer: bytes, at: int, spent: list[int] | None = None) -> tuple[Data, int]:
    """The value that begins at `at`, and the position behind it. `spent` counts elements over several values. Raises
    RemoteProtocolError."""
    try:
        return _decode(buffer, at, 0, [0] if spent is None else spent)
    except (IndexError, StructError):
        raise RemoteProtocolError(f"value at {at} is cut off after {len(buffer)} bytes") from None


def take(buffer: bytes, at: int, length: int) -> bytes:
    """`length` bytes at `at`; IndexError when there are fewer."""
    end = at + length
    if end > len(buffer):
        raise IndexError(at)
    return buffer[at:end]


def count_elements(spent: list[int], count: int) -> None:
    """Add to what was spent. Raises RemoteProtocolError above MAX_ELEMENTS."""
    spent[0] += count
    if spent[0] > MAX_ELEMENTS:
        raise RemoteProtocolError(f"more than {MAX_ELEMENTS} elements in one answer")


def _decode(buffer: bytes, at: int, depth: int, spent: list[int]) -> tuple[Data, int]:
    tag = buffer[at]
    at += 1
    number = _UNPACK.get(tag)
    if number is not None:
        unpack, size = number
        return _new(Data, (tag, unpack(buffer, at)[0])), at + size
    if tag == 9:
        length = buffer[at]
        at += 1
        if length >= 0x80:
            length, at = read_length(buffer, at - 1)
        end = at + length
        if end > len(buffer):
            raise IndexError(at)
        return _new(Data, (9, buffer[at:end])), end
    if tag == 1 or tag == 2:
        if depth == MAX_DEPTH:
            raise RemoteProtocolError(f"values are nested deeper than {MAX_DEPTH}")
        count, at = read_length(buffer, at)
        if count > len(buffer) - at:  # an element is one byte at least
            raise RemoteProtocolError(f"{count} elements announced, {len(buffer) - at} bytes left")
        count_elements(spent, count)
        items = []
        depth += 1
        for _ in range(count):
            item, at = _decode(buffer, at, depth, spent)
            items.append(item)
        return _new(Data, (tag, tuple(items))), at
    if tag == 0:
        return NULL, at
    return _decode_rare(tag, buffer, at, depth, spent)


def _decode_rare(tag: int, buffer: bytes, at: int, depth: int, spent: list[int]) -> tuple[Data, int]:
    if tag == 3:
        return Data(tag, buffer[at] != 0), at + 1
    if tag == 4:
        length, at = read_length(buffer, at)
        size = (length + 7) // 8
        return Data(tag, bits_of(take(buffer, at, size), length)), at + size
    if tag == 10 or tag == 12:
        length, at = read_length(buffer, at)
        raw = take(buffer, at, length)
        try:
            return Data(tag, raw.decode("latin-1" if tag == 10 else "utf-8")), at + length
        except UnicodeDecodeError:
            raise RemoteProtocolError(f"utf8-string at {at} is not UTF-8") from None
    if tag in RAW_LENGTHS:
        return Data(tag, take(buffer, at, RAW_LENGTHS[tag])), at + RAW_LENGTHS[tag]
    if tag == 19:
        from . import compact  # imports this module; needed by hardly any meter

        return compact.decode_from(buffer, at, depth, spent)
    if tag == 255:
        return Data(tag, None), at
    raise RemoteProtocolError(f"unknown data type {tag} at {at - 1}")


def bits_of(raw: bytes, length: int) -> str:
    """The first `length` bits of `raw` as text, leftmost first."""
    if not length:
        return ""
    return f"{int.from_bytes(raw, 'big'):0{len(raw) * 8}b}"[:length]


def bytes_of(bits: str) -> bytes:
    """The bits of a bit-string, padded with zeros on the right to whole bytes."""
    size = (len(bits) + 7) // 8
    return (int(bits, 2) << (size * 8 - len(bits))).to_bytes(size, "big") if bits else b""


def encode(data: Data) -> bytes:
    """The bytes of one value, tag included.

    Raises LocalProtocolError, naming the type, when the value does not fit it.
    """
    parts: list[bytes] = []
    try:
        _encode(data, parts, 0)
    except LocalProtocolError:
        raise
    except (StructError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise LocalProtocolError(f"value does not fit its COSEM type: {error}") from None
    return b"".join(parts)


def _encode(data: Data, parts: list[bytes], depth: int) -> None:
    tag, value = data
    number = NUMBERS.get(tag)
    try:
        if number is not None:
            parts.append(bytes((tag,)) + number.pack(value))
        elif tag == 9:
            parts.append(b"\x09" + encode_length(len(value)) + value)
        elif tag == 1 or tag == 2:
            if depth == MAX_DEPTH:
                raise LocalProtocolError(f"values are nested deeper than {MAX_DEPTH}")
            parts.append(bytes((tag,)) + encode_length(len(value)))
            for item in value:
                _encode(item, parts, depth + 1)
        else:
            parts.append(_encode_rare(tag, value))
    except (StructError, ValueError, TypeError, AttributeError, OverflowError) as error:
        name = Tag(tag).name if tag in Tag._value2member_map_ else f"type {tag}"
        raise LocalProtocolError(f"{value!r:.60} does not fit {name}: {error}") from None


def _encode_rare(tag: int, value: Any) -> bytes:
    if tag == 0 or tag == 255:
        return bytes((tag,))
    if tag == 3:
        return b"\x03\x01" if value else b"\x03\x00"
    if tag == 4:
        return b"\x04" + encode_length(len(value)) + bytes_of(value)
    if tag == 10 or tag == 12:
        raw: bytes = value.encode("latin-1" if tag == 10 else "utf-8")
        return bytes((tag,)) + encode_length(len(raw)) + raw
    if tag in RAW_LENGTHS:
        if len(value) != RAW_LENGTHS[tag]:
            raise LocalProtocolError(f"{Tag(tag).name} takes {RAW_LENGTHS[tag]} bytes, not {len(value)}")
        return bytes((tag,)) + bytes(value)
    if tag == 19:
        from . import compact

        return compact.encode(value)
    raise LocalProtocolError(f"unknown data type {tag}")
