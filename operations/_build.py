"""Requests from what callers send: a decoded record (Python values) or words of a command line (all text).

Everything about a request that can be wrong comes out as `Rejected` with the field and the reason: an unknown or
missing field and a wrong type here, a value out of range from the request itself. What Avro tells apart by type,
text tells by form: `true`, `12`, `2024-01-31T00:00:00Z`, hexadecimal for bytes, `a=b;c=d` for maps, commas for lists.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from operations._cosem_time import moment_of
from operations._errors import Rejected
from schemas._names import full_name

Build = Callable[[str, Any], Any]  # field path, value -> value of the field's type

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


_called: dict[type, str] = {}


def call(cls: type, name: str) -> None:
    """Let callers say `name` where one of several records is wanted, besides its Avro name: at import."""
    _called[cls] = name


def called(cls: type) -> str | None:
    """What `call` said."""
    return _called.get(cls)


def build(cls: type, values: Mapping[str, Any]) -> Any:
    """An instance of a frozen dataclass. Raises Rejected naming the field."""
    return _record(cls)("", values)


@cache
def _record(cls: type) -> Build:
    hints = get_type_hints(cls)
    parts = [(each.name, _builder(hints[each.name])) for each in fields(cls)]
    known = {name for name, _ in parts}
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]

    def build_record(path: str, values: Any) -> Any:
        if not isinstance(values, Mapping):
            raise _wrong(path, "a record", values)
        dot = f"{path}." if path else ""
        for name in values:
            if name not in known:
                raise Rejected(f"is no field of this request; its fields are {_list(known)}", field=f"{dot}{name}")
        for name in needed:
            if name not in values:
                raise Rejected("is missing", field=f"{dot}{name}")
        built = {name: part(f"{dot}{name}", values[name]) for name, part in parts if name in values}
        try:
            return cls(**built)
        except Rejected as rejected:
            raise rejected.within(path) if path else rejected from None

    return build_record


def _builder(hint: Any) -> Build:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = [each for each in arguments if each is not type(None)]
        if len(kinds) == 1 and len(kinds) < len(arguments):
            inner = _builder(kinds[0])
            return lambda path, value: None if value is None else inner(path, value)
        if len(kinds) == len(arguments) and all(is_dataclass(kind) for kind in kinds):
            return _one_of(kinds)
    elif origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple(_builder(arguments[0]))
    elif origin is dict and arguments == (str, str):
        return _labels
    elif isinstance(hint, type):
        if is_dataclass(hint):
            return _record(hint)
        if issubclass(hint, Enum):
            return _enum(hint)
        if hint in _PLAIN:
            return _PLAIN[hint]
    raise TypeError(f"requests cannot have a field of type {hint}")


def _tuple(item: Build) -> Build:
    def build_tuple(path: str, value: Any) -> Any:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if value else []
        if not isinstance(value, list | tuple):
            raise _wrong(path, "a list", value)
        return tuple(item(f"{path}[{index}]", each) for index, each in enumerate(value))

    return build_tuple


def _one_of(kinds: list[type]) -> Build:
    """One of several records: its name with its fields, a pair as a decoded union has it or a mapping of one entry; a
    record without required fields by its name alone.
    """
    parts: dict[str, Build] = {}
    shown = []
    for kind in kinds:
        names = {full_name(kind), _called.get(kind, full_name(kind))}
        parts |= dict.fromkeys(names, _record(kind))
        shown.append(min(names, key=len))

    def build_one_of(path: str, value: Any) -> Any:
        match value:
            case str():
                name, values = value, None
            case [str(first), second]:
                name, values = first, second
            case Mapping() if len(value) == 1:
                ((name, values),) = value.items()
            case _ if type(value) in kinds:
                return value
            case _:
                raise _wrong(path, "a name with its fields, such as {name: {field: value}}", value)
        if name not in parts:
            raise Rejected(f"{str(name)[:80]!r} is none of {_list(shown)}", field=path)
        return parts[name](path, {} if values is None else values)

    return build_one_of


def _enum(cls: type[Enum]) -> Build:
    members = {str(member.value).lower(): member for member in cls}

    def build_enum(path: str, value: Any) -> Any:
        found = value if isinstance(value, cls) else members.get(value.lower() if isinstance(value, str) else "")
        if found is None:
            raise Rejected(f"{value!r} is none of {_list(str(member.value) for member in cls)}", field=path)
        return found

    return build_enum


def _labels(path: str, value: Any) -> dict[str, str]:
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(";") if part]
        if not all(equals for _, equals, _ in pairs):
            raise _wrong(path, "name=value pairs with ';' between", value)
        return {name.strip(): text.strip() for name, _, text in pairs}
    if not isinstance(value, Mapping) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise _wrong(path, "a map of text to text", value)
    return dict(value)


def _text(path: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "text", value)
    return value


def _integer(path: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise _wrong(path, "a whole number", value)


def _boolean(path: str, value: Any) -> bool:
    found = _TRUTH.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise _wrong(path, "true or false", value)
    return found


def _octets(path: str, value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            # Never quoted: this may be a key.
            raise Rejected("is not hexadecimal digits, two an octet", field=path) from None
    if not isinstance(value, bytes):
        raise Rejected(f"is {type(value).__name__}, not bytes or hexadecimal text", field=path)
    return value


def _decimal(path: str, value: Any) -> Decimal:
    if isinstance(value, int | str | Decimal) and not isinstance(value, bool):
        try:
            if (found := Decimal(value)).is_finite():
                return found
        except InvalidOperation:
            pass
    raise _wrong(path, "a decimal number", value)


def _moment(path: str, value: Any) -> datetime:
    """An aware datetime, its ISO 8601 text (no offset: UTC), or milliseconds since 1970."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return moment_of(value)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _wrong(path, "a moment such as 2024-01-31T00:00:00Z", value)


_PLAIN: Mapping[type, Build] = {
    str: _text,
    int: _integer,
    bool: _boolean,
    bytes: _octets,
    Decimal: _decimal,
    datetime: _moment,
}


def _wrong(path: str, wanted: str, value: Any) -> Rejected:
    shown = repr(value)
    return Rejected(f"must be {wanted}, not {shown if len(shown) <= 40 else shown[:40] + '...'}", field=path or None)


def _list(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
