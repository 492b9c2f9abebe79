"""Every record to bytes and back: Avro single-object encoding. The only importer of fastavro.

A record is `C3 01`, the little-endian CRC-64-AVRO of its schema's parsing canonical form, and the Avro body: ten bytes
tell which schema it is. The schemas are the `.avsc` files of `avro/`, and those of `released/` for what older versions
wrote, which is read as the present class. They are read at first use.

Values: in classes bound to a schema times are int milliseconds (`records.py`); in requests and results of operations,
which come out as plain dicts, `timestamp-millis` is an aware datetime (UTC), `decimal` (24 digits, scale 6) a Decimal,
arrays are tuples, enums their symbols.

Hostile bytes: whatever cannot be read raises `Unreadable` and nothing else. A length that is not there is not
allocated, arrays of items that take no bytes and recursive schemas are refused when schemas are read, so memory is
linear in the size of the bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from io import BytesIO
from typing import Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas import _avsc, _convert, _decode, _encode, records
from schemas._quick import quick
from schemas.records import CommandHeader, ResponseHeader

MAGIC: Final = b"\xc3\x01"
HEADER_BYTES: Final = 10
_NULL_RESULT: Final = b"\x00"
_RESULT: Final = b"\x02"  # second branch of the union, as zigzag
COMMANDS: Final = "meterlog.commands."
RESPONSES: Final = "meterlog.responses."


class Unreadable(Exception):
    """Poison: bytes without the header, of an unknown schema, or that are not what their schema says. For `dead-
    letters`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_UNFIT = (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError)


class Unwritable(ValueError):
    """A record that does not fit its schema: a mistake of ours, or a request that nobody checked. Names the schema
    and the field.
    """


@quick
@dataclass(frozen=True, slots=True)
class Command:
    """A command of any operation. `request` is a dict of Python values; `operations.build_request` makes the Request
    of it.
    """

    header: CommandHeader
    operation: str
    request: Any


class _Body:
    """Values of one schema. `part`: of one that lies in another record, so it has no header of its own."""

    def __init__(self, schema: _avsc.Json, classes: Mapping[str, type], *, part: bool = False) -> None:
        full: Any = fastavro.parse_schema(schema)
        self.published: dict[str, Any] = full
        self.names = _avsc.names_in(full)
        _avsc.check_bounded(full, self.names)
        self.name = str(self.published["name"])
        self.avro: Any = fastavro.parse_schema(_avsc.without_logical_types(schema))
        _avsc.with_bytes_defaults(self.avro)
        self.classes = classes
        crc = fingerprint(to_parsing_canonical_form(self.avro), "CRC-64-AVRO")
        self.header = b"" if part else MAGIC + bytes.fromhex(crc)
        self.prepared = False

    def prepare(self) -> None:
        """Build the conversions: late, so that classes may be bound after the schemas were read."""
        self.to_wire = _convert.writer(self.published, self.names, self.classes)
        self.from_wire = _convert.reader(self.published, self.names, self.classes)
        self.encoder = _encode.encoder(self.published, self.names, self.classes, self.header)
        self.decoder = _decode.decoder(self.published, self.names, self.classes)
        self.prepared = True

    def write(self, value: object) -> bytes:
        """Header and body. Raises Unwritable."""
        if self.encoder is not None:
            try:
                return self.encoder(value)
            except _UNFIT:
                pass  # fastavro says which field it is
        return self.slow_write(value)

    def slow_write(self, value: object) -> bytes:
        """The same by way of fastavro."""
        out = BytesIO()
        out.write(self.header)
        try:
            if self.to_wire is not None:
                value = self.to_wire(value)
            fastavro.schemaless_writer(out, self.avro, value)
        except _UNFIT as error:
            raise Unwritable(f"{self.name}: {type(error).__name__}: {error}") from error
        return out.getvalue()

    def read(self, data: bytes, start: int, writer: Any = None) -> Any:
        """The value whose body begins at `start` and ends with `data`; `writer`: the older schema that wrote it."""
        try:
            if writer is None and self.decoder is not None:
                value, end = self.decoder(bytes(data), start)
            else:
                value, end = self.slow_read(data, start, writer)
        except Exception as error:  # neither has errors of its own: EOFError, IndexError, UnicodeDecodeError ...
            raise Unreadable(f"{self.name}: {type(error).__name__} {error}".rstrip()) from error
        if end < len(data):
            raise Unreadable(f"{self.name}: {len(data) - end} bytes too many")
        if end > len(data):
            raise Unreadable(f"{self.name}: {end - len(data)} bytes missing")
        return value

    def slow_read(self, data: bytes, start: int, writer: Any = None) -> tuple[Any, int]:
        """Value and end by way of fastavro, which alone knows how to read what an older schema wrote."""
        source = BytesIO(data)
        source.seek(start)
        if writer is None:
            value: Any = fastavro.schemaless_reader(source, self.avro, None, True, True)
        else:
            value = fastavro.schemaless_reader(source, writer, self.avro, True, True)
        return (value if self.from_wire is None else self.from_wire(value)), source.tell()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a header leads to. `older`: the schema of an earlier release, to be resolved to the present one."""

    body: _Body
    older: Any
    operation: str | None  # of a command or a response


class _Registry:
    """All schemas, by name and by header."""

    def __init__(self, current: Traversable, released: Traversable, classes: Mapping[str, type]) -> None:
        self.by_name: dict[str, _Body] = {}
        self.by_header: dict[bytes, _Entry] = {}
        self.by_class: dict[type, _Body] = {}
        for schema in _avsc.read_all(current):
            body = _Body(schema, classes)
            if body.name in self.by_name:
                raise ValueError(f"schema {body.name} is there twice")
            self.by_name[body.name] = body
            self.by_header[body.header] = _Entry(body, None, operation_of(body.name))
        for schema in _avsc.read_all(released):
            older = _Body(schema, classes)
            if older.header not in self.by_header and older.name in self.by_name:
                self.by_header[older.header] = _Entry(self.by_name[older.name], older.avro, operation_of(older.name))
        for name, body in self.by_name.items():
            if name in classes:
                self.by_class[classes[name]] = body
        self._parts: dict[tuple[str, str], _Body] = {}
        self._plain: dict[str, _Body] = {}

    def body(self, name: str) -> _Body:
        """Ready to write with."""
        body = self.by_name[name]
        if not body.prepared:
            body.prepare()
        return body

    def plain(self, whole: _Body) -> _Body:
        """The same schema, without the classes bound to its records."""
        if whole.name not in self._plain:
            body = _Body(_avsc.extract(whole.published, whole.names), {})
            body.prepare()
            self._plain[whole.name] = body
        return self._plain[whole.name]

    def part(self, name: str, field: str) -> _Body:
        """The record that lies in a field of a schema, for itself."""
        if (name, field) not in self._parts:
            whole = self.by_name[name]
            kind = next(each["type"] for each in whole.published["fields"] if each["name"] == field)
            branch = kind[1] if isinstance(kind, list) else kind
            part = _Body(_avsc.extract(branch, whole.names), whole.classes, part=True)
            part.prepare()
            self._parts[name, field] = part
        return self._parts[name, field]


def operation_of(name: str) -> str | None:
    """The operation a record belongs to by its full name; None for the shared records."""
    if name.startswith(COMMANDS):
        return name[len(COMMANDS) :].removesuffix("Command")
    if name.startswith(RESPONSES):
        return name[len(RESPONSES) :].removesuffix("Response")
    return None


_classes: dict[str, type] = {
    f"meterlog.{name}": kind
    for name, kind in vars(records).items()
    if isinstance(kind, type) and kind.__module__ == records.__name__
}

_encoders: dict[type, _Body] = {}  # those used so far


@cache
def _registry() -> _Registry:
    return _Registry(_avsc.schema_folder(), _avsc.released_folder(), _classes)


def bind(full_name: str, cls: type) -> None:
    """Pair an Avro record or enum with a frozen dataclass or Enum; nested ones each by their own name.

    To be called at import. A class whose fields are not the schema's raises TypeError at first use.
    """
    if _classes.get(full_name, cls) is not cls:
        raise ValueError(f"{full_name} is bound to {_classes[full_name].__name__} already")
    if full_name not in _classes:
        _classes[full_name] = cls
        _registry.cache_clear()
        _encoders.clear()


def bound() -> Mapping[str, type]:
    """Classes by the full names of their schemas, as they are now."""
    return dict(_classes)


def names() -> tuple[str, ...]:
    """Full names of all records that can travel, sorted."""
    return tuple(sorted(_registry().by_name))


def schema(full_name: str) -> dict[str, Any]:
    """The published schema, names in full. Raises LookupError."""
    return _known(full_name).by_name[full_name].published


def _encoder(cls: type) -> _Body:
    registry = _registry()
    if cls not in registry.by_class:
        raise Unwritable(f"{cls.__name__} is bound to no schema")
    _encoders[cls] = registry.body(registry.by_class[cls].name)
    return _encoders[cls]


def encode(record: object) -> bytes:
    """Single-object encoding of an instance of a bound class. Raises Unwritable."""
    body = _encoders.get(type(record)) or _encoder(type(record))
    return body.write(record)


def _entry(data: bytes | None) -> _Entry:
    entry = _registry().by_header.get(bytes(data[:HEADER_BYTES])) if data else None
    if entry is not None:
        return entry
    if not data:
        raise Unreadable("no value")
    if len(data) < HEADER_BYTES:
        raise Unreadable(f"{len(data)} bytes are less than a single-object header")
    if data[:2] != MAGIC:
        raise Unreadable(f"begins with {data[:2].hex()}, not with {MAGIC.hex()}: not single-object encoded")
    raise Unreadable(f"unknown schema, CRC-64-AVRO {int.from_bytes(data[2:HEADER_BYTES], 'little'):016x}")


def name_of(data: bytes) -> str:
    """Full name of the record's schema, without decoding it. Raises Unreadable."""
    return _entry(data).body.name


def _read(entry: _Entry, data: bytes) -> Any:
    if not entry.body.prepared:
        entry.body.prepare()
    return entry.body.read(data, HEADER_BYTES, entry.older)


def decode(data: bytes) -> Any:
    """An instance of the bound class; a `Command`, or a response's (header, result). Raises Unreadable."""
    entry = _entry(data)
    value = _read(entry, data)
    if entry.operation is None:
        return value
    if entry.body.name.startswith(COMMANDS):
        return Command(value["header"], entry.operation, value["request"])
    return value["header"], value.get("result")


def decode_plain(data: bytes) -> tuple[str, dict[str, Any]]:
    """Full schema name and plain values of any record: for readers that may not import the classes bound to it.

    Records are dicts, in a union of several (name, dict); times are aware datetimes. Raises Unreadable.
    """
    entry = _entry(data)
    value: dict[str, Any] = _registry().plain(entry.body).read(data, HEADER_BYTES, entry.older)
    return entry.body.name, value


def decode_command(data: bytes) -> Command:
    """A command of any operation. Raises Unreadable, also for another record."""
    entry = _entry(data)
    if entry.operation is None or not entry.body.name.startswith(COMMANDS):
        raise Unreadable(f"{entry.body.name} is not a command")
    value = _read(entry, data)
    return Command(value["header"], entry.operation, value["request"])


def decode_response(data: bytes) -> tuple[ResponseHeader, dict[str, Any] | None]:
    """A response of any operation: header, and result when there is one. Raises Unreadable, also for another record."""
    entry = _entry(data)
    if entry.operation is None or not entry.body.name.startswith(RESPONSES):
        raise Unreadable(f"{entry.body.name} is not a response")
    value = _read(entry, data)
    return value["header"], value.get("result")


def _command_name(operation: str) -> str:
    return f"{COMMANDS}{operation}Command"


def _response_name(operation: str) -> str:
    return f"{RESPONSES}{operation}Response"


def _known(name: str) -> _Registry:
    registry = _registry()
    if name not in registry.by_name:
        raise LookupError(f"no schema {name}")
    return registry


def encode_command(operation: str, header: CommandHeader, request: object) -> bytes:
    """A command; `request` is the operation's Request, or a mapping. Raises LookupError (no such operation),
    Unwritable.
    """
    name = _command_name(operation)
    return _known(name).body(name).write({"header": header, "request": request})


def encode_result(operation: str, result: object) -> bytes:
    """A result's Avro body alone, for `CommandEnded.result`. Raises LookupError (no such operation), Unwritable."""
    name = _response_name(operation)
    return _known(name).part(name, "result").write(result)


def response_header(operation: str) -> bytes:
    """The ten bytes before the operation's responses: by them a result kept for later is known to be of this schema.
    Raises LookupError (no such operation).
    """
    name = _response_name(operation)
    return _known(name).by_name[name].header


def decode_result(operation: str, body: bytes) -> dict[str, Any]:
    """What `encode_result` wrote. Raises LookupError (no such operation), Unreadable."""
    name = _response_name(operation)
    value: dict[str, Any] = _known(name).part(name, "result").read(body, 0)
    return value


def encode_response(operation: str, header: ResponseHeader, result: bytes | None) -> bytes:
    """A response; `result` is copied, not decoded. An operation nobody knows gets a RejectedResponse, without result.

    Raises Unwritable.
    """
    registry = _registry()
    name = _response_name(operation)
    known = name in registry.by_name
    if not known:
        if result is not None:
            raise Unwritable(f"a result of {operation}, which has no schema")
        name = _response_name("Rejected")
    head = registry.by_name[name].header + registry.part(name, "header").write(header)
    if not known or operation == "Rejected":
        return head
    return head + (_NULL_RESULT if result is None else _RESULT + result)
