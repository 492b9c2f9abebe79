"""A COSEM value as one text for people (operations-reading 4.3): type, kind, and the value by its look."""

from typing import Final

from operations._cosem_time import LENGTH, parts_of
from operations._data import Data, Tag

_KINDS: Final = {
    Tag.NULL_DATA: "Null",
    Tag.ARRAY: "Complex",
    Tag.STRUCTURE: "Complex",
    Tag.BOOLEAN: "Boolean",
    Tag.BIT_STRING: "BitString",
    Tag.OCTET_STRING: "ByteArray",
    Tag.VISIBLE_STRING: "ByteArray",
    Tag.UTF8_STRING: "ByteArray",
    Tag.DATE_TIME: "CosemDateFormat",
    Tag.DATE: "CosemDateFormat",
    Tag.TIME: "CosemDateFormat",
    Tag.COMPACT_ARRAY: "?",
    Tag.DONT_CARE: "?",
}
_DATE_TIME_PARTS: Final = (
    "year", "month", "day", "weekday", "hour", "minute", "second", "hundredths", "deviation", "clockstatus",
)  # fmt: skip
_WORDS: Final = ("year", "deviation")  # of two bytes; the others are printed as signed bytes


def describe(data: Data) -> str:
    """`DataObject: Choice=<TYPE>, ResultData is<Kind>, value=[<Kind>]: <text>`; elements of arrays and structures
    follow, a line each.
    """
    try:
        tag = Tag(data.tag)
    except ValueError:
        return f"DataObject: Choice={data.tag}, ResultData is?, value=[?]: {data.value!r}"
    kind = _KINDS.get(tag, "Number")
    return f"DataObject: Choice={tag.name}, ResultData is{kind}, value=[{kind}]: {_text(kind, data)}"


def _text(kind: str, data: Data) -> str:
    value = data.value
    if kind == "Null":
        return "null"
    if kind == "Boolean":
        return "true" if value else "false"
    if kind == "BitString":
        groups = [value[at : at + 8].ljust(8, "0") for at in range(0, len(value), 8)]
        return f"{len(groups)} bytes, {len(value)} bits, {int(''.join(groups) or '0', 2)}, {' '.join(groups)}"
    if kind == "Complex":
        lines = (line for element in value for line in describe(element).split("\n"))
        return "\n".join((f"{len(value)} elements", *(f"  {line}" for line in lines)))
    if isinstance(value, str):
        value = value.encode()
    return _octets(value) if isinstance(value, bytes) else str(value)


def _octets(value: bytes) -> str:
    if len(value) == 6:
        a, b, c, d, e, f = value
        return f"{a}-{b}:{c}.{d}.{e}.{f}"
    if len(value) == LENGTH:
        named = zip(_DATE_TIME_PARTS, parts_of(value), strict=True)
        return ", ".join(f"{name}={part if name in _WORDS else _signed(part)}" for name, part in named)
    return f"bytes[{', '.join(map(str, value))}]"


def _signed(part: int) -> int:
    return part - 256 if part > 127 else part
