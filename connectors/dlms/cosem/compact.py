"""Compact array (Data tag 19): one type description, then the contents of all elements without their tags."""

from __future__ import annotations

from typing import NamedTuple

from . import axdr
from .axdr import MAX_DEPTH, NUMBERS, RAW_LENGTHS, Data, count_elements, encode_length, read_length, take
from .errors import LocalProtocolError, RemoteProtocolError


class TypeDescription(NamedTuple):
    """TypeDescription ::= CHOICE {
        null-data [0] .. dont-care [255] IMPLICIT NULL,
        array     [1] IMPLICIT SEQUENCE { number-of-elements Unsigned16, type-description TypeDescription },
        structure [2] IMPLICIT SEQUENCE OF TypeDescription
    }"""

    tag: int
    elements: int = 0
    members: tuple[TypeDescription, ...] = ()


class CompactArray(NamedTuple):
    """compact-array [19] IMPLICIT SEQUENCE {
        contents-description [0] TypeDescription,
        array-contents       [1] IMPLICIT OCTET STRING
    }"""

    description: TypeDescription
    items: tuple[Data, ...]


def decode_from(buffer: bytes, at: int, depth: int, spent: list[int]) -> tuple[Data, int]:
    """The compact array whose description begins at `at`, and the position behind it.

    Elements may take no bytes at all (null-data), so bytes do not bound their number: `spent` does.
    """
    description, at = _read_description(buffer, at, depth)
    length, at = read_length(buffer, at)
    contents = take(buffer, at, length)
    items = []
    position = 0
    while position < length:
        before = position
        item, position = _read_item(description, contents, position, spent)
        if position == before:
            raise RemoteProtocolError("compact array has contents, but its elements take no bytes")
        items.append(item)
    return Data(19, CompactArray(description, tuple(items))), at + length


def _read_description(buffer: bytes, at: int, depth: int) -> tuple[TypeDescription, int]:
    if depth == MAX_DEPTH:
        raise RemoteProtocolError(f"compact array described deeper than {MAX_DEPTH}")
    tag = buffer[at]
    at += 1
    if tag == 1:
        count = int.from_bytes(take(buffer, at, 2), "big")
        member, at = _read_description(buffer, at + 2, depth + 1)
        return TypeDescription(tag, count, (member,)), at
    if tag == 2:
        count, at = read_length(buffer, at)
        if count > len(buffer) - at:
            raise RemoteProtocolError(f"{count} members described, {len(buffer) - at} bytes left")
        members = []
        for _ in range(count):
            member, at = _read_description(buffer, at, depth + 1)
            members.append(member)
        return TypeDescription(tag, 0, tuple(members)), at
    if tag not in NUMBERS and tag not in RAW_LENGTHS and tag not in (0, 3, 4, 9, 10, 12, 255):
        raise RemoteProtocolError(f"data type {tag} in the description of a compact array")
    return TypeDescription(tag), at


def _read_item(description: TypeDescription, contents: bytes, at: int, spent: list[int]) -> tuple[Data, int]:
    tag, count, members = description
    if tag == 1 or tag == 2:
        count_elements(spent, max(1, count if tag == 1 else len(members)))
        described = members * count if tag == 1 else members
        items = []
        for member in described:
            item, at = _read_item(member, contents, at, spent)
            items.append(item)
        return Data(tag, tuple(items)), at
    tagged, end = axdr.decode_from(bytes((tag,)) + contents[at : at + _reach(tag, contents, at)], 0)
    return tagged, at + end - 1


def _reach(tag: int, contents: bytes, at: int) -> int:
    """How many bytes the value at `at` may take, so that not the whole rest is copied for every element."""
    if tag in NUMBERS:
        return NUMBERS[tag].size
    if tag in RAW_LENGTHS:
        return RAW_LENGTHS[tag]
    if tag in (4, 9, 10, 12):
        length, start = read_length(contents, at)
        return start - at + ((length + 7) // 8 if tag == 4 else length)
    return 1


def encode(array: CompactArray) -> bytes:
    """The bytes of the compact array, tag included. Raises LocalProtocolError when an item is not as described."""
    parts: list[bytes] = []
    for item in array.items:
        _write_item(array.description, item, parts)
    contents = b"".join(parts)
    return b"\x13" + _write_description(array.description) + encode_length(len(contents)) + contents


def _write_description(description: TypeDescription) -> bytes:
    tag, count, members = description
    if tag == 1:
        return b"\x01" + count.to_bytes(2, "big") + _write_description(members[0])
    if tag == 2:
        return b"\x02" + encode_length(len(members)) + b"".join([_write_description(member) for member in members])
    return bytes((tag,))


def _write_item(description: TypeDescription, item: Data, parts: list[bytes]) -> None:
    tag, count, members = description
    if item.tag != tag:
        raise LocalProtocolError(f"compact array described as type {tag} holds type {item.tag}")
    if tag == 1 or tag == 2:
        described = members * count if tag == 1 else members
        if len(item.value) != len(described):
            raise LocalProtocolError(f"{len(item.value)} elements where the compact array describes {len(described)}")
        for member, part in zip(described, item.value, strict=True):
            _write_item(member, part, parts)
    else:
        parts.append(axdr.encode(item)[1:])
