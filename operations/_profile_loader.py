"""Reads `profiles/*.toml` into profiles, and refuses what is wrong in them by naming file, table and key: a typing
error stops the start.

A profile file has `protocol`, `version`, `extends` (the stem of another file), `[traits]` and `[objects.TAG]`. An
object names its class and class version, whose attributes and methods come from `_classes.toml`; it says only what
differs. In a child, an object of the same tag replaces the parent's (operations-reading 1.1). Keys of an object:

    class, version, obis, clause   required; `x` as field B of the OBIS makes four objects, one an M-Bus channel
    type, value, public, management    of attribute 2, for short
    scaler_unit = [0, "Wh"]        fixed by the protocol
    typical_scaler_unit            what a meter ships with although others differ: a client reads attribute 3
    columns = ["CLOCK.2", ...]     capture objects: TAG.attribute, or TAG.attribute#data_index. A tag of the M-Bus
                                   channels stands for the object's own channel, or, in an object that has none,
                                   for all four, channel by channel, after the others
    capture_period, entries        seconds, rows
    polyphase = true               only poly-phase meters have it
    attributes.N, methods.N        overrides: name, type, public, management, value, selectors / parameter
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from operations._data import Data, Tag
from operations._profile import (
    CHANNELS,
    Access,
    Column,
    CosemAttribute,
    CosemMethod,
    CosemObject,
    Profile,
    ScalerUnit,
    Traits,
)
from operations._profile_values import UNITS, Table, access, parse_obis, parse_type, read_value

CLASSES = "_classes"
CHOICES = {"configuration_object": ("structure", "bit-string"), "push_format": ("text", "data-notification")}
_NO_PARENT = ""


@dataclass(frozen=True, slots=True)
class _Class:
    """One interface class and version: what its objects have unless they say otherwise. Raw tables, by index."""

    attributes: Mapping[int, Mapping[str, Any]]
    methods: Mapping[int, Mapping[str, Any]]


_Classes = Mapping[tuple[int, int], _Class]
_Raw = Mapping[str, tuple[str, Mapping[str, Any]]]  # tag -> the file that says so, and its table


def load_shipped() -> Mapping[tuple[str, str], Profile]:
    """The profiles of this folder."""
    folder = files("operations").joinpath("profiles")
    return load(
        {e.name.removesuffix(".toml"): e.read_text("utf-8") for e in folder.iterdir() if e.name.endswith(".toml")}
    )


def load(texts: Mapping[str, str]) -> Mapping[tuple[str, str], Profile]:
    """Profiles by (protocol, version), sorted, from file stems and their texts. Raises ProfileError."""
    tables: dict[str, dict[str, Any]] = {}
    for stem, text in texts.items():
        try:
            tables[stem] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:  # among these: a tag given twice
            raise Table(stem, "", {}).error("", str(error)) from None
    classes = _read_classes(Table(CLASSES, "", tables.pop(CLASSES, {})))
    found: dict[tuple[str, str], Profile] = {}
    for stem in sorted(tables):
        made = _read_profile(stem, tables, classes)
        if (made.protocol, made.version) in found:
            raise Table(stem, "", {}).error(
                "version", f"{made.protocol} {made.version} is declared by another file as well"
            )
        found[made.protocol, made.version] = made
    return MappingProxyType(dict(sorted(found.items())))


def _read_classes(top: Table) -> _Classes:
    classes: dict[tuple[int, int], _Class] = {}
    every = top.table("classes")
    for name in list(every.left):
        table = every.table(name)
        class_id, versions = table.take("class", int), table.take("versions", list)
        table.take("name", str)
        one = _Class(_by_index(table, "attributes"), _by_index(table, "methods"))
        for version in versions:
            if (class_id, version) in classes:
                raise table.error("versions", f"class {class_id} version {version} is declared twice")
            classes[class_id, version] = one
        table.end()
    every.end()
    top.end()
    return classes


def _by_index(table: Table, key: str) -> dict[int, dict[str, Any]]:
    found = table.take(key, dict, {})
    for index, fields_ in found.items():
        if not index.isdigit() or not 1 <= int(index) <= 127 or not isinstance(fields_, dict):
            raise table.error(f"{key}.{index}", "is not a table of an index from 1 to 127")
    return {int(index): fields_ for index, fields_ in found.items()}


def _read_profile(stem: str, tables: Mapping[str, dict[str, Any]], classes: _Classes) -> Profile:
    raw, traits = _inherit(stem, tables, ())
    top = Table(stem, "", tables[stem])
    protocol, version = top.take("protocol", str), top.take("version", str)
    bases = {tag for tag, (_, table) in raw.items() if ".x." in str(table.get("obis", ""))}
    objects: dict[str, CosemObject] = {}
    columns: dict[str, tuple[Table, list[str]]] = {}
    names: dict[tuple[int, bytes], str] = {}
    for tag, (file, table) in raw.items():
        for channel in CHANNELS if tag in bases else (None,):
            own = f"{tag}_{channel}" if channel else tag
            where = Table(file, f"objects.{tag}", table)
            if own in objects:
                raise where.error("", f"tag {own} is given twice")
            made, columns[own] = _read_object(where, own, channel, classes)
            if other := names.get((made.class_id, made.obis)):
                raise where.error("obis", f"{made.name} is {other} already")
            objects[own], names[made.class_id, made.obis] = made, own
    for tag, (where, wanted) in columns.items():
        if objects[tag].class_id == 7:
            objects[tag] = _with_columns(objects[tag], where, wanted, objects, bases)
    return Profile(protocol, version, MappingProxyType(objects), traits)


def _inherit(stem: str, tables: Mapping[str, dict[str, Any]], below: tuple[str, ...]) -> tuple[_Raw, Traits]:
    """The raw objects of a file over those of its ancestors, and the traits."""
    top = Table(stem, "", tables[stem])
    parent = top.take("extends", str, _NO_PARENT)
    for key in ("protocol", "version"):  # each file's own
        top.take(key, str)
    if parent in (*below, stem):
        raise top.error("extends", f"{parent} extends itself: {' -> '.join((*below, stem, parent))}")
    if parent and parent not in tables:
        raise top.error("extends", f"there is no {parent}.toml")
    raw, traits = _inherit(parent, tables, (*below, stem)) if parent else ({}, Traits())
    own, objects = top.table("traits"), top.table("objects")
    for field in fields(Traits):
        if field.name in own.left:
            value = own.take(field.name, type(getattr(traits, field.name)))
            if value not in CHOICES.get(field.name, (value,)):
                raise own.error(field.name, f"{value!r} is none of {', '.join(CHOICES[field.name])}")
            traits = replace(traits, **{field.name: value})
    own.end()
    top.end()
    for tag, table in objects.left.items():
        if not isinstance(table, dict) or not tag.replace("_", "").isalnum() or tag.upper() != tag:
            raise objects.error(tag, "is not a table of a tag in capitals")
    return {**raw, **{tag: (stem, table) for tag, table in objects.left.items()}}, traits


def _read_object(
    table: Table, tag: str, channel: int | None, classes: _Classes
) -> tuple[CosemObject, tuple[Table, list[str]]]:
    class_id, version = table.take("class", int), table.take("version", int)
    one = classes.get((class_id, version))
    if one is None:
        raise table.error("class", f"there is no class {class_id} version {version} in {CLASSES}.toml")
    obis = parse_obis(table, channel)
    short: dict[str, Any] = {
        key: table.left.pop(key) for key in ("type", "value", "public", "management") if key in table.left
    }
    attributes = {index: dict(fields_) for index, fields_ in one.attributes.items()}
    if short:
        attributes.setdefault(2, {}).update(short)
    for index, fields_ in _by_index(table, "attributes").items():
        attributes.setdefault(index, {}).update(fields_)
    methods = {index: dict(fields_) for index, fields_ in one.methods.items()}
    for index, fields_ in _by_index(table, "methods").items():
        methods.setdefault(index, {}).update(fields_)
    fixed, typical = _scaler_unit(table, "scaler_unit"), _scaler_unit(table, "typical_scaler_unit")
    period, entries = table.take("capture_period", int, 0), table.take("entries", int, 0)
    columns = table.take("columns", list, [])
    if class_id == 7 and not (columns and entries > 0):
        raise table.error("columns", "a profile needs columns and entries")
    if class_id != 7 and (columns or entries or period):
        raise table.error("columns", "only an object of class 7 has columns, entries and a capture_period")
    if (fixed or typical) and class_id not in (3, 4):
        raise table.error("scaler_unit", "only an object of class 3 or 4 has one")
    read = {
        index: _attribute(table.sub(f"attributes.{index}", each), index) for index, each in sorted(attributes.items())
    }
    done = {index: _method(table.sub(f"methods.{index}", each), index) for index, each in sorted(methods.items())}
    if scaled := fixed or typical:
        value = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaled.scaler), Data(Tag.ENUMERATE, scaled.unit)))
        read[3] = replace(read[3], value=value)
    made = CosemObject(
        tag=tag,
        class_id=class_id,
        version=version,
        obis=obis,
        clause=table.take("clause", str),
        attributes=MappingProxyType({1: _logical_name(obis, [*read.values(), *done.values()]), **read}),
        methods=MappingProxyType(done),
        channel=channel,
        polyphase=table.take("polyphase", bool, False),
        scaler_unit=fixed,
        capture_period=period,
        entries=entries,
    )
    table.end()
    return made, (table, columns)


def _scaler_unit(table: Table, key: str) -> ScalerUnit | None:
    pair = table.take(key, list, [])
    if not pair:
        return None
    if len(pair) != 2 or not isinstance(pair[0], int) or not -128 <= pair[0] <= 127 or pair[1] not in UNITS:
        raise table.error(key, f"is not [scaler, unit] with a unit of {', '.join(UNITS)}")
    return ScalerUnit(pair[0], UNITS[pair[1]])


def _logical_name(obis: bytes, parts: list[CosemAttribute | CosemMethod]) -> CosemAttribute:
    """Attribute 1: readable by every client that may do anything with the object."""
    public = Access.READ if any(part.public for part in parts) else Access.NONE
    management = Access.READ if any(part.management for part in parts) else Access.NONE
    return CosemAttribute(1, "logical_name", Tag.OCTET_STRING, 6, public, management, Data(Tag.OCTET_STRING, obis))


def _attribute(table: Table, index: int) -> CosemAttribute:
    kind, length = parse_type(table, "type")
    made = CosemAttribute(
        index=index,
        name=table.take("name", str),
        type=kind,
        length=length,
        public=access(table, "public"),
        management=access(table, "management"),
        value=read_value(table, "value", kind, length),
        selectors=tuple(table.take("selectors", list, [])),
    )
    table.end()
    return made


def _method(table: Table, index: int) -> CosemMethod:
    kind, _ = parse_type(table, "parameter")
    made = CosemMethod(index, table.take("name", str), kind, access(table, "public"), access(table, "management"))
    table.end()
    return made


def _with_columns(
    made: CosemObject, where: Table, wanted: list[str], objects: Mapping[str, CosemObject], bases: set[str]
) -> CosemObject:
    """Name the capture objects, and what attributes 3 to 8 of the profile therefore hold."""
    plain: list[Column] = []
    spread: list[tuple[str, int, int]] = []
    for text in wanted:
        tag, attribute, data_index = _column_text(where, text)
        if tag in bases and made.channel is None:
            spread.append((tag, attribute, data_index))
            continue
        plain.append(_column(where, f"{tag}_{made.channel}" if tag in bases else tag, attribute, data_index, objects))
    for channel in CHANNELS if spread else ():
        plain += [_column(where, f"{tag}_{channel}", attribute, index, objects) for tag, attribute, index in spread]
    captured = tuple(_definition(column) for column in plain)
    clock = next((each for each, column in zip(captured, plain, strict=True) if column.class_id == 8), None)
    nothing = _definition(Column("", 0, bytes(6), 0, 0))
    shipped = {
        3: Data(Tag.ARRAY, captured),
        4: Data(Tag.DOUBLE_LONG_UNSIGNED, made.capture_period),
        6: clock or nothing,
        8: Data(Tag.DOUBLE_LONG_UNSIGNED, made.entries),
    }
    attributes = {i: replace(a, value=shipped[i]) if i in shipped else a for i, a in made.attributes.items()}
    return replace(made, columns=tuple(plain), attributes=MappingProxyType(attributes))


def _column_text(where: Table, text: Any) -> tuple[str, int, int]:
    name, _, index = str(text).partition("#")
    tag, dot, attribute = name.partition(".")
    if not dot or not attribute.isdigit() or not (index or "0").isdigit():
        raise where.error("columns", f"{text!r} is not TAG.attribute or TAG.attribute#data_index")
    return tag, int(attribute), int(index or 0)


def _column(where: Table, tag: str, attribute: int, index: int, objects: Mapping[str, CosemObject]) -> Column:
    source = objects.get(tag)
    if source is None or attribute not in source.attributes:
        raise where.error("columns", f"{tag}.{attribute} names no attribute of an object of this profile")
    return Column(tag, source.class_id, source.obis, attribute, index)


def _definition(column: Column) -> Data:
    return Data(
        Tag.STRUCTURE,
        (
            Data(Tag.LONG_UNSIGNED, column.class_id),
            Data(Tag.OCTET_STRING, column.obis),
            Data(Tag.INTEGER, column.attribute),
            Data(Tag.LONG_UNSIGNED, column.data_index),
        ),
    )
