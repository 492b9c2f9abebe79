"""Encoders for bound records as straight Python, written once from the schema: attributes in, Avro bytes out.

Why: the streams send nine records for each command. Through a dict and fastavro's walk over the schema their encoding
cost more than everything else together. fastavro remains the reference: the same bytes are demanded by tests, and what
this cannot write (`encoder` gives None) it goes on writing.

A record's function joins one tuple; what stands before the record, the single-object header or its index in a union,
is the tuple's first part. Of a Flight, a branch of `["null", "Flight"]`:

    def write_Flight_1(r):
        return b''.join((
            b'\\x02',
            LONGS[r.number],
            LONGS[r.deadline],
            (b'\\x00' if not (v2 := r.attempting) else b''.join((LONGS[len(v2)], *[TEXTS[i3] for i3 in v2], b'\\x00'))),
        ))

and in the function of its device: `(b'\\x00' if (v4 := r.flight) is None else write_Flight_1(v4)),`

Only `int`, `long`, `string`, `bytes`, `boolean`, enums, arrays, maps, records bound to a class, and unions of null
with one of these or of records. Times are int milliseconds in bound records, so logical types need no change.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from schemas._avsc import Json, Names, extract
from schemas._source import Cannot, Source, short
from schemas._tables import LONGS, TEXTS, long_bytes, optional, text_bytes, unchanged

Encoder = Callable[[Any], bytes]

UNCHANGED: Final = frozenset({"meterlog.Registration"})
"""Records whose bytes are kept by identity: a device's registration, the half of its state's fields, lies as the same
object in each state and each job until the device is added anew. Nothing in it is ever changed in place."""

_EMPTY: Final = repr(b"\x00")  # no items, or no more of them


def encoder(schema: Json, names: Names, classes: Mapping[str, type], head: bytes = b"") -> Encoder | None:
    """What gives `head` and the body of an instance of the class bound to a record; None when fastavro has to.

    Raises, when called, TypeError, ValueError, KeyError, AttributeError or OverflowError for what is not of the schema.
    """
    source = _Source(names, classes, {"LONGS": LONGS, "TEXTS": TEXTS})
    try:
        name = source.record(schema, head)
    except Cannot:
        return None
    return source.compiled(name, f"encoder of {schema['name']}")


class _Source(Source):
    """The text of one encoder. Every value becomes expressions, parts of the tuple that is joined."""

    def __init__(self, names: Names, classes: Mapping[str, type], scope: Mapping[str, Any]) -> None:
        super().__init__(names, classes, scope)
        self._functions: dict[tuple[str, bytes], str] = {}  # record and what stands before it -> its function

    def record(self, schema: Json, head: bytes) -> str:
        """Write the function of a record, and say what it is called."""
        full = schema["name"]
        if full not in self._classes:
            raise Cannot(full)
        if (full, head) not in self._functions:
            name = self._functions[full, head] = self._new(f"write_{short(schema)}")
            parts = [repr(head)] if head else []
            for field in schema["fields"]:
                parts += self._parts(field["type"], f"r.{field['name']}")
            joined = ["b''.join((", *(f"    {part}," for part in parts), "))"]
            self._lines += self._function(name, joined) if full not in UNCHANGED else self._kept(name, schema, joined)
        return self._functions[full, head]

    def _function(self, name: str, joined: list[str]) -> list[str]:
        first, *others = joined
        return [f"def {name}(r):", f"    return {first}", *(f"    {line}" for line in others)]

    def _kept(self, name: str, schema: Json, joined: list[str]) -> list[str]:
        kept = self._bound("kept_", unchanged(json.dumps(extract(schema, self._names))))
        first, *others = joined
        return [
            f"def {name}(r):",
            f"    if (k := {kept}.get(id(r))) is not None:",
            "        return k[0]",
            f"    return {kept}.keep(r, {first}",
            *(f"    {line}" for line in others),
            "    )",
        ]

    def _one(self, schema: Json, value: str) -> str:
        """A value's bytes as one expression."""
        return " + ".join(self._parts(schema, value))

    def _parts(self, schema: Json, value: str) -> list[str]:
        """Expressions of bytes for one value; `value` is an expression, too, and is evaluated once."""
        if isinstance(schema, list):
            return [self._union(schema, value)]
        if isinstance(schema, str) and schema in self._names:
            schema = self._names[schema]
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, dict | list):
            return self._parts(kind, value)
        if kind in ("int", "long"):
            return [f"LONGS[{value}]"]
        if kind == "string":
            return [f"TEXTS[{value}]"]
        if kind == "bytes":
            v = self._new("v")
            return [f"LONGS[len({v} := {value})]", v]
        if kind == "boolean":
            return [f"(b'\\x01' if {value} else b'\\x00')"]
        if kind == "enum":
            return [f"{self._bound(short(schema), self._symbols(schema))}[{value}]"]
        if kind == "record":
            return [f"{self.record(schema, b'')}({value})"]
        if kind == "array":
            v, item = self._new("v"), self._new("i")
            return [self._blocks(v, value, f"*[{self._one(schema['items'], item)} for {item} in {v}]")]
        if kind == "map":
            v, key, item = self._new("v"), self._new("k"), self._new("i")
            entries = f"*[TEXTS[{key}] + {self._one(schema['values'], item)} for {key}, {item} in {v}.items()]"
            return [self._blocks(v, value, entries)]
        raise Cannot(kind)

    def _blocks(self, v: str, value: str, items: str) -> str:
        """All items as one block, and the empty one that ends an array or a map."""
        return f"({_EMPTY} if not ({v} := {value}) else b''.join((LONGS[len({v})], {items}, {_EMPTY})))"

    def _symbols(self, schema: Json) -> dict[Any, bytes]:
        """Bytes by an enum's members."""
        bound = self._classes.get(schema["name"])
        if bound is None or not (issubclass(bound, Enum) and issubclass(bound, str)):
            raise Cannot(schema["name"])  # only a StrEnum's member is found by its symbol
        return {symbol: long_bytes(place) for place, symbol in enumerate(schema["symbols"])}

    def _union(self, schema: list[Json], value: str) -> str:
        branches = [(place, branch) for place, branch in enumerate(schema) if branch != "null"]
        if len(branches) == 1 and "null" in schema:
            return self._optional(schema.index("null"), *branches[0], value)
        if len(branches) != len(schema):
            raise Cannot("union of null and several")
        functions: list[tuple[str, str]] = []
        for place, branch in branches:
            definition = self._names.get(branch) if isinstance(branch, str) else branch
            if not isinstance(definition, dict) or definition["type"] != "record":
                raise Cannot("union")
            functions.append((definition["name"], self.record(definition, long_bytes(place))))
        # the functions are known by name only until the text is compiled, so the table is a line of it
        table, v = self._new("branches_"), self._new("v")
        entries = ", ".join(f"{self._bound('class_', self._classes[full])}: {name}" for full, name in functions)
        self._lines.append(f"{table} = {{{entries}}}")
        return f"{table}[type({v} := {value})]({v})"

    def _optional(self, null: int, place: int, branch: Json, value: str) -> str:
        """Null or one other: where there is a table None is an entry of it."""
        absent, head = long_bytes(null), long_bytes(place)
        definition: Json = self._names.get(branch, branch) if isinstance(branch, str) else branch
        kind = definition if isinstance(definition, str) else definition["type"]
        if kind in ("int", "long"):
            return f"{self._bound('longs_', optional(long_bytes, null, place))}[{value}]"
        if kind == "string":
            return f"{self._bound('texts_', optional(text_bytes, null, place))}[{value}]"
        if kind == "enum":
            symbols = {symbol: head + data for symbol, data in self._symbols(definition).items()}
            return f"{self._bound(short(definition), symbols | {None: absent})}[{value}]"
        v = self._new("v")
        if kind == "record":
            # one memory for a record that does not change, whatever stands before it
            written = self._one(definition, v) if definition["name"] in UNCHANGED else ""
            present = f"{head!r} + {written}" if written else f"{self.record(definition, head)}({v})"
        else:
            present = f"{head!r} + {self._one(branch, v)}"
        return f"({absent!r} if ({v} := {value}) is None else {present})"
