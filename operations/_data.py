"""COSEM values: a type tag and plain Python. What operations ask with and are answered, what profiles hold, what the
engine (`connectors/dlms/cosem`) encodes. Tags are those of A-XDR (Blue Book, reference meter-model 7.1).
"""

from enum import IntEnum
from typing import Any, NamedTuple


class Tag(IntEnum):
    """Type tags; the names are those DLMS tools print (reference operations-reading 4.3)."""

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
    LONG_INTEGER = 16
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
    """One value: None for null-data, a tuple of Data for array and structure, bytes for strings of octets, text of 0
    and 1, leftmost first, for bit-string, a `CompactArray` of the engine for compact-array.
    """

    tag: int
    value: Any = None
