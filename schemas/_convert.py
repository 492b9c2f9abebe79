"""From dataclasses to what fastavro writes, and from what it reads to dataclasses: functions built once from a schema.

`writer` and `reader` walk a schema and return a function, or None where a value needs no change; a record then touches
only the fields that do. Two manners, by whether a record is bound to a class (`codec.bind`):

- bound (shared records, events): attributes in, an instance out; times stay int milliseconds, as `records.py` has them;
- not bound (requests and results of operations): a dataclass or a mapping in, a dict out; `timestamp-millis` is an
  aware datetime in UTC, `date` a date, `decimal` a Decimal, an enum its symbol.

Arrays come out as tuples. In a union fastavro is told the branch: left alone it would try one after the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from operator import attrgetter
from typing import Any

from schemas._avsc import NAMED, Json, Names
from schemas._logical import READERS, TYPES, WRITERS
from schemas._names import full_name

Change = Callable[[Any], Any]
Classes = Mapping[str, type]

_OF_TYPE = {bool: "boolean", float: "double", str: "string", bytes: "bytes"}


def writer(schema: Json, names: Names, classes: Classes, *, rich: bool = True) -> Change | None:
    """What turns a value into fastavro's. `rich`: the record around it is not bound to a class."""
    if isinstance(schema, list):
        return _union_writer(schema, names, classes, rich)
    if isinstance(schema, str):
        return writer(names[schema], names, classes, rich=rich) if schema in names else None
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return writer(kind, names, classes, rich=rich)
    if rich and "logicalType" in schema:
        return WRITERS.get(schema["logicalType"])
    if kind == "record":
        cls = _class(schema, classes, rich)
        return _open_writer(schema, names, classes) if cls is None else _bound_writer(schema, names, classes, cls)
    if kind == "array":
        item = writer(schema["items"], names, classes, rich=rich)
        return list if item is None else lambda values: [item(value) for value in values]
    if kind == "map":
        entry = writer(schema["values"], names, classes, rich=rich)
        return None if entry is None else lambda values: {key: entry(value) for key, value in values.items()}
    if kind == "enum":
        return _symbol
    return None


def reader(schema: Json, names: Names, classes: Classes, *, rich: bool = True) -> Change | None:
    """What turns fastavro's value into ours. `rich`: the record around it is not bound to a class."""
    if isinstance(schema, list):
        return _union_reader(schema, names, classes, rich)
    if isinstance(schema, str):
        return reader(names[schema], names, classes, rich=rich) if schema in names else None
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return reader(kind, names, classes, rich=rich)
    if rich and "logicalType" in schema:
        return READERS.get(schema["logicalType"])
    if kind == "record":
        return _record_reader(schema, names, classes, _class(schema, classes, rich))
    if kind == "array":
        item = reader(schema["items"], names, classes, rich=rich)
        return tuple if item is None else lambda values: tuple([item(value) for value in values])
    if kind == "map":
        entry = reader(schema["values"], names, classes, rich=rich)
        return dict if entry is None else lambda values: {key: entry(value) for key, value in values.items()}
    if kind == "enum" and schema["name"] in classes:
        return {member.value: member for member in _enum(classes[schema["name"]])}.__getitem__
    return None


def _class(schema: Json, classes: Classes, rich: bool) -> type | None:
    cls = classes.get(schema["name"])
    if cls is None and not rich:
        raise TypeError(f"record {schema['name']} lies in a bound record and has no class: codec.bind it")
    return cls


def _enum(cls: type) -> Any:
    if not issubclass(cls, Enum):
        raise TypeError(f"{cls.__name__} is bound to an Avro enum, so it must be an Enum")
    return cls


def _bound_writer(schema: Json, names: Names, classes: Classes, cls: type) -> Change:
    order = tuple(field["name"] for field in schema["fields"])
    own = {field.name for field in fields(cls)}
    if own != set(order):
        raise TypeError(f"{cls.__name__} and schema {schema['name']} differ in {sorted(own ^ set(order))}")
    changes = _field_changes(writer, schema, names, classes, rich=False)
    if not order:
        return lambda record: {}
    if len(order) == 1:
        name = order[0]
        change = changes[0][1] if changes else None
        if change is None:
            return lambda record: {name: getattr(record, name)}
        return lambda record: {name: change(getattr(record, name))}
    values = attrgetter(*order)

    def write(record: Any) -> dict[str, Any]:
        row = dict(zip(order, values(record), strict=True))
        for name, change in changes:
            row[name] = change(row[name])
        return row

    return write


def _open_writer(schema: Json, names: Names, classes: Classes) -> Change:
    order = tuple(field["name"] for field in schema["fields"])
    optional = {field["name"] for field in schema["fields"] if "default" in field}
    known = frozenset(order)
    changes = _field_changes(writer, schema, names, classes, rich=True)

    def write(record: Any) -> dict[str, Any]:
        if isinstance(record, Mapping):
            row = dict(record)
            if row.keys() != known:
                if unknown := row.keys() - known:
                    raise ValueError(f"{schema['name']}: no field {sorted(unknown)}")
                if missing := known - row.keys() - optional:
                    raise ValueError(f"{schema['name']}: {sorted(missing)} missing")
        elif hasattr(record, "__dataclass_fields__"):
            row = {name: getattr(record, name) for name in order}
        else:
            raise TypeError(f"{schema['name']}: a dataclass or a mapping is wanted, not {type(record).__name__}")
        for name, change in changes:
            if name in row:
                row[name] = change(row[name])
        return row

    return write


def _record_reader(schema: Json, names: Names, classes: Classes, cls: type | None) -> Change | None:
    changes = _field_changes(reader, schema, names, classes, rich=cls is None)
    if cls is None and not changes:
        return None

    def read(row: dict[str, Any]) -> Any:
        for name, change in changes:
            row[name] = change(row[name])
        return row if cls is None else cls(**row)

    return read


def _field_changes(
    build: Callable[..., Change | None], schema: Json, names: Names, classes: Classes, *, rich: bool
) -> tuple[tuple[str, Change], ...]:
    built = ((field["name"], build(field["type"], names, classes, rich=rich)) for field in schema["fields"])
    return tuple((name, change) for name, change in built if change is not None)


def _branch_name(branch: Json, names: Names) -> str:
    """What fastavro calls a branch of a union."""
    if isinstance(branch, str):
        return branch
    return str(branch["name"] if branch["type"] in NAMED else branch["type"])


def _kind(branch: Json, names: Names) -> str:
    definition = names.get(branch, branch) if isinstance(branch, str) else branch
    return definition if isinstance(definition, str) else str(definition["type"])


def _records(schema: list[Json], names: Names) -> list[Json]:
    return [branch for branch in schema if _kind(branch, names) == "record"]


def _union_writer(schema: list[Json], names: Names, classes: Classes, rich: bool) -> Change | None:
    branches = [branch for branch in schema if branch != "null"]
    if len(branches) == 1:
        change, name = writer(branches[0], names, classes, rich=rich), _branch_name(branches[0], names)
        return None if change is None else _optional(name, change)
    by_type: dict[type, tuple[str, Change | None]] = {}
    by_name: dict[str, Change | None] = {}
    for branch in branches:
        name, change = _branch_name(branch, names), writer(branch, names, classes, rich=rich)
        by_name[name] = change
        for kind in _types_of(branch, names, classes, rich):
            by_type[kind] = (name, change)

    def write(value: Any) -> Any:
        if value is None:
            return None
        if rich and type(value) is tuple and len(value) == 2 and value[0] in by_name:
            name, value = value
            change = by_name[name]
        elif type(value) in by_type:
            name, change = by_type[type(value)]
        elif rich and is_dataclass(value):
            name = full_name(type(value))
            if name not in by_name:
                raise TypeError(f"{name} is none of {sorted(by_name)}")
            change = by_name[name]
        else:
            raise TypeError(f"{type(value).__name__} is none of {sorted(by_name)}")
        return (name, value if change is None else change(value))

    return write


def _optional(name: str, change: Change) -> Change:
    return lambda value: None if value is None else (name, change(value))


def _types_of(branch: Json, names: Names, classes: Classes, rich: bool) -> tuple[type, ...]:
    """Python types that a branch of a union takes."""
    kind = _kind(branch, names)
    if rich and isinstance(branch, dict) and branch.get("logicalType") in TYPES:
        return (TYPES[branch["logicalType"]],)
    if kind in {"record", "enum"}:
        full = branch if isinstance(branch, str) else branch["name"]
        return (classes[full],) if full in classes else ()
    plain: dict[str, tuple[type, ...]] = {
        "array": (tuple, list),
        "map": (dict,),
        "int": (int,),
        "long": (int,),
        "float": (float,),
        **{name: (python,) for python, name in _OF_TYPE.items()},
    }
    return plain.get(kind, ())


def _union_reader(schema: list[Json], names: Names, classes: Classes, rich: bool) -> Change | None:
    branches = [branch for branch in schema if branch != "null"]
    if len(branches) == 1:
        change = reader(branches[0], names, classes, rich=rich)
        return None if change is None else lambda value: None if value is None else change(value)
    records = _records(schema, names)
    by_name = {_branch_name(branch, names): reader(branch, names, classes, rich=rich) for branch in records}
    bound = {name for name in by_name if name in classes}
    by_type: dict[type, Change | None] = {}
    for branch in branches:
        if branch not in records:
            for python in _READ_AS.get(_kind(branch, names), ()):
                by_type[python] = reader(branch, names, classes, rich=rich)

    def read(value: Any) -> Any:
        if type(value) is tuple:  # fastavro's mark of a record in a union of several
            name, row = value
            change = by_name[name]
            row = row if change is None else change(row)
            return row if name in bound else (name, row)
        if type(value) is dict and len(records) == 1:
            change = by_name[_branch_name(records[0], names)]
        else:
            change = by_type.get(type(value))
        return value if change is None else change(value)

    return read


_READ_AS: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (float,),
    "double": (float,),
    "string": (str,),
    "enum": (str,),
    "bytes": (bytes,),
    "array": (list,),
    "map": (dict,),
}


def _symbol(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
