"""`meterlog operations`: what can be asked of a device, and the fields of each request."""

from dataclasses import MISSING, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

import click

from connectors.faces.cli.terminal import Failure, console, json_option, plain, print_json, print_table
from operations import Operation, catalogue
from operations._build import called


@click.command()
@click.argument("name", required=False)
@json_option
def operations(name: str | None, as_json: bool) -> None:
    """List the operations, or the fields of the operation NAME."""
    if name is None:
        if as_json:
            print_json([_document(operation) for operation in catalogue().values()])
        else:
            rows = [(o.name, o.summary, "yes" if o.repeatable else "no") for o in catalogue().values()]
            print_table("", ("operation", "what it does", "repeatable"), rows)
        return
    operation = catalogue().get(name)
    if operation is None:
        raise Failure(f"there is no operation {name!r}", f"Operations: {', '.join(catalogue())}")
    if as_json:
        print_json(_document(operation))
        return
    console.print(f"[bold]{operation.name}[/]: {operation.summary}")
    print_table("", ("field", "type", "default"), [(f["name"], f["type"], f["default"]) for f in _fields(operation)])


def _document(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.name,
        "summary": operation.summary,
        "repeatable": operation.repeatable,
        "needs": operation.needs,
        "seconds": operation.seconds,
        "request": _fields(operation),
    }


def _fields(operation: Operation) -> list[dict[str, Any]]:
    hints = get_type_hints(operation.request)
    return [
        {"name": field.name, "type": _type_name(hints[field.name]), "default": _default(field)}
        for field in fields(operation.request)
    ]


def _type_name(hint: Any) -> str:
    if get_origin(hint) is tuple and get_origin(get_args(hint)[0]) is Union:
        names = (called(kind) or kind.__name__ for kind in get_args(get_args(hint)[0]))
        return f"list of {{name: {{field: value}}}}; names: {', '.join(names)}"
    return hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return plain(field.default) if field.default is not None else None
    return "required" if field.default_factory is MISSING else plain(field.default_factory())
