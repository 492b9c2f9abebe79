"""One object of a profile file, read from its table and those of its interface class: attributes, methods, scaler."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

from operations._data import Data, Tag
from operations._profile import (
    CHANNELS,
    PHASES,
    Access,
    Audience,
    CosemAttribute,
    CosemMethod,
    CosemObject,
    PowerQuality,
    ScalerUnit,
    Supply,
)
from operations._profile_values import UNITS, Table, access, octets_of_name, parse_type, read_value

CLASSES = "_classes"
SHORT = ("type", "value", "public", "management")  # keys of attribute 2, for short
SCALED = (3, 4)
PROFILE_GENERIC = 7
_EVERY = [each.value for each in Supply]
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class InterfaceClass:
    """A class and version: what its objects have unless they say otherwise. Raw tables, by index."""

    attributes: Mapping[int, Mapping[str, Any]]
    methods: Mapping[int, Mapping[str, Any]]


Classes = Mapping[tuple[int, int], InterfaceClass]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of the objects that a table makes stands: its logical name, and its channel or phase."""

    suffix: str
    obis: bytes
    channel: int | None = None
    phase: str | None = None


def read_classes(top: Table) -> Classes:
    """The interface classes of `_classes.toml`. Raises ProfileError."""
    classes: dict[tuple[int, int], InterfaceClass] = {}
    every = top.table("classes")
    for name in list(every.left):
        table = every.table(name)
        class_id, versions = table.take("class", int), table.take("versions", list)
        table.take("name", str)
        one = InterfaceClass(_by_index(table, "attributes"), _by_index(table, "methods"))
        for version in versions:
            if (class_id, version) in classes:
                raise table.error("versions", f"class {class_id} version {version} is declared twice")
            classes[class_id, version] = one
        table.end()
    every.end()
    top.end()
    return classes


def places(table: Table) -> tuple[Place, ...]:
    """The objects a table makes: one, four of the M-Bus channels, or three of the phases. Takes `obis`."""
    obis = table.take("obis", object)
    if isinstance(obis, list):
        if len(obis) != len(PHASES):
            raise table.error("obis", f"a list has one logical name for each of {', '.join(PHASES)}")
        return tuple(
            Place(f"_{phase}", _octets(table, name), phase=phase) for phase, name in zip(PHASES, obis, strict=True)
        )
    if isinstance(obis, str) and ".x." in obis:
        return tuple(Place(f"_{each}", _octets(table, obis.replace(".x.", f".{each}.")), each) for each in CHANNELS)
    return (Place("", _octets(table, obis)),)


def read_object(table: Table, tag: str, place: Place, classes: Classes) -> CosemObject:
    """The object of a table that stands at `place`; its columns are resolved later. Raises ProfileError."""
    table.left.pop("obis")  # `places` has read it
    class_id, version = table.take("class", int), table.take("version", int)
    one = classes.get((class_id, version))
    if one is None:
        raise table.error("class", f"there is no class {class_id} version {version} in {CLASSES}.toml")
    short = {key: table.left.pop(key) for key in SHORT if key in table.left}
    attributes = {index: dict(fields_) for index, fields_ in one.attributes.items()}
    if short:
        attributes.setdefault(2, {}).update(short)
    methods = {index: dict(fields_) for index, fields_ in one.methods.items()}
    for key, merged in (("attributes", attributes), ("methods", methods)):
        for index, fields_ in _by_index(table, key).items():
            merged.setdefault(index, {}).update(fields_)
    fixed, typical = _scaler_unit(table, "scaler_unit"), _scaler_unit(table, "typical_scaler_unit")
    period, entries = table.take("capture_period", int, 0), table.take("entries", int, 0)
    if class_id == PROFILE_GENERIC and entries <= 0:
        raise table.error("columns", "a profile needs columns and entries")
    if class_id != PROFILE_GENERIC and (entries or period):
        raise table.error("columns", "only an object of class 7 has columns, entries and a capture_period")
    if (fixed or typical) and class_id not in SCALED:
        raise table.error("scaler_unit", "only an object of class 3 or 4 has one")
    read = {
        index: _attribute(table.sub(f"attributes.{index}", each), index) for index, each in sorted(attributes.items())
    }
    done = {index: _method(table.sub(f"methods.{index}", each), index) for index, each in sorted(methods.items())}
    if scaled := fixed or typical:
        value = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaled.scaler), Data(Tag.ENUMERATE, scaled.unit)))
        read[3] = replace(read[3], value=value)
    polyphase = table.take("polyphase", bool, place.phase not in (None, PHASES[0]))
    return CosemObject(
        tag=tag,
        class_id=class_id,
        version=version,
        obis=place.obis,
        clause=table.take("clause", str),
        attributes=MappingProxyType({1: _logical_name(place.obis, [*read.values(), *done.values()]), **read}),
        methods=MappingProxyType(done),
        channel=place.channel,
        polyphase=polyphase,
        scaler_unit=fixed,
        capture_period=period,
        entries=entries,
        power_quality=_power_quality(table, polyphase),
    )


def _octets(table: Table, name: object) -> bytes:
    octets = octets_of_name(name) if isinstance(name, str) else None
    if octets is None:
        raise table.error("obis", f"{name!r} is not six numbers from 0 to 255 with dots between")
    return octets


def _by_index(table: Table, key: str) -> dict[int, dict[str, Any]]:
    found = table.take(key, dict, {})
    for index, fields_ in found.items():
        if not index.isdigit() or not 1 <= int(index) <= 127 or not isinstance(fields_, dict):
            raise table.error(f"{key}.{index}", "is not a table of an index from 1 to 127")
    return {int(index): fields_ for index, fields_ in found.items()}


def _scaler_unit(table: Table, key: str) -> ScalerUnit | None:
    pair = table.take(key, list, [])
    if not pair:
        return None
    if len(pair) != 2 or not isinstance(pair[0], int) or not -128 <= pair[0] <= 127 or pair[1] not in UNITS:
        raise table.error(key, f"is not [scaler, unit] with a unit of {', '.join(UNITS)}")
    return ScalerUnit(pair[0], UNITS[pair[1]])


def _power_quality(table: Table, polyphase: bool) -> PowerQuality | None:
    """`power_quality`; what only poly-phase meters have takes no part in the reads of others."""
    if "power_quality" not in table.left:
        return None
    part = table.table("power_quality")
    audience = _choice(part, "audience", Audience, part.take("audience", str))
    actual, periodic = (
        frozenset(_choice(part, key, Supply, each) for each in part.take(key, list, default))
        for key, default in (("actual", _EVERY), ("periodic", []))
    )
    part.end()
    there = frozenset({Supply.POLY}) if polyphase else frozenset(Supply)
    return PowerQuality(audience, actual & there, periodic & there)


def _choice(table: Table, key: str, kind: type[E], value: object) -> E:
    found = next((each for each in kind if each == value), None)
    if found is None:
        raise table.error(key, f"{value!r} is none of {', '.join(kind)}")
    return found


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
