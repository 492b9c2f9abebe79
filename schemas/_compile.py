"""Encoders for bound records as straight Python, written once from the schema: attributes in, Avro bytes out.

Why: the streams send nine records for each command. Through a dict and fastavro's walk over the schema their encoding
cost more than everything else together; a function that knows the fields is three times as fast. fastavro remains the
reference: the same bytes are demanded by tests, and what this cannot do (`None` from `encoder`) it goes on doing.

Only `int`, `long`, `string`, `bytes`, `boolean`, enums, arrays, maps, records bound to a class, and unions of null
with one of these or of records. Times are int milliseconds in bound records, so logical types need no change.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from schemas._avsc import Json, Names

Append = Callable[[bytes], None]
Encoder = Callable[[Any, Append], None]
_SMALL = 8_192  # numbers whose bytes are looked up


class _Cannot(Exception):
    """The schema holds something this does not write."""


@lru_cache(maxsize=8_192)  # the times of a batch come again and again
def long_bytes(number: int) -> bytes:
    """Avro long: zigzag, seven bits a byte, least significant first. Raises OverflowError outside 64 bits."""
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError(f"{number} does not fit a long")
    left = number << 1 ^ number >> 63
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def encoder(schema: Json, names: Names, classes: Mapping[str, type]) -> Encoder | None:
    """What writes an instance of the class bound to a record; None when fastavro has to.

    Raises, when called, TypeError, KeyError, AttributeError or OverflowError for what is not of the schema.
    """
    work = _Source(names, classes)
    try:
        name = work.record(schema)
    except _Cannot:
        return None
    exec(compile(work.text(), f"<encoder of {schema['name']}>", "exec"), work.scope)
    found: Encoder = work.scope[name]
    return found


class _Source:
    """The text of one encoder and its parts, one function a record, and the constants it refers to."""

    def __init__(self, names: Names, classes: Mapping[str, type]) -> None:
        self._names, self._classes = names, classes
        self._functions: dict[str, str] = {}  # record -> name of its function
        self._lines: list[str] = []
        self._counted = 0
        self.scope: dict[str, Any] = {"L": long_bytes, "S": [long_bytes(n) for n in range(_SMALL)]}

    def text(self) -> str:
        return "\n".join(self._lines)

    def record(self, schema: Json) -> str:
        """Write the function of a record, and say what it is called."""
        full = schema["name"]
        if full not in self._classes:
            raise _Cannot(full)
        if full not in self._functions:
            self._functions[full] = name = f"write_{len(self._functions)}"
            lines = [f"def {name}(r, a):"]
            for field in schema["fields"]:
                lines += self._value(field["type"], f"r.{field['name']}", 1)
            self._lines += [*lines, "    return None"]
        return self._functions[full]

    def _new(self, stem: str) -> str:
        self._counted += 1
        return f"{stem}{self._counted}"

    def _value(self, schema: Json, value: str, depth: int) -> list[str]:
        """Lines that append one value; `value` is an expression, evaluated once."""
        pad = "    " * depth
        if isinstance(schema, list):
            return self._union(schema, value, depth)
        if isinstance(schema, str) and schema in self._names:
            schema = self._names[schema]
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, dict | list):
            return self._value(kind, value, depth)
        if kind in ("int", "long"):
            v = self._new("v")
            return [f"{pad}{v} = {value}", f"{pad}a(S[{v}] if 0 <= {v} < {_SMALL} else L({v}))"]
        if kind in ("string", "bytes"):
            v = self._new("v")
            text = f"{value}.encode()" if kind == "string" else value
            return [f"{pad}{v} = {text}", *self._count(v, pad), f"{pad}a({v})"]
        if kind == "boolean":
            return [f"{pad}a(b'\\x01' if {value} else b'\\x00')"]
        if kind == "enum":
            table = self._new("E")
            self.scope[table] = {symbol: long_bytes(place) for place, symbol in enumerate(schema["symbols"])}
            bound = self._classes.get(schema["name"])
            if bound is None or not (issubclass(bound, Enum) and issubclass(bound, str)):
                raise _Cannot(schema["name"])  # only a StrEnum's member is found by its symbol
            return [f"{pad}a({table}[{value}])"]
        if kind == "record":
            return [f"{pad}{self.record(schema)}({value}, a)"]
        if kind == "array":
            v, item = self._new("v"), self._new("i")
            inner = self._value(schema["items"], item, depth + 2)
            return [
                f"{pad}{v} = {value}",
                f"{pad}if {v}:",
                *self._count(v, pad + "    "),
                f"{pad}    for {item} in {v}:",
                *inner,
                f"{pad}a(b'\\x00')",
            ]
        if kind == "map":
            v, key, item = self._new("v"), self._new("k"), self._new("i")
            return [
                f"{pad}{v} = {value}",
                f"{pad}if {v}:",
                *self._count(v, pad + "    "),
                f"{pad}    for {key}, {item} in {v}.items():",
                *self._value("string", key, depth + 2),
                *self._value(schema["values"], item, depth + 2),
                f"{pad}a(b'\\x00')",
            ]
        raise _Cannot(kind)

    def _count(self, value: str, pad: str) -> list[str]:
        n = self._new("n")
        return [f"{pad}{n} = len({value})", f"{pad}a(S[{n}] if {n} < {_SMALL} else L({n}))"]

    def _union(self, schema: list[Json], value: str, depth: int) -> list[str]:
        pad = "    " * depth
        branches = [(place, branch) for place, branch in enumerate(schema) if branch != "null"]
        if len(branches) == 1 and "null" in schema:
            v = self._new("v")
            place, branch = branches[0]
            return [
                f"{pad}{v} = {value}",
                f"{pad}if {v} is None:",
                f"{pad}    a({long_bytes(schema.index('null'))!r})",
                f"{pad}else:",
                f"{pad}    a({long_bytes(place)!r})",
                *self._value(branch, v, depth + 1),
            ]
        if len(branches) != len(schema):
            raise _Cannot("union of null and several")
        table, v = self._new("U"), self._new("v")
        chosen = []
        for place, branch in branches:
            definition = self._names.get(branch) if isinstance(branch, str) else branch
            if not isinstance(definition, dict) or definition["type"] != "record":
                raise _Cannot("union")
            chosen.append((definition["name"], place, self.record(definition)))
        # the functions are known by name only until the text is compiled, so the table is a line of it
        entries = ", ".join(f"C[{name!r}]: ({long_bytes(place)!r}, {function})" for name, place, function in chosen)
        self.scope["C"] = self._classes
        self._lines.append(f"{table} = {{{entries}}}")
        head, function = self._new("h"), self._new("f")
        return [
            f"{pad}{v} = {value}",
            f"{pad}{head}, {function} = {table}[type({v})]",
            f"{pad}a({head})",
            f"{pad}{function}({v}, a)",
        ]
