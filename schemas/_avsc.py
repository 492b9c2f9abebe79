"""Avro schemas as JSON: where they lie, what the codec's private copies of them leave out, and what it refuses to work
with.

Works on schemas that fastavro has parsed, where every name is a full name; knows nothing of bytes or dataclasses.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

Json = Any  # a schema: a name, a union (list) or a definition (dict)
NAMED = frozenset({"record", "enum", "fixed"})
Names = dict[str, dict[str, Any]]


def schema_folder() -> Traversable:
    """The published schemas, `avro/` of this package; also in the wheel."""
    return files("schemas").joinpath("avro")


def released_folder() -> Traversable:
    """Snapshots of `avro/`, one folder a released version: what may still lie on a topic."""
    return files("schemas").joinpath("released")


def read_all(folder: Traversable) -> Iterator[dict[str, Any]]:
    """Every `.avsc` below a folder, sorted by name. Nothing when there is no such folder."""
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from read_all(entry)
        elif entry.name.endswith(".avsc"):
            yield json.loads(entry.read_text("utf-8"))


def without_logical_types(schema: Json) -> Json:
    """A copy whose values stay ints, bytes and strings: fastavro builds a datetime a value otherwise, three times the
    work.
    """
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in {"logicalType", "precision", "scale"}}
    for key in ("type", "items", "values"):
        if key in kept:
            kept[key] = without_logical_types(kept[key])
    if "fields" in kept:
        kept["fields"] = [{**field, "type": without_logical_types(field["type"])} for field in kept["fields"]]
    return kept["type"] if set(kept) == {"type"} and isinstance(kept["type"], str) else kept


def names_in(schema: Json) -> Names:
    """Definitions by full name. Raises ValueError for a recursive schema: hostile bytes could nest without end."""
    found: Names = {}
    _collect(schema, found, ())
    return found


def _collect(schema: Json, found: Names, path: tuple[str, ...]) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _collect(branch, found, path)
    elif isinstance(schema, str):
        if schema in path:
            raise ValueError(f"schema {schema} is recursive")
    elif schema["type"] in NAMED:
        found[schema["name"]] = schema
        for field in schema.get("fields", ()):
            _collect(field["type"], found, (*path, schema["name"]))
    else:
        for key in ("type", "items", "values"):
            if key in schema:
                _collect(schema[key], found, path)


def check_bounded(schema: Json, names: Names) -> None:
    """Raises ValueError for an array whose items may be empty: ten bytes could then claim 2^62 of them."""
    if isinstance(schema, list):
        for branch in schema:
            check_bounded(branch, names)
    elif isinstance(schema, dict):
        if schema["type"] == "array" and _may_be_empty(schema["items"], names):
            raise ValueError(f"array of {schema['items']}: an item must take a byte at least")
        for field in schema.get("fields", ()):
            check_bounded(field["type"], names)
        for key in ("type", "items", "values"):
            if isinstance(schema.get(key), dict | list):
                check_bounded(schema[key], names)


def _may_be_empty(schema: Json, names: Names) -> bool:
    if isinstance(schema, str):
        return schema == "null" or (schema in names and _may_be_empty(names[schema], names))
    if isinstance(schema, list):
        return False  # the index of the branch is a byte
    if schema["type"] == "record":
        return all(_may_be_empty(field["type"], names) for field in schema["fields"])
    if schema["type"] == "fixed":
        return int(schema["size"]) == 0
    return bool(schema["type"] == "null")


def extract(schema: Json, names: Names, defined: set[str] | None = None) -> Json:
    """A part of a schema made to stand alone: the first mention of each name brings its definition along."""
    seen = set() if defined is None else defined
    if isinstance(schema, list):
        return [extract(branch, names, seen) for branch in schema]
    if isinstance(schema, str):
        return extract(names[schema], names, seen) if schema in names and schema not in seen else schema
    if schema["type"] in NAMED:
        if schema["name"] in seen:
            return schema["name"]
        seen.add(schema["name"])
    kept = {key: value for key, value in schema.items() if not key.startswith("__")}
    for key in ("items", "values"):
        if key in kept:
            kept[key] = extract(kept[key], names, seen)
    if isinstance(kept["type"], dict | list):
        kept["type"] = extract(kept["type"], names, seen)
    if "fields" in kept:
        kept["fields"] = [{**field, "type": extract(field["type"], names, seen)} for field in kept["fields"]]
    return kept


def with_bytes_defaults(schema: Json) -> None:
    """Turn the defaults of bytes fields, strings in JSON, into bytes, in place: fastavro hands a default out as it
    stands.
    """
    if isinstance(schema, list):
        for branch in schema:
            with_bytes_defaults(branch)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            if isinstance(field.get("default"), dict) and field["default"]:
                raise ValueError(f"field {field['name']}: only an empty map may be a default of its kind")
            if isinstance(field.get("default"), str) and _first(field["type"]) == "bytes":
                field["default"] = field["default"].encode("latin-1")
            with_bytes_defaults(field["type"])
        for key in ("type", "items", "values"):
            if isinstance(schema.get(key), dict | list):
                with_bytes_defaults(schema[key])


def _first(schema: Json) -> Json:
    """The branch a default belongs to, without its attributes."""
    branch = schema[0] if isinstance(schema, list) else schema
    return branch["type"] if isinstance(branch, dict) else branch
