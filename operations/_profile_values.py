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


def octets_of_name(text: str) -> bytes | None:
    """Six bytes from `1.0.1.8.0.255`; None when it is no logical name."""
    parts = text.split(".")
    if len(parts) != 6 or not all(part.isdigit() and int(part) < 256 for part in parts):
        return None
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
    and structures a list of elements.

    An element is a text, its type before its value ("unsigned 5", "octet-string obis 0.0.1.0.0.255"), or a list: in an
    array it is a structure, in a structure an array, as COSEM nests them; `{structure = []}` where it does not.
    """
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
        inner = Tag.STRUCTURE if kind is Tag.ARRAY else Tag.ARRAY
        return Data(kind, tuple(_element(table, f"{key}[{index}]", inner, each) for index, each in enumerate(value)))
    elif kind in _OCTETS and isinstance(value, dict) and len(value) == 1:
        octets = _octets(value)
        if octets is not None and length in (None, len(octets)):
            text = kind in (Tag.VISIBLE_STRING, Tag.UTF8_STRING)
            return Data(kind, octets.decode() if text else octets)
    raise table.error(
        key, f"{value!r} is no {kind.name.lower()}" + (f" of length {length}" if length is not None else "")
    )


def _element(table: Table, key: str, nested: Tag, value: Any) -> Data:
    match value:
        case list():
            return typed_value(table, key, nested, None, value)
        case {"structure": list(parts)} if len(value) == 1:
            return typed_value(table, key, Tag.STRUCTURE, None, parts)
        case str():
            name, _, rest = value.partition(" ")
            kind, length = parse_type(Table(table.file, table.path, {key: name}), key)
            return typed_value(table, key, kind, length, _literal(kind, rest))
    raise table.error(key, "is neither a text of a type and a value, nor a list")


def _literal(kind: Tag, text: str) -> Any:
    """What the file would have said of a value outside a list; the text itself when it is no such value."""
    if kind in _INTEGERS and text.removeprefix("-").isdigit():
        return int(text)
    if kind is Tag.BOOLEAN:
        return {"true": True, "false": False}.get(text, text)
    if kind in _OCTETS:
        form, _, octets = text.partition(" ")
        return {form: octets}
    return text


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
            return octets_of_name(code)
    return None
