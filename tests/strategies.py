"""The strategies of hypothesis for all tests, drawn from the published schemas: whatever a schema allows may arrive.

`record("meterlog.Job")` gives instances of the bound class, for a record without a class (requests and results of
operations) dicts of Python values, as `codec.decode` gives them.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from schemas import codec

Schema = Any
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
LONG = st.integers(-(1 << 63), (1 << 63) - 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "long": LONG,
    "double": st.floats(allow_nan=False),
    "string": TEXT,
    "bytes": st.binary(max_size=40),
}
LOGICAL: dict[str, st.SearchStrategy[Any]] = {
    "timestamp-millis": st.integers(-62_135_596_800_000, 253_402_300_799_999).map(
        lambda millis: EPOCH + timedelta(milliseconds=millis)
    ),
    "date": st.dates(),
    "decimal": st.integers(-(10**24) + 1, 10**24 - 1).map(lambda count: Decimal(count).scaleb(-6)),
    "uuid": st.uuids().map(str),
}


@cache
def record(full_name: str) -> st.SearchStrategy[Any]:
    """Values of a record that travels."""
    return of_schema(codec.schema(full_name), {}, rich=True)


def of_schema(schema: Schema, named: dict[str, Schema], *, rich: bool) -> st.SearchStrategy[Any]:
    """Values of any schema; `rich`: the record around it has no class, so times are datetimes."""
    if isinstance(schema, list):
        return st.one_of(*[_branch(branch, named, rich, several=len(schema) > 2) for branch in schema])
    if isinstance(schema, str):
        return SCALARS[schema] if schema in SCALARS else of_schema(named[schema], named, rich=rich)
    kind, logical = schema["type"], schema.get("logicalType")
    if logical == "uuid" or (rich and logical in LOGICAL):
        return LOGICAL[logical]
    if kind == "record":
        return _record(schema, named)
    if kind == "array":
        return st.lists(of_schema(schema["items"], named, rich=rich), max_size=3).map(tuple)
    if kind == "map":
        return st.dictionaries(TEXT, of_schema(schema["values"], named, rich=rich), max_size=3)
    if kind == "enum":
        named[schema["name"]] = schema
        cls = codec.bound().get(schema["name"])
        return st.sampled_from(schema["symbols"] if cls is None else list(cls))  # type: ignore[call-overload]
    return of_schema(kind, named, rich=rich)


def _branch(schema: Schema, named: dict[str, Schema], rich: bool, *, several: bool) -> st.SearchStrategy[Any]:
    """One branch of a union; a record without a class comes with its name where there are several."""
    found = of_schema(schema, named, rich=rich)
    definition = named.get(schema) if isinstance(schema, str) else schema
    if not several or definition is None or definition["type"] != "record" or definition["name"] in codec.bound():
        return found
    return found.map(lambda value, name=definition["name"]: (name, value))  # type: ignore[misc]


def _record(schema: Schema, named: dict[str, Schema]) -> st.SearchStrategy[Any]:
    named[schema["name"]] = schema
    cls = codec.bound().get(schema["name"])
    fields = {field["name"]: of_schema(field["type"], named, rich=cls is None) for field in schema["fields"]}
    return st.fixed_dictionaries(fields) if cls is None else st.builds(cls, **fields)


def command(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    """Header and request of one operation's commands."""
    return record(f"meterlog.commands.{operation}Command")


def response(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    """Header and result of one operation's responses."""
    return record(f"meterlog.responses.{operation}Response")
