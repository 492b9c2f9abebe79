"""The compiled decoders read what fastavro reads, and refuse what it refuses, and what it lets pass by mistake."""

import struct
from dataclasses import FrozenInstanceError, dataclass
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations import catalogue
from schemas import codec
from schemas._decode import decoder
from schemas.records import Tick
from streams.device import wire
from tests import strategies

assert wire and catalogue()  # bind their records
SEEDS = st.sampled_from((0, 1, 2, 3, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF)) | st.integers(0, 255)


class Lax(Exception):
    """Something that fastavro lets pass, and no writer writes."""


class Strict:
    """Walks over bytes as the Avro specification reads: an independent third reader, which keeps no values."""

    def __init__(self, body: codec._Body, data: bytes) -> None:
        self.names, self.data, self.at = body.names, data, 0
        self.walk(body.published)

    def number(self) -> tuple[int, int]:
        """A long, and in how many bytes."""
        value, shift, begin = 0, 0, self.at
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if self.at - begin > 10 or value >> 64:
            raise Lax("more than 64 bits")
        return value >> 1 ^ -(value & 1), self.at - begin

    def index(self, of: int) -> int:
        index, size = self.number()
        if not 0 <= index < of or size > 1:
            raise Lax("index")
        return index

    def blocks(self, *schemas: Any) -> None:
        while count := self.number()[0]:
            if count < 0:
                self.number()
            if count == -(1 << 63):
                raise Lax("a count that is its own negative")
            for _ in range(abs(count)):
                for schema in schemas:
                    self.walk(schema)

    def walk(self, schema: Any) -> None:
        schema = self.names.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, list):
            self.walk(schema[self.index(len(schema))])
            return
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind == "record":
            for field in schema["fields"]:
                self.walk(field["type"])
        elif kind in ("int", "long"):
            self.number()
        elif kind in ("string", "bytes"):
            size = self.number()[0]  # first: it moves `at` itself
            self.at += size
        elif kind == "boolean":
            self.at += 1
            if self.data[self.at - 1] > 1:
                raise Lax("boolean")
        elif kind == "enum":
            self.index(len(schema["symbols"]))
        elif kind == "double":
            self.at += 8
        elif kind == "array":
            self.blocks(schema["items"])
        elif kind == "map":
            self.blocks("string", schema["values"])
        elif kind != "null":
            self.walk(kind)


def fastavros(body: codec._Body, data: bytes) -> Any:
    """Value, or the error it is refused with."""
    try:
        value, end = body.slow_read(data, 0)
    except Exception as error:
        return error
    return value if end == len(data) else EOFError(end)


def compare(body: codec._Body, data: bytes) -> None:
    """Both read the same; both refuse; or ours refuses what the specification does not know."""
    expected = fastavros(body, data)
    try:
        found = body.read(data, 0)
    except codec.Unreadable:
        if not isinstance(expected, Exception):
            with pytest.raises(Lax):
                Strict(body, data)
        return
    assert not isinstance(expected, Exception), expected
    assert found == expected and repr(found) == repr(expected)  # 1 == True


def bodies(name: str) -> list[codec._Body]:
    """With the bound classes, and without any."""
    registry = codec._registry()
    found = [registry.body(name), registry.plain(registry.by_name[name])]
    assert all(body.decoder is not None for body in found)
    return found


@pytest.mark.parametrize("name", codec.names())
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_values_are_fastavros(name: str, data: st.DataObject) -> None:
    written = codec._registry().body(name).write(data.draw(strategies.record(name)))[codec.HEADER_BYTES :]
    bound, plain = bodies(name)
    compare(bound, written)
    compare(plain, written)  # may be refused: of a bound record's times not all are datetimes
    assert bound.read(written, 0) == fastavros(bound, written)


@pytest.mark.parametrize("name", codec.names())
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_mutated_bytes_are_read_as_by_fastavro_or_refused(name: str, data: st.DataObject) -> None:
    written = bytearray(codec._registry().body(name).write(data.draw(strategies.record(name)))[codec.HEADER_BYTES :])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(written)))
        action = data.draw(st.sampled_from(("set", "set", "cut", "insert", "end")))
        if action == "set" and at < len(written):
            written[at] = data.draw(SEEDS)
        elif action == "insert":
            written[at:at] = bytes(data.draw(st.lists(SEEDS, max_size=12)))
        elif action == "cut":
            del written[at : at + data.draw(st.integers(1, 8))]
        else:
            del written[at:]
    for body in bodies(name):
        compare(body, bytes(written))


@pytest.mark.parametrize("name", codec.names())
@settings(max_examples=15, deadline=None)
@given(body=st.lists(SEEDS, max_size=60))
def test_arbitrary_bytes_are_read_as_by_fastavro_or_refused(name: str, body: list[int]) -> None:
    for each in bodies(name):
        compare(each, bytes(body))


@pytest.mark.parametrize("name", codec.names())
@settings(max_examples=2, deadline=None)
@given(data=st.data())
def test_no_beginning_of_a_record_is_one(name: str, data: st.DataObject) -> None:
    body = codec._registry().body(name)
    written = body.write(data.draw(strategies.record(name)))[codec.HEADER_BYTES :]
    for end in range(len(written)):
        with pytest.raises(codec.Unreadable):
            body.read(written[:end], 0)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


COLOUR = {"type": "enum", "name": "Colour", "symbols": ["red", "blue"]}
ITEM = {"type": "record", "name": "Item", "fields": [{"name": "name", "type": "string"}]}
OTHER = {"type": "record", "name": "Other", "fields": [{"name": "number", "type": "long"}]}
MOMENT = {"type": "long", "logicalType": "timestamp-millis"}
NINES = b"\xff" * 9


def read(kind: Any, data: bytes, names: dict[str, Any] | None = None, **classes: type) -> Any:
    """The value of a record's only field; None of nothing too much or too little."""
    found = decoder({"type": "record", "name": "r", "fields": [{"name": "f", "type": kind}]}, names or {}, classes)
    assert found is not None
    value, end = found(data, 0)
    if end != len(data):
        raise EOFError(end)
    return value["f"]


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        ("long", NINES + b"\x01", -(1 << 63)),
        ("long", b"\xfe" + NINES[1:] + b"\x01", (1 << 63) - 1),
        ("long", b"\x82\x00", 1),  # in more bytes than it needs: as fastavro
        ("int", b"\x80\x80\x80\x80\x20", 1 << 32),  # an int of more than 32 bits: as fastavro, which writes it too
        ("boolean", b"\x01", True),
        ("double", b"\x00\x00\x00\x00\x00\x00\xf8\x3f", 1.5),
        ("float", b"\x00\x00\xc0\x3f", 1.5),
        ("string", b"\x04\xc3\xa9", "é"),
        ("bytes", b"\x82\x00\xff", b"\xff"),
        ("null", b"", None),
        (COLOUR, b"\x02", "blue"),
        (["null", "string"], b"\x02\x02a", "a"),
        (["string", "null", "long"], b"\x04\x02", 1),
        ({"type": "array", "items": "long"}, b"\x00", ()),
        ({"type": "array", "items": "long"}, b"\x02\x02\x04\x04\x06\x00", (1, 2, 3)),  # two blocks
        ({"type": "array", "items": "long"}, b"\x03\x04\x02\x04\x00", (1, 2)),  # a block with its size
        ({"type": "array", "items": "long"}, b"\x03\x7e\x02\x04\x00", (1, 2)),  # which nobody looks at
        ({"type": "array", "items": "long"}, b"\x80\x00", ()),
        ({"type": "map", "values": "long"}, b"\x02\x02a\x02\x01\x06\x02b\x04\x00", {"a": 1, "b": 2}),
        ([ITEM, OTHER], b"\x02\x02", ("Other", {"number": 1})),  # which of two
        (["null", ITEM], b"\x02\x02a", {"name": "a"}),
    ],
)
def test_a_value(kind: Any, data: bytes, value: Any) -> None:
    found = read(kind, data)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("long", b""),
        ("long", b"\x80"),
        ("long", NINES + b"\x03"),  # 65 bits; fastavro leaves one out
        ("long", b"\x80" * 10 + b"\x00"),  # eleven bytes; fastavro reads on
        ("boolean", b"\x02"),  # fastavro: True
        (COLOUR, b"\x01"),  # fastavro: the last one
        (COLOUR, b"\x04"),
        (COLOUR, b"\x80\x00"),
        (["null", "string"], b"\x01\x02a"),  # fastavro: the last one
        (["null", "string"], b"\x04"),
        ([ITEM, OTHER], b"\x01\x02"),
        ("string", b"\x02\xff"),
        ("string", b"\x01a"),
        ("string", b"\x06ab"),
        ("string", b"\xfe" + NINES[1:] + b"\x01"),
        ("bytes", NINES + b"\x01"),
        ("double", b"\x00" * 7),
        ({"type": "array", "items": "long"}, b"\xfe" + NINES[1:] + b"\x01\x02"),
        ({"type": "array", "items": "string"}, NINES + b"\x01\x00\x02a"),
        ({"type": "array", "items": "long"}, b"\x02\x02"),
        ({"type": "map", "values": "long"}, b"\x02\x02a"),
    ],
)
def test_a_refusal(kind: Any, data: bytes) -> None:
    with pytest.raises((EOFError, KeyError, ValueError, OverflowError, struct.error)):
        read(kind, data)


@dataclass(frozen=True, slots=True)
class Swapped:
    """Its fields in another order than the schema's."""

    second: Colour
    first: str


@dataclass
class Open:
    second: Colour
    first: str


@dataclass(frozen=True, slots=True)
class Checked:
    second: Colour
    first: str

    def __post_init__(self) -> None:
        if not self.first:
            raise ValueError("empty")


@pytest.mark.parametrize("cls", [Swapped, Open, Checked])
def test_classes_of_any_make(cls: Any) -> None:
    fields = [{"name": "first", "type": "string"}, {"name": "second", "type": COLOUR}]
    found = read({"type": "record", "name": "R", "fields": fields}, b"\x02a\x02", R=cls, Colour=Colour)
    assert found == cls(first="a", second=Colour.BLUE) and type(found) is cls and found.second is Colour.BLUE


def test_a_class_that_checks_itself_does() -> None:
    fields = [{"name": "first", "type": "string"}, {"name": "second", "type": COLOUR}]
    with pytest.raises(ValueError, match="empty"):
        read({"type": "record", "name": "R", "fields": fields}, b"\x00\x02", R=Checked, Colour=Colour)


def test_what_is_read_is_as_frozen_as_what_is_made() -> None:
    tick = codec.decode(codec.encode(Tick(1, 2, 3)))
    assert type(tick) is Tick and hash(tick) == hash(Tick(1, 2, 3))
    with pytest.raises(FrozenInstanceError):
        tick.at = 4  # type: ignore[misc]


def test_times_come_out_right_however_often() -> None:
    """Longs of six bytes are remembered: each of its neighbours is another."""
    for at in [*range(1_700_000_000_000, 1_700_000_000_300), 1 << 34, 1 << 41, -(1 << 41), -1_700_000_000_000] * 2:
        assert codec.decode(codec.encode(Tick(at, 2 * at, 64 - at))) == Tick(at, 2 * at, 64 - at)


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "fixed", "name": "x", "size": 2},
        {"type": "enum", "name": "e", "symbols": [f"S{number}" for number in range(65)]},
    ],
)
def test_what_it_cannot_read_is_left_to_fastavro(kind: Any) -> None:
    assert decoder({"type": "record", "name": "r", "fields": [{"name": "f", "type": kind}]}, {}, {}) is None


def test_a_class_of_other_fields_is_left_to_fastavro() -> None:
    assert decoder({"type": "record", "name": "r", "fields": [{"name": "f", "type": "long"}]}, {}, {"r": Tick}) is None
