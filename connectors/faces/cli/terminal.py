"""How every command prints and fails: tables for people, JSON for programs, one clear line for an error, and an exit
code that says which."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])
FAILED: Final = 1  # the thing asked for did not succeed; 2 is click's: wrong arguments

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class Failure(click.ClickException):
    """An error the user can act on: what is wrong, and what to do."""

    exit_code = FAILED

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what if hint is None else f"{what}\n{hint}")


def json_option(command: F) -> F:
    """`--json` for a command: one JSON document, or one a line for things that go on."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def plain(value: Any) -> Any:
    """What JSON cannot say, as text: times in ISO 8601 UTC, decimals and octets (hex) as strings."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
        case date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case Decimal():
            return str(value)
        case Enum():
            return value.value
        case _:
            return str(value)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, default=plain, ensure_ascii=False))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()
) -> None:
    """A table; `numbers` names the columns that are aligned to the right."""
    if title:
        console.print(title)
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(plain(cell)) for cell in row))
    console.print(table)


def moment(milliseconds: int | None) -> str:
    """Milliseconds since the epoch as local ISO text; empty for None."""
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().isoformat(timespec="seconds")


def moment_option(text: str, option: str) -> datetime:
    """A moment as it is written on a command line, UTC when it says no offset. Raises click.BadParameter."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a moment such as 2027-01-31T02:00:00Z", param_hint=option) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextmanager
def exit_on_known_errors() -> Iterator[None]:
    """The last word: an error that was not foreseen where it arose, but that the user can act on, is one line and
    exit code 1."""
    from confluent_kafka import KafkaException

    from connectors.clickhouse.queries import QueryFailed
    from infra.embedded.errors import StackError
    from operations._errors import OperationError

    try:
        yield
    except KafkaException as error:
        errors.print(f"Kafka: {error.args[0].str()}", markup=False)
        errors.print(
            "Is the broker up? `meterlog status` shows the embedded stack, `meterlog doctor` looks at all of it."
        )
        sys.exit(FAILED)
    except (OperationError, QueryFailed, StackError) as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(FAILED)
