"""Decoders as straight Python, written once from the schema: Avro bytes in, instances of the bound classes out.

Why: by way of fastavro, a dict for each record, and `_convert`, reading cost the streams more than deciding. fastavro
remains the reference: tests demand the same values, and what an older schema wrote it alone reads.

A record's function takes the bytes and where to begin, and gives the record and where it ended. Of an AttemptBegun,
and of a field `["null", "string"]`:

    def read_AttemptBegun_1(d, p):
        r = Draft_3()
        b = d[p]
        if b < 128: r.number = ZIGZAG[b]; p += 1
        else: r.number, p = long(d, p)
        n = d[p]
        if n & 129: n, p = length(d, p)  # of several bytes, or odd: negative
        else: n >>= 1; p += 1
        r.correlation_id = d[p:(p := p + n)].decode()
        r.__class__ = AttemptBegun_2  # see _draft
        return r, p

        i = d[p]; p += 1
        if i == 0:
            r.time_zone = None
        elif i == 2:
            ...
        else: refuse(i)

Hostile bytes: a slice never makes more bytes than there are, so lengths are not compared with what is left: `p` only
grows, beyond the end the next value raises an error, and a record that ended elsewhere than its bytes is refused by
`codec`. Every item of an array reads a byte at least (`_avsc.check_bounded`), so a count that is not there ends the
same way.

Stricter than fastavro, which lets pass what no writer writes: numbers of more than 64 bits, a boolean of neither 0 nor
1, a branch or symbol counted from the end (-1), its index in more bytes than it needs, a block of -2^63 items.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, NoReturn

from schemas._avsc import Json, Names
from schemas._logical import READERS
from schemas._source import Cannot, Source, short

Decoder = Callable[[bytes, int], tuple[Any, int]]

_ONE_BYTE: Final = 64  # indexes of branches and symbols below it lie in one byte
_FULL: Final = 16_384
_SHIFTS: Final = tuple(range(0, 70, 7))
_ZIGZAG: Final = [number >> 1 ^ -(number & 1) for number in range(128)]
_BOOLEANS: Final = {0: False, 1: True}
_REALS: Final = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}


def decoder(schema: Json, names: Names, classes: Mapping[str, type]) -> Decoder | None:
    """What gives a value of a record's schema and where it ended; None when fastavro has to.

    Raises EOFError, when called, for bytes that end too early, and for others KeyError, ValueError, OverflowError or
    `struct.error`. It may end beyond the bytes: then, too, they end too early.
    """
    source = _Source(names, classes, _SCOPE)
    try:
        name = source.record(schema)
    except Cannot:
        return None
    found: Decoder = source.compiled(name, f"decoder of {schema['name']}")

    def read(data: bytes, start: int) -> tuple[Any, int]:
        try:
            return found(data, start)
        except IndexError:  # of the bytes: whatever else is looked up lies in dicts
            raise EOFError("the bytes end within a value") from None

    return read


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    """An Avro long before zigzag, and where it ended."""
    value = 0
    for shift in _SHIFTS:
        byte = data[at]
        at += 1
        if byte < 128:
            value |= byte << shift
            if value >> 64:
                break
            return value, at
        value |= (byte & 127) << shift
    raise OverflowError("a long of more than 64 bits")


_times: dict[bytes, int] = {}
"""Longs of six bytes, as times are until 2039: those of a batch come again and again."""


def _long(data: bytes, at: int) -> tuple[int, int]:
    """A long of more than one byte."""
    found = _times.get(six := data[at : at + 6])
    if found is not None:
        return found, at + 6
    value, end = _unsigned(data, at)
    value = value >> 1 ^ -(value & 1)
    if end == at + 6:
        if len(_times) >= _FULL:
            _times.clear()
        _times[six] = value
    return value, end


def _length(data: bytes, at: int) -> tuple[int, int]:
    value, end = _unsigned(data, at)
    if value & 1:
        raise ValueError("a negative length")
    return value >> 1, end


def _count(data: bytes, at: int) -> tuple[int, int]:
    """Items of a block. Negative: as many, and the block's size in bytes stands before them, for whoever skips it."""
    value, end = _unsigned(data, at)
    if value & 1:
        return (value >> 1) + 1, _unsigned(data, end)[1]
    return value >> 1, end


def _refuse(index: int) -> NoReturn:
    raise KeyError(index)


class _Form(NamedTuple):
    """How a record comes together: a first line, where a field's value goes to, and the last lines."""

    begin: str
    place: str
    end: list[str]


def _as_dict(order: list[str]) -> _Form:
    return _Form("", "v_{}", ["return {" + ", ".join(f"{name!r}: v_{name}" for name in order) + "}, p"])


def _draft(cls: type) -> type | None:
    """A class of the same slots that may be assigned to, whose instance becomes one of `cls` when it is whole.

    The `__init__` of a frozen dataclass sets each field by a call, which took half the time of reading a registration.
    None for a class that is not frozen with slots, or checks itself: it is to be called.
    """
    slots = tuple(cls.__dict__.get("__slots__", ()))
    if not slots or not cls.__dataclass_params__.frozen or hasattr(cls, "__post_init__"):  # type: ignore[attr-defined]
        return None
    draft = type(f"{cls.__name__}Draft", (), {"__slots__": slots})
    try:
        draft().__class__ = cls
    except TypeError:  # of a layout of its own
        return None
    return draft


_SCOPE: Final = {
    "ZIGZAG": _ZIGZAG,
    "BOOLEANS": _BOOLEANS,
    "long": _long,
    "length": _length,
    "count": _count,
    "refuse": _refuse,
}


class _Source(Source):
    """The text of one decoder. `d`: the bytes, `p`: the next one's place; `n`, `b` and `i` live for a line or two."""

    def __init__(self, names: Names, classes: Mapping[str, type], scope: Mapping[str, Any]) -> None:
        super().__init__(names, classes, scope)
        self._functions: dict[str, str] = {}  # record -> its function

    def record(self, schema: Json) -> str:
        """Write the function of a record, and say what it is called."""
        full = schema["name"]
        if full not in self._functions:
            name = self._functions[full] = self._new(f"read_{short(schema)}")
            cls = self._classes.get(full)
            order = [field["name"] for field in schema["fields"]]
            begin, place, end = _as_dict(order) if cls is None else self._instance(cls, order)
            lines = [begin] if begin else []
            for field in schema["fields"]:
                lines += self._value(field["type"], place.format(field["name"]), rich=cls is None)
            self._lines += [f"def {name}(d, p):", *_deeper([*lines, *end])]
        return self._functions[full]

    def _instance(self, cls: type, order: list[str]) -> _Form:
        own = [field.name for field in fields(cls)] if is_dataclass(cls) else []
        if set(own) != set(order) or any(field.kw_only or not field.init for field in fields(cls)):
            raise Cannot(cls)
        name, draft = self._bound(f"{cls.__name__}_", cls), _draft(cls)
        if draft is None:
            return _Form("", "v_{}", [f"return {name}({', '.join(f'v_{each}' for each in own)}), p"])
        return _Form(f"r = {self._bound('Draft_', draft)}()", "r.{}", [f"r.__class__ = {name}", "return r, p"])

    def _value(self, schema: Json, v: str, *, rich: bool) -> list[str]:
        """Lines that read one value into the variable `v`. `rich`: the record around it is not bound to a class."""
        if isinstance(schema, list):
            return self._union(schema, v, rich)
        if isinstance(schema, str) and schema in self._names:
            schema = self._names[schema]
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, dict | list):
            return self._value(kind, v, rich=rich)
        lines = self._plain(schema, kind, v, rich)
        logical = None if isinstance(schema, str) or not rich else READERS.get(schema.get("logicalType", ""))
        return lines if logical is None else [*lines, f"{v} = {self._bound('logical_', logical)}({v})"]

    def _plain(self, schema: Json, kind: str, v: str, rich: bool) -> list[str]:
        """The value as it is without logical types."""
        if kind == "null":
            return [f"{v} = None"]
        if kind in ("int", "long"):
            return ["b = d[p]", f"if b < 128: {v} = ZIGZAG[b]; p += 1", f"else: {v}, p = long(d, p)"]
        if kind in ("string", "bytes"):
            text = ".decode()" if kind == "string" else ""
            return [*_number("n", "length"), f"{v} = d[p:(p := p + n)]{text}"]
        if kind == "boolean":
            return [f"{v} = BOOLEANS[d[p]]; p += 1"]
        if kind in _REALS:
            unpack = self._bound("unpack_", _REALS[kind].unpack_from)
            return [f"{v}, = {unpack}(d, p); p += {_REALS[kind].size}"]
        if kind == "enum":
            return [f"{v} = {self._bound(short(schema), self._symbols(schema))}[d[p]]; p += 1"]
        if kind == "record":
            return [f"{v}, p = {self.record(schema)}(d, p)"]
        if kind in ("array", "map"):
            return self._blocks(schema, kind, v, rich)
        raise Cannot(kind)

    def _symbols(self, schema: Json) -> dict[int, Any]:
        """An enum's members, of one without a class its symbols, by the byte of their index."""
        if len(schema["symbols"]) > _ONE_BYTE:
            raise Cannot(schema["name"])
        cls = self._classes.get(schema["name"])
        if cls is None:
            return {place << 1: symbol for place, symbol in enumerate(schema["symbols"])}
        if not issubclass(cls, Enum):
            raise Cannot(cls)
        members = {member.value: member for member in cls}
        return {place << 1: members[symbol] for place, symbol in enumerate(schema["symbols"]) if symbol in members}

    def _blocks(self, schema: Json, kind: str, v: str, rich: bool) -> list[str]:
        """Blocks of items, each with their count before it, until one of none."""
        target, v = v, self._new("v")
        item, left = self._new("v"), self._new("n")
        if kind == "array":
            each = [*self._value(schema["items"], item, rich=rich), f"{v}.append({item})"]
            empty, begun, whole = "()", "[]", f"tuple({v})"
        else:
            key = self._new("v")
            each = [
                *self._value("string", key, rich=rich),
                *self._value(schema["values"], item, rich=rich),
                f"{v}[{key}] = {item}",
            ]
            empty = begun = "{}"
            whole = v
        return [
            "if d[p] == 0:",
            *_deeper([f"{target} = {empty}; p += 1"]),
            "else:",
            *_deeper(
                [
                    f"{v} = {begun}",
                    *_number(left, "count"),
                    f"while {left}:",
                    *_deeper([f"for _ in range({left}):", *_deeper(each), *_number(left, "count")]),
                    f"{target} = {whole}",
                ]
            ),
        ]

    def _union(self, schema: list[Json], v: str, rich: bool) -> list[str]:
        if len(schema) > _ONE_BYTE:
            raise Cannot("union")
        definitions: list[Json] = [self._names.get(each, each) if isinstance(each, str) else each for each in schema]
        records = [each for each in definitions if not isinstance(each, str) and each["type"] == "record"]
        if len(records) == len(schema) and all(each["name"] in self._classes for each in records):
            # the functions are known by name only until the text is compiled, so the table is a line of it
            table = self._new("branches_")
            entries = ", ".join(f"{place << 1}: {self.record(each)}" for place, each in enumerate(records))
            self._lines.append(f"{table} = {{{entries}}}")
            return [f"{v}, p = {table}[d[p]](d, p + 1)"]
        lines = ["i = d[p]; p += 1"]
        for place, (branch, definition) in enumerate(zip(schema, definitions, strict=True)):
            each = self._value(branch, v, rich=rich)
            if len(records) > 1 and definition in records and definition["name"] not in self._classes:
                each.append(f"{v} = ({definition['name']!r}, {v})")  # which one it is
            lines += [f"{'elif' if place else 'if'} i == {place << 1}:", *_deeper(each)]
        return [*lines, "else: refuse(i)"]


def _number(v: str, several: str) -> list[str]:
    """A length or a count: what is odd, so negative, or of several bytes goes to the function."""
    return [f"{v} = d[p]", f"if {v} & 129: {v}, p = {several}(d, p)", f"else: {v} >>= 1; p += 1"]


def _deeper(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
