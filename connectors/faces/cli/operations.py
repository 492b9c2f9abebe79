"""`meterlog operations`: what can be asked of a device, and the fields of each request."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import click

from connectors.faces.cli.terminal import Failure, console, json_option, plain, print_json, print_table
from operations import Operation, catalogue
from operations._build import called
from operations._schema_docs import field_comments

_WORDS: Final[dict[Any, str]] = {
    str: "text",
    int: "number",
    bool: "true or false",
    bytes: "octets",
    datetime: "moment",
}


@click.command()
@click.argument("name", required=False)
@json_option
def operations(name: str | None, as_json: bool) -> None:
    """List the operations, or the fields of the operation NAME."""
    if name is None:
        if as_json:
            print_json([document(operation) for operation in catalogue().values()])
        else:
            rows = [(o.name, o.summary, "yes" if o.repeatable else "no") for o in catalogue().values()]
            print_table("", ("operation", "what it does", "repeatable"), rows)
        return
    operation = catalogue().get(name)
    if operation is None:
        raise Failure(f"there is no operation {name!r}", f"Operations: {', '.join(catalogue())}")
    if as_json:
        print_json(document(operation))
        return
    console.print(f"[bold]{operation.name}[/]: {operation.summary}")
    shown = [(f["name"], f["type"], f["default"], f["about"]) for f in fields_of(operation)]
    print_table("", ("field", "type", "default", "about"), shown)


def document(operation: Operation) -> dict[str, Any]:
    """What the catalogue says of an operation, for whoever asks it."""
    return {
        "name": operation.name,
        "summary": operation.summary,
        "repeatable": operation.repeatable,
        "bundled": operation.bundled,
        "needs": operation.needs,
        "seconds": operation.seconds,
        "request": fields_of(operation),
    }


def fields_of(operation: Operation) -> list[dict[str, Any]]:
    """The fields of its request; `about` is what their author says of them, empty when nothing."""
    hints, comments = get_type_hints(operation.request), field_comments(operation.request)
    return [
        {
            "name": field.name,
            "type": _type_name(hints[field.name]),
            "default": _default(field),
            "about": comments.get(field.name, ""),
        }
        for field in fields(operation.request)
    ]


def _type_name(hint: Any) -> str:
    """In the words of whoever fills it in: `list of {event_log_category: ..., from_date: moment}`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin in (Union, UnionType):
        kinds = [each for each in arguments if each is not NoneType]
        if any(called(each) for each in kinds):
            return f"{{name: {{field: value}}}}; names: {', '.join(called(each) or each.__name__ for each in kinds)}"
        return " or ".join([*map(_type_name, kinds), *(["null"] if NoneType in arguments else [])])
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin in (dict, Mapping):
        return f"{{name: {_type_name(arguments[1])}}}"
    if issubclass(hint, Enum):
        return f"one of {', '.join(str(each.value) for each in hint)}"
    hints = get_type_hints(hint)
    return f"{{{', '.join(f'{each.name}: {_type_name(hints[each.name])}' for each in fields(hint))}}}"


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return plain(field.default) if field.default is not None else None
    return "required" if field.default_factory is MISSING else plain(field.default_factory())
