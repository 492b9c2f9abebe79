"""Reads `profiles/*.toml` into profiles, and refuses what is wrong in them by naming file, table and key: a typing
error stops the start.

A profile file has `protocol`, `version`, `extends` (the stem of another profile), `includes` (stems of files that begin
with `_`: objects that several families have in common, and nothing else), `[traits]` and `[objects.TAG]`. An object
names its class and class version, whose attributes and methods come from `_classes.toml`; it says only what differs. An
object replaces one of the same tag that is included, or the parent's (operations-reading 1.1). Keys of an object:

    class, version, obis, clause   required. `x` as field B of the OBIS makes four objects, TAG_1 to TAG_4, one an M-Bus
                                   channel; a list of three OBIS codes makes TAG_L1, TAG_L2 and TAG_L3, one a phase
    type, value, public, management    of attribute 2, for short
    scaler_unit = [0, "Wh"]        fixed by the protocol
    typical_scaler_unit            what a meter ships with although others differ: a client reads attribute 3
    columns = ["CLOCK.2", ...]     capture objects: TAG.attribute, or TAG.attribute#data_index (`_profile_columns`)
    capture_period, entries        seconds, rows
    pushes = ["CLOCK.2", ...]      the object list of a push setup, in the same form
    selectable = ["CLOCK", ...]    tags whose columns a power-quality read may take from this buffer
    power_quality                  { audience = "public" or "private", actual = ["single", "poly"], periodic = [] }: the
                                   power-quality reads the object takes part in, by the supply of the meter
    polyphase = true               only poly-phase meters have it; so have they L2 and L3
    attributes.N, methods.N        overrides: name, type, public, management, value, selectors / parameter
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from operations._profile import CosemObject, Profile, Traits
from operations._profile_columns import with_columns, with_pushes
from operations._profile_objects import CLASSES, PROFILE_GENERIC, Classes, places, read_classes, read_object
from operations._profile_values import Table

CHOICES = {
    "configuration_object": ("none", "structure", "bit-string"),
    "push_format": ("text", "data-notification", "event-notification"),
}
PUSH_SETUP = 40
PART = "_"  # begins the name of a file that is no profile
_NONE: Any = ""

_Tables = Mapping[str, dict[str, Any]]
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
    classes = read_classes(Table(CLASSES, "", tables.pop(CLASSES, {})))
    found: dict[tuple[str, str], Profile] = {}
    for stem in sorted(each for each in tables if not each.startswith(PART)):
        made = _read_profile(stem, tables, classes)
        if (made.protocol, made.version) in found:
            raise Table(stem, "", {}).error(
                "version", f"{made.protocol} {made.version} is declared by another file as well"
            )
        found[made.protocol, made.version] = made
    return MappingProxyType(dict(sorted(found.items())))


def _read_profile(stem: str, tables: _Tables, classes: Classes) -> Profile:
    raw, traits = _inherit(stem, tables, ())
    top = Table(stem, "", tables[stem])
    protocol, version = top.take("protocol", str), top.take("version", str)
    objects: dict[str, CosemObject] = {}
    named: dict[str, tuple[Table, _Named]] = {}
    families: dict[str, str] = {}
    names: dict[tuple[int, bytes], str] = {}
    for tag, (file, table) in raw.items():
        for place in places(Table(file, f"objects.{tag}", table)):
            where, own = Table(file, f"objects.{tag}", table), tag + place.suffix
            if own in objects:
                raise where.error("", f"tag {own} is given twice")
            others = _named(where)
            made = read_object(where, own, place, classes)
            where.end()
            _check(where, made, others)
            if other := names.get((made.class_id, made.obis)):
                raise where.error("obis", f"{made.name} is {other} already")
            objects[own], names[made.class_id, made.obis] = made, own
            named[own] = where, others
            if place.suffix:
                families[tag] = "channels" if place.channel else "phases"
    for tag, (where, others) in named.items():
        if others.columns:
            objects[tag] = with_columns(objects[tag], where, others.columns, others.selectable, objects, families)
        if others.pushes:
            objects[tag] = with_pushes(objects[tag], where, others.pushes, objects)
    return Profile(protocol, version, MappingProxyType(objects), traits)


@dataclass(frozen=True, slots=True)
class _Named:
    """What a table says of other objects: resolved once all are read."""

    columns: list[str]
    selectable: list[str]
    pushes: list[str]


def _named(where: Table) -> _Named:
    return _Named(*(where.take(field.name, list, []) for field in fields(_Named)))


def _check(where: Table, made: CosemObject, others: _Named) -> None:
    if made.class_id == PROFILE_GENERIC and not others.columns:
        raise where.error("columns", "a profile needs columns and entries")
    if made.class_id != PROFILE_GENERIC and (others.columns or others.selectable):
        raise where.error("columns", "only an object of class 7 has columns, entries and a capture_period")
    if made.class_id != PUSH_SETUP and others.pushes:
        raise where.error("pushes", "only an object of class 40 has an object list to push")


def _inherit(stem: str, tables: _Tables, below: tuple[str, ...]) -> tuple[_Raw, Traits]:
    """The raw objects of a file over those it includes and those of its ancestors, and the traits."""
    top = Table(stem, "", tables[stem])
    parent, includes = top.take("extends", str, _NONE), top.take("includes", list, [])
    for key in ("protocol", "version"):  # each file's own
        top.take(key, str)
    if parent in (*below, stem):
        raise top.error("extends", f"{parent} extends itself: {' -> '.join((*below, stem, parent))}")
    if parent and (parent not in tables or parent.startswith(PART)):
        raise top.error("extends", f"there is no {parent}.toml" if parent not in tables else f"{parent} is no profile")
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
    for part in includes:
        raw = {**raw, **_included(part, top, tables)}
    return {**raw, **_tagged(stem, objects)}, traits


def _included(part: object, top: Table, tables: _Tables) -> _Raw:
    if not isinstance(part, str) or part not in tables or not part.startswith(PART):
        raise top.error("includes", f"there is no {part}.toml, or its name does not begin with {PART}")
    file = Table(part, "", tables[part])
    objects = file.table("objects")
    file.end()
    return _tagged(part, objects)


def _tagged(stem: str, objects: Table) -> _Raw:
    for tag, table in objects.left.items():
        if not isinstance(table, dict) or not tag.replace("_", "").isalnum() or tag.upper() != tag:
            raise objects.error(tag, "is not a table of a tag in capitals")
    return {tag: (stem, table) for tag, table in objects.left.items()}
