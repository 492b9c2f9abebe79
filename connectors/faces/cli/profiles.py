"""`meterlog profiles`: what a meter of each protocol version has, and what may be done with it."""

from typing import Any

import click

from connectors.faces.cli.terminal import Failure, console, json_option, print_json, print_table
from operations._data import Data, Tag
from operations._profile import Access, CosemAttribute, CosemMethod, CosemObject, PowerQuality, Profile
from operations._profile import profiles as all_profiles
from operations._profile_values import TYPES, UNITS

OBJECT = ("tag", "logical name", "class", "public", "management", "unit")
ATTRIBUTE = ("attribute", "name", "type", "public", "management", "as shipped")
METHOD = ("method", "name", "parameter", "public", "management")
SHOWN = 60  # characters of a value in a table; --json has all
TYPE_NAMES = {tag: name for name, tag in TYPES.items()}
UNIT_NAMES = {code: name for name, code in UNITS.items()}


@click.group()
def profiles() -> None:
    """Meter profiles: the objects of each protocol version."""


@profiles.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the profiles."""
    found = [
        {
            "profile": name(each),
            "objects": len(each.objects),
            "poly_phase_only": sum(made.polyphase for made in each.objects.values()),
            "buffers": sum(made.class_id == 7 for made in each.objects.values()),
            "max_pdu": each.traits.max_pdu,
        }
        for each in all_profiles().values()
    ]
    if as_json:
        print_json(found)
        return
    heads = ("profile", "objects", "only poly-phase", "buffers and logs", "largest request (octets)")
    print_table("", heads, [tuple(each.values()) for each in found])
    console.print("`meterlog profiles show NAME` lists the objects of one, such as `meterlog profiles show SMR-5.1`.")


@profiles.command()
@click.argument("name_")
@click.option("--object", "tag", help="One object by its tag: attributes, methods, columns.")
@json_option
def show(name_: str, tag: str | None, as_json: bool) -> None:
    """Show the objects of the profile NAME, such as SMR-5.1; or one of them.

    Class: interface class and its version. Public, management: what that client may do with attribute 2, or with the
    attribute or method shown: r read, w write, x call.
    """
    profile = find(name_)
    if tag is None:
        if as_json:
            print_json([document(each) for each in profile.objects.values()])
        else:
            print_table(name(profile), OBJECT, [_row(each) for each in profile.objects.values()])
        return
    if tag.upper() not in profile:
        near = [each for each in profile.objects if tag.upper() in each]
        raise Failure(f"{name(profile)} has no object {tag}", f"Close: {', '.join(near[:8])}" if near else None)
    found = profile[tag.upper()]
    if as_json:
        print_json(document(found))
        return
    console.print(f"[bold]{found.tag}[/] {found.name}: {_class(found)}; {found.clause}", highlight=False)
    for line in _notes(found):
        console.print(line, highlight=False)
    print_table("", ATTRIBUTE, [(*row[:-1], _cut(row[-1])) for row in map(_attribute, found.attributes.values())])
    if found.methods:
        print_table("", METHOD, [_method(each) for each in found.methods.values()])


def name(profile: Profile) -> str:
    return f"{profile.protocol}-{profile.version}"


def find(given: str) -> Profile:
    """The profile of a name, such as SMR-5.1. Raises Failure."""
    wanted = given.lower().replace(" ", "-")
    for each in all_profiles().values():
        if name(each).lower() == wanted:
            return each
    raise Failure(f"there is no profile {given!r}", f"Profiles: {', '.join(map(name, all_profiles().values()))}")


def document(found: CosemObject) -> dict[str, Any]:
    """One object as JSON has it."""
    return {
        "tag": found.tag,
        "logical_name": found.name,
        "class": found.class_id,
        "version": found.version,
        "clause": found.clause,
        "channel": found.channel,
        "poly_phase_only": found.polyphase,
        "scaler_unit": None if found.scaler_unit is None else [found.scaler_unit.scaler, _unit(found)],
        "capture_period": found.capture_period,
        "entries": found.entries,
        "columns": [_column(each) for each in found.columns],
        "selectable": found.selectable,
        "power_quality": None if found.power_quality is None else _power_quality(found.power_quality),
        "attributes": [
            dict(zip(("index", "name", "type", "public", "management", "value"), _attribute(each), strict=True))
            for each in found.attributes.values()
        ],
        "methods": [
            dict(zip(("index", "name", "parameter", "public", "management"), _method(each), strict=True))
            for each in found.methods.values()
        ],
    }


def _row(found: CosemObject) -> tuple[str, ...]:
    main = found.attributes[2]
    kind = f"{found.class_id} v{found.version}"
    return found.tag, found.name, kind, _may(main.public), _may(main.management), _unit(found)


def _notes(found: CosemObject) -> list[str]:
    lines = []
    if found.polyphase:
        lines.append("Only poly-phase meters have it.")
    if found.columns:
        period = f"a row every {found.capture_period} s" if found.capture_period else "no fixed period"
        lines.append(f"{found.entries} rows at most, {period}. Columns: {', '.join(map(_column, found.columns))}.")
    if found.power_quality is not None:
        part = _power_quality(found.power_quality)
        actual, periodic = (", ".join(part[key]) or "none" for key in ("actual", "periodic"))
        lines.append(f"Power quality, {part['audience']}: actual reads of meters {actual}; periodic {periodic}.")
    if found.selectable:
        lines.append(f"A power-quality read may take: {', '.join(found.selectable)}.")
    return lines


def _class(found: CosemObject) -> str:
    return f"class {found.class_id}, version {found.version}"


def _unit(found: CosemObject) -> str:
    if found.scaler_unit is None:
        return "" if found.class_id not in (3, 4) else "meter says"
    scaler, unit = found.scaler_unit.scaler, UNIT_NAMES[found.scaler_unit.unit]
    return f"10^{scaler} {unit}" if scaler else unit


def _column(column: Any) -> str:
    index = f"#{column.data_index}" if column.data_index else ""
    return f"{column.tag}.{column.attribute}{index}"


def _power_quality(part: PowerQuality) -> dict[str, Any]:
    return {"audience": part.audience.value, "actual": sorted(part.actual), "periodic": sorted(part.periodic)}


def _attribute(each: CosemAttribute) -> tuple[Any, ...]:
    shipped = "" if each.value is None else _text(each.value)
    kind = _type(each.type, each.length)
    return each.index, each.name, kind, _may(each.public), _may(each.management), shipped


def _method(each: CosemMethod) -> tuple[Any, ...]:
    return each.index, each.name, _type(each.parameter, None), _may(each.public), _may(each.management)


def _type(kind: Tag, length: int | None) -> str:
    """As profile files write it."""
    return TYPE_NAMES[kind] if length is None else f"{TYPE_NAMES[kind]}({length})"


def _text(value: Data) -> str:
    """A value, short: [array], {structure}, 'text', a logical name, or hex."""
    held = value.value
    match value.tag:
        case Tag.ARRAY:
            return f"[{', '.join(map(_text, held))}]"
        case Tag.STRUCTURE:
            return f"{{{', '.join(map(_text, held))}}}"
        case Tag.OCTET_STRING if held.isascii() and held.decode().isprintable():
            return f"'{held.decode()}'"
        case Tag.OCTET_STRING:
            return ".".join(map(str, held)) if len(held) == 6 else held.hex().upper()
        case Tag.VISIBLE_STRING | Tag.UTF8_STRING:
            return f"'{held}'"
    return str(held)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _may(access: Access) -> str:
    letters = {Access.READ: "r", Access.WRITE: "w", Access.EXECUTE: "x"}
    return "".join(letter for part, letter in letters.items() if part in access) or "-"
