"""Makes the operations' Avro schemas from their own declarations: `python -m operations._schemas`, with `--check` in
CI.

Writes `schemas/avro/commands/<Operation>Command.avsc` (header, request),
`schemas/avro/responses/<Operation>Response.avsc` (header, nullable result) and `docs/asyncapi.yaml`; removes files of
operations that are gone. `--release 0.1.0` keeps the present schemas for ever under `schemas/released/0.1.0`, and is
refused when they cannot be read beside an earlier release's.

The mapping is our own, because `dataclasses-avroschema` (0.71 tried) takes no dataclass of another author as a nested
type (all must derive from its `AvroModel`), knows no field comments, and names nested records by the class alone, so
sixty operations' `Row`s would be one name. Names here are those of the modules: `operations/synchronize_time.py`'s
Request is `meterlog.operations.synchronize_time.Request`. Times are `timestamp-millis`, Decimals `decimal` of 24
digits and scale 6, enums Avro enums of their values. An enum of results that may grow says in `__default__` what its
earlier readers take a new value for; one of requests never does: what was not understood must not be carried out.
"""

import argparse
import difflib
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import schemas
from operations import Operation, catalogue
from operations._schema_docs import about, field_comments
from schemas import asyncapi, compatibility
from schemas._logical import DECIMAL_PRECISION, DECIMAL_SCALE, EPOCH, bytes_of, millis_of
from schemas._names import full_name

AVRO = Path(schemas.__file__).parent / "avro"
RELEASED = Path(schemas.__file__).parent / "released"
ASYNCAPI = Path(schemas.__file__).parents[1] / "docs" / "asyncapi.yaml"
Json = Any

_SCALARS: dict[Any, Json] = {
    bool: "boolean",
    int: "long",
    float: "double",
    str: "string",
    bytes: "bytes",
    datetime: {"type": "long", "logicalType": "timestamp-millis"},
    date: {"type": "int", "logicalType": "date"},
    Decimal: {"type": "bytes", "logicalType": "decimal", "precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE},
}


@cache
def _shared_file(name: str) -> str:
    return (AVRO / "shared" / f"{name}.avsc").read_text("utf-8")


def _shared(name: str, defined: set[str]) -> Json:
    """A record of `avro/shared`, as a definition at first mention and by name after that."""
    schema = json.loads(_shared_file(name))
    if f"meterlog.{name}" in defined:
        return f"meterlog.{name}"
    return _first_mentions(schema, "meterlog", defined)


def _first_mentions(schema: Json, namespace: str, defined: set[str]) -> Json:
    if isinstance(schema, list):
        return [_first_mentions(branch, namespace, defined) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if "name" in schema and "type" in schema and schema["type"] in {"record", "enum", "fixed"}:
        full = f"{namespace}.{schema['name']}"
        if full in defined:
            return full
        defined.add(full)
        schema = {"type": schema["type"], "name": schema["name"], "namespace": namespace, **schema}
    return {
        key: (
            [{**field, "type": _first_mentions(field["type"], namespace, defined)} for field in value]
            if key == "fields"
            else _first_mentions(value, namespace, defined)
            if key in {"type", "items", "values"}
            else value
        )
        for key, value in schema.items()
    }


class _Mapping:
    """Types of one schema file; `defined` are the names that it holds already."""

    def __init__(self) -> None:
        self.defined: set[str] = set()
        self.path: tuple[type, ...] = ()

    def of(self, hint: Any, where: str) -> Json:
        """The Avro type of an annotation. Raises TypeError, naming the field, for what has no plain Avro form."""
        if hint in _SCALARS:
            return _SCALARS[hint]
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in {Union, UnionType}:
            branches = [self.of(each, where) for each in arguments if each is not NoneType]
            return ["null", *branches] if NoneType in arguments else branches
        if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": self.of(arguments[0], where)}
        if origin in {dict, Mapping} and arguments[0] is str:
            return {"type": "map", "values": self.of(arguments[1], where)}
        if isinstance(hint, type) and issubclass(hint, Enum):
            return self.enum(hint, where)
        if isinstance(hint, type) and is_dataclass(hint):
            return self.record(hint, about(hint))
        raise TypeError(f"{where}: {hint} has no Avro form; use {sorted(each.__name__ for each in _SCALARS)}, "
                        "a StrEnum, a dataclass, X | None, tuple[X, ...] or Mapping[str, X]")  # fmt: skip

    def enum(self, cls: type[Enum], where: str) -> Json:
        name = full_name(cls)
        if name in self.defined:
            return name
        symbols = [member.value for member in cls]
        if not all(isinstance(symbol, str) and symbol.isidentifier() and symbol.isascii() for symbol in symbols):
            raise TypeError(f"{where}: values of {cls.__name__} must be letters, digits and underscores")
        self.defined.add(name)
        space, _, short = name.rpartition(".")
        doc = about(cls)
        made = {"type": "enum", "name": short, "namespace": space, **({"doc": doc} if doc else {}), "symbols": symbols}
        default = getattr(cls, "__default__", None)
        if default is not None:
            if default not in symbols:
                raise TypeError(f"{where}: {default!r} is no value of {cls.__name__}")
            made["default"] = default
        return made

    def record(self, cls: type, doc: str | None) -> Json:
        name = full_name(cls)
        if cls in self.path:
            raise TypeError(f"{name} holds itself: hostile bytes could nest without end")
        if name in self.defined:
            return name
        self.defined.add(name)
        self.path = (*self.path, cls)
        hints, comments = get_type_hints(cls), field_comments(cls)
        listed = [self.field(each, hints[each.name], comments.get(each.name), name) for each in fields(cls)]
        self.path = self.path[:-1]
        space, _, short = name.rpartition(".")
        return {"type": "record", "name": short, "namespace": space, **({"doc": doc} if doc else {}), "fields": listed}

    def field(self, field: Field[Any], hint: Any, doc: str | None, owner: str) -> Json:
        kind = self.of(hint, f"{owner}.{field.name}")
        made: dict[str, Json] = {"name": field.name, "type": kind, **({"doc": doc} if doc else {})}
        value = field.default_factory() if field.default_factory is not MISSING else field.default
        if value is not MISSING and not is_dataclass(value):
            made["default"] = _default(value)
            if isinstance(kind, list) and kind[0] == "null" and value is not None:
                made["type"] = [*kind[1:], "null"]  # a default belongs to the first branch
        return made


def _default(value: Any) -> Json:
    """A default as Avro's JSON."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return bytes_of(value).decode("latin-1")
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, datetime):
        return millis_of(value)
    if isinstance(value, date):
        return (value - EPOCH.date()).days
    if isinstance(value, tuple | list):
        return [_default(each) for each in value]
    return value


def command_schema(operation: Operation) -> Json:
    """`meterlog.commands.<Operation>Command`."""
    mapping = _Mapping()
    header = _shared("CommandHeader", mapping.defined)
    request = mapping.record(operation.request, about(operation.request) or operation.summary)
    return {
        "type": "record",
        "name": f"{operation.name}Command",
        "namespace": "meterlog.commands",
        "doc": operation.summary,
        "fields": [
            {"name": "header", "type": header, "doc": "Who asks what device, since when, until when."},
            {"name": "request", "type": request, "doc": "What the operation is to do."},
        ],
    }


def response_schema(operation: Operation) -> Json:
    """`meterlog.responses.<Operation>Response`."""
    mapping = _Mapping()
    header = _shared("ResponseHeader", mapping.defined)
    result = mapping.record(operation.result, about(operation.result) or f"What {operation.name} answers.")
    about_result = "Null unless the status is Successful and the result is small enough: see large_result."
    return {
        "type": "record",
        "name": f"{operation.name}Response",
        "namespace": "meterlog.responses",
        "doc": f"The outcome of one {operation.name}.",
        "fields": [
            {"name": "header", "type": header, "doc": "The outcome."},
            {"name": "result", "type": ["null", result], "doc": about_result, "default": None},
        ],
    }


def rejected_schema() -> Json:
    """`meterlog.responses.RejectedResponse`: to a command whose operation nobody here knows."""
    return {
        "type": "record",
        "name": "RejectedResponse",
        "namespace": "meterlog.responses",
        "doc": "The answer to a command of an operation that is not known here.",
        "fields": [{"name": "header", "type": _shared("ResponseHeader", set()), "doc": "The outcome."}],
    }


def generated() -> dict[Path, str]:
    """Every generated file and its text."""
    made: dict[str, Json] = {"responses/RejectedResponse": rejected_schema()}
    for operation in catalogue().values():
        made[f"commands/{operation.name}Command"] = command_schema(operation)
        made[f"responses/{operation.name}Response"] = response_schema(operation)
    texts = {AVRO / f"{name}.avsc": json.dumps(schema, indent=2) + "\n" for name, schema in sorted(made.items())}
    shared = sorted(path.stem for path in (AVRO / "shared").glob("*.avsc"))
    return texts | {ASYNCAPI: asyncapi.document([f"shared/{name}" for name in shared] + sorted(made))}


def stale() -> dict[Path, str]:
    """Files that differ from what the operations say, with a diff each; files of operations that are gone."""
    wanted = generated()
    present = {path for folder in ("commands", "responses") for path in (AVRO / folder).glob("*.avsc")}
    found = {}
    for path in sorted(wanted.keys() | present):
        old = path.read_text("utf-8") if path.exists() else ""
        new = wanted.get(path, "")
        if old != new:
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), path.name, f"{path.name} generated", "")
            found[path] = "\n".join(lines)
    return found


def write() -> list[Path]:
    """Bring the files up to date; the paths that changed."""
    wanted, changed = generated(), []
    for path in stale():
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], "utf-8")
        else:
            path.unlink()
        changed.append(path)
    return changed


def release(version: str, current: Path = AVRO, released: Path = RELEASED) -> Path:
    """Keep the present schemas as those of a release. Raises ValueError when they do not go with an earlier one, or
    are kept already.
    """
    target = released / version
    if target.exists():
        raise ValueError(f"{version} is released: its schemas never change")
    if faults := compatibility.faults(current, released):
        raise ValueError("not compatible with what was released:\n" + "\n".join(faults))
    shutil.copytree(current, target)
    return target


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 when `--check` finds a stale or incompatible file, or a release is refused."""
    parser = argparse.ArgumentParser(
        prog="python -m operations._schemas", description="Generate the operations' schemas"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing; fail with a diff when a file is stale")
    mode.add_argument("--release", metavar="VERSION", help="keep the present schemas as those of a release")
    options = parser.parse_args(arguments)
    if not options.check and not options.release:
        for path in write():
            print(f"{'wrote' if path.exists() else 'removed'} {path.name}")
        return 0
    diffs = stale()
    faults = compatibility.faults(AVRO, RELEASED)
    if diffs or faults:
        print(
            *diffs.values(),
            *faults,
            "run `make schemas`" if diffs else "see docs/records.md",
            sep="\n",
            file=sys.stderr,
        )
        return 1
    if options.release:
        print(f"kept {release(options.release).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
