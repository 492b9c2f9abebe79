"""The small grammar of profile files: tables that name themselves in errors, types, units, OBIS codes, access and
typed values.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from operations._data import Data, Tag
from operations._profile import Access

T = TypeVar("T")
_REQUIRED: Any = object()

TYPES: Mapping[str, Tag] = {
    "null-data": Tag.NULL_DATA,
    "array": Tag.ARRAY,
    "structure": Tag.STRUCTURE,
    "boolean": Tag.BOOLEAN,
    "bit-string": Tag.BIT_STRING,
    "double-long": Tag.DOUBLE_LONG,
    "double-long-unsigned": Tag.DOUBLE_LONG_UNSIGNED,
    "octet-string": Tag.OCTET_STRING,
    "visible-string": Tag.VISIBLE_STRING,
    "utf8-string": Tag.UTF8_STRING,
    "bcd": Tag.BCD,
    "integer": Tag.INTEGER,
    "long": Tag.LONG_INTEGER,
    "unsigned": Tag.UNSIGNED,
    "long-unsigned": Tag.LONG_UNSIGNED,
    "compact-array": Tag.COMPACT_ARRAY,
    "long64": Tag.LONG64,
    "long64-unsigned": Tag.LONG64_UNSIGNED,
    "enum": Tag.ENUMERATE,
    "float32": Tag.FLOAT32,
    "float64": Tag.FLOAT64,
    "date-time": Tag.DATE_TIME,
    "date": Tag.DATE,
    "time": Tag.TIME,
}
UNITS: Mapping[str, int] = {
    "none": 255, "Wh": 30, "varh": 32, "W": 27, "var": 29, "A": 33, "V": 35, "m3": 13, "m3 corrected": 14, "s": 7,
    "%": 56,
}  # fmt: skip

_INTEGERS: Mapping[Tag, tuple[int, int]] = {
    Tag.DOUBLE_LONG: (-(1 << 31), (1 << 31) - 1),
    Tag.DOUBLE_LONG_UNSIGNED: (0, (1 << 32) - 1),
    Tag.INTEGER: (-128, 127),
    Tag.LONG_INTEGER: (-(1 << 15), (1 << 15) - 1),
    Tag.UNSIGNED: (0, 255),
    Tag.LONG_UNSIGNED: (0, 65_535),
    Tag.LONG64: (-(1 << 63), (1 << 63) - 1),
    Tag.LONG64_UNSIGNED: (0, (1 << 64) - 1),
    Tag.ENUMERATE: (0, 255),
    Tag.BCD: (0, 255),
}
_OCTETS = (Tag.OCTET_STRING, Tag.VISIBLE_STRING, Tag.UTF8_STRING, Tag.DATE_TIME, Tag.DATE, Tag.TIME, Tag.COMPACT_ARRAY)


class ProfileError(ValueError):
    """A profile file is wrong; the message names file, table and key."""


class Table:
    """One table of a file: what is taken from it is checked, what is left over is an error."""

    def __init__(self, file: str, path: str, data: Mapping[str, Any]) -> None:
        self.file, self.path, self.left = file, path, dict(data)

    def error(self, key: str, reason: str) -> ProfileError:
        return ProfileError(
            ": ".join(part for part in (f"{self.file}.toml", f"[{self.path}]", key, reason) if part not in ("", "[]"))
        )

    def take(self, key: str, kind: type[T], default: Any = _REQUIRED) -> T:
        found = self.left.pop(key, default)
        if found is _REQUIRED:
            raise self.error(key, "is missing")
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is int):
            raise self.error(key, f"is not of type {kind.__name__}")
        return found

    def table(self, key: str) -> "Table":
        return self.sub(key, self.take(key, dict, {}))

    def sub(self, key: str, data: Mapping[str, Any]) -> "Table":
        return Table(self.file, f"{self.path}.{key}" if self.path else key, data)

    def end(self) -> None:
        for key in self.left:
            raise self.error(key, "is not a key this table knows")


def parse_obis(table: Table, channel: int | None) -> bytes:
    """Six bytes from `0.x.24.2.1.255`; `x` is the channel."""
    text = table.take("obis", str)
    parts = text.replace(".x.", f".{channel}.", 1).split(".") if channel else text.split(".")
    if len(parts) != 6 or not all(part.isdigit() and int(part) < 256 for part in parts):
        raise table.error("obis", f"{text!r} is not six numbers from 0 to 255 with dots between")
    return bytes(map(int, parts))


def parse_type(table: Table, key: str) -> tuple[Tag, int | None]:
    """`octet-string(12)` -> its tag and 12."""
    text = table.take(key, str)
    name, bracket, rest = text.partition("(")
    if name not in TYPES or (bracket and not (rest.endswith(")") and rest[:-1].isdigit())):
        raise table.error(key, f"{text!r} is not a type, or a type and a length")
    return TYPES[name], int(rest[:-1]) if bracket else None


def access(table: Table, key: str) -> Access:
    """`rw`, `r`, `w`, `x` or nothing."""
    letters = table.take(key, str, "")
    known = {"r": Access.READ, "w": Access.WRITE, "x": Access.EXECUTE}
    if set(letters) - set(known):
        raise table.error(key, f"{letters!r} is not made of r, w and x")
    return Access(sum(known[letter] for letter in set(letters)))


def read_value(table: Table, key: str, kind: Tag, length: int | None) -> Data | None:
    """The static value of an attribute, or None when it has none."""
    return typed_value(table, key, kind, length, table.left.pop(key)) if key in table.left else None


def typed_value(table: Table, key: str, kind: Tag, length: int | None, value: Any) -> Data:
    """A number, a boolean, `{hex = ""}`, `{text = ""}` or `{obis = ""}` for octets, "0101" for bits, and for arrays
    and structures a list of `{type = "", value = }`."""
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return Data(kind, value)
    elif kind is Tag.BOOLEAN and isinstance(value, bool):
        return Data(kind, value)
    elif kind is Tag.BIT_STRING and isinstance(value, str) and length in (None, len(value)):
        if not set(value) - {"0", "1"}:
            return Data(kind, value)
    elif kind in (Tag.ARRAY, Tag.STRUCTURE) and isinstance(value, list) and length in (None, len(value)):
        return Data(kind, tuple(_element(table, f"{key}[{index}]", each) for index, each in enumerate(value)))
    elif kind in _OCTETS and isinstance(value, dict) and len(value) == 1:
        octets = _octets(value)
        if octets is not None and length in (None, len(octets)):
            text = kind in (Tag.VISIBLE_STRING, Tag.UTF8_STRING)
            return Data(kind, octets.decode() if text else octets)
    raise table.error(
        key, f"{value!r} is no {kind.name.lower()}" + (f" of length {length}" if length is not None else "")
    )


def _element(table: Table, key: str, value: Any) -> Data:
    if not isinstance(value, dict):
        raise table.error(key, "is not {type = , value = }")
    inner = table.sub(key, value)
    kind, length = parse_type(inner, "type")
    made = typed_value(inner, "value", kind, length, inner.left.pop("value", None))
    inner.end()
    return made


def _octets(value: dict[str, Any]) -> bytes | None:
    match value:
        case {"text": str(text)}:
            return text.encode()
        case {"hex": str(digits)}:
            try:
                return bytes.fromhex(digits)
            except ValueError:
                return None
        case {"obis": str(code)}:
            parts = code.split(".")
            return (
                bytes(map(int, parts)) if len(parts) == 6 and all(p.isdigit() and int(p) < 256 for p in parts) else None
            )
    return None
