"""What an object captures or pushes: the attributes of other objects that its table names, and what its own attributes
therefore hold: 3 to 8 of a profile buffer, the object list of a push setup.

A tag of the M-Bus channels stands for the buffer's own channel, or, in a buffer of no channel, for all four, channel by
channel, after the other columns (meter-model 10.2). A tag of the phases stands for all three.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from operations._data import Data, Tag
from operations._profile import CHANNELS, PHASES, Column, CosemObject
from operations._profile_values import Table

CLOCK_CLASS = 8


def with_columns(
    made: CosemObject,
    where: Table,
    wanted: list[str],
    selectable: list[str],
    objects: Mapping[str, CosemObject],
    families: Mapping[str, str],
) -> CosemObject:
    """The buffer with its columns and selectable objects; `families` says which tags stand for "channels" or "phases".

    Raises ProfileError.
    """
    columns: list[Column] = []
    spread: list[tuple[str, int, int]] = []  # M-Bus columns of a combined profile
    for text in wanted:
        tag, attribute, data_index = _column_text(where, text)
        if families.get(tag) == "channels" and made.channel is None:
            spread.append((tag, attribute, data_index))
            continue
        own = f"{tag}_{made.channel}" if families.get(tag) == "channels" else tag
        tags = [f"{tag}_{phase}" for phase in PHASES] if families.get(tag) == "phases" else [own]
        columns += [_column(where, each, attribute, data_index, objects) for each in tags]
    for channel in CHANNELS if spread else ():
        columns += [_column(where, f"{tag}_{channel}", attribute, index, objects) for tag, attribute, index in spread]
    captured = tuple(_definition(column) for column in columns)
    clock = next((each for each, column in zip(captured, columns, strict=True) if column.class_id == CLOCK_CLASS), None)
    shipped = {
        3: Data(Tag.ARRAY, captured),
        4: Data(Tag.DOUBLE_LONG_UNSIGNED, made.capture_period),
        6: clock or _definition(Column("", 0, bytes(6), 0, 0)),
        8: Data(Tag.DOUBLE_LONG_UNSIGNED, made.entries),
    }
    attributes = {i: replace(a, value=shipped[i]) if i in shipped else a for i, a in made.attributes.items()}
    return replace(
        made,
        columns=tuple(columns),
        attributes=MappingProxyType(attributes),
        selectable=tuple(tag for each in selectable for tag in _members(where, each, objects, families)),
    )


def with_pushes(made: CosemObject, where: Table, wanted: list[str], objects: Mapping[str, CosemObject]) -> CosemObject:
    """The push setup with its object list (meter-model 14.1). Raises ProfileError."""
    pushed = tuple(
        _definition(_column(where, *_column_text(where, text, "pushes"), objects, "pushes")) for text in wanted
    )
    held = replace(made.attributes[2], value=Data(Tag.ARRAY, pushed))
    return replace(made, attributes=MappingProxyType({**made.attributes, 2: held}))


def _members(
    where: Table, tag: str, objects: Mapping[str, CosemObject], families: Mapping[str, str]
) -> tuple[str, ...]:
    suffixes = {"channels": tuple(map(str, CHANNELS)), "phases": PHASES}.get(families.get(tag, ""), ())
    members = tuple(f"{tag}_{suffix}" for suffix in suffixes) or (tag,)
    if any(each not in objects for each in members):
        raise where.error("selectable", f"{tag} names no object of this profile")
    return members


def _column_text(where: Table, text: Any, key: str = "columns") -> tuple[str, int, int]:
    name, _, index = str(text).partition("#")
    tag, dot, attribute = name.partition(".")
    if not dot or not attribute.isdigit() or not (index or "0").isdigit():
        raise where.error(key, f"{text!r} is not TAG.attribute or TAG.attribute#data_index")
    return tag, int(attribute), int(index or 0)


def _column(
    where: Table, tag: str, attribute: int, index: int, objects: Mapping[str, CosemObject], key: str = "columns"
) -> Column:
    source = objects.get(tag)
    if source is None or attribute not in source.attributes:
        raise where.error(key, f"{tag}.{attribute} names no attribute of an object of this profile")
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
