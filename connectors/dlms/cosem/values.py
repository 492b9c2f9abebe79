"""COSEM values: a tag and plain Python, and a constructor for each type that is sent; `axdr` says which."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple


class Tag(IntEnum):
    """Tags of the Data CHOICE; the names are those that attribute listings print."""

    NULL_DATA = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUMERATE = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DONT_CARE = 255


class Data(NamedTuple):
    """One COSEM value with its type; see the module docstring for what `value` holds."""

    tag: int
    value: Any = None

    @property
    def type_name(self) -> str:
        """The type as attribute listings print it, such as DOUBLE_LONG_UNSIGNED."""
        return Tag(self.tag).name


NULL = Data(0, None)


def plain(data: Data) -> Any:
    """The value without its types: arrays and structures become tuples, compact arrays the tuple of their items."""
    tag, value = data
    if tag == 1 or tag == 2:
        return tuple([plain(item) for item in value])
    if tag == 19:
        return tuple([plain(item) for item in value.items])
    return value


def null() -> Data:
    """null-data"""
    return NULL


def array(*items: Data) -> Data:
    """array of items of one type"""
    return Data(1, items)


def structure(*items: Data) -> Data:
    """structure of items of any type"""
    return Data(2, items)


def boolean(value: bool) -> Data:
    """boolean"""
    return Data(3, value)


def bit_string(bits: str) -> Data:
    """bit-string from text of 0 and 1, leftmost first"""
    return Data(4, bits)


def double_long(value: int) -> Data:
    """32 bits signed"""
    return Data(5, value)


def double_long_unsigned(value: int) -> Data:
    """32 bits"""
    return Data(6, value)


def octet_string(value: bytes) -> Data:
    """octet-string"""
    return Data(9, value)


def visible_string(value: str) -> Data:
    """visible-string"""
    return Data(10, value)


def integer(value: int) -> Data:
    """8 bits signed"""
    return Data(15, value)


def long(value: int) -> Data:
    """16 bits signed"""
    return Data(16, value)


def unsigned(value: int) -> Data:
    """8 bits"""
    return Data(17, value)


def long_unsigned(value: int) -> Data:
    """16 bits"""
    return Data(18, value)


def long64_unsigned(value: int) -> Data:
    """64 bits"""
    return Data(21, value)


def enum(value: int) -> Data:
    """enum, 8 bits"""
    return Data(22, value)
