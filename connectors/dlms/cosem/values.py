"""A constructor for each type of COSEM value that is sent; `axdr` says which plain Python stands for which type."""

from __future__ import annotations

from typing import Any

from operations._data import Data

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
