"""The data dictionary, `docs/data-dictionary.md`: every table and view an analyst may read, every column with type,
unit and meaning. Written by `python -m infra.dictionary` (`make schemas`) from the tables as this release makes them,
in an engine within this process, and from `infra/clickhouse/dictionary.toml`; a test asks a real server for the same.
"""

import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from infra.migrate import JOURNAL, shipped

PATH: Final = Path(__file__).parents[1] / "docs" / "data-dictionary.md"
_INNER: Final = ("_in", "_mv")  # inlets of the sink
_ARGUMENTS: Final = {"Date": "2026-11-01", "String": "UTC"}  # by the type of a view's parameter: any will do
_HEAD: Final = """\
<!-- Written by `make schemas` from infra/clickhouse/: change it there. -->
# Data dictionary

Every table and view that an analyst may read. Times are UTC unless a column says otherwise; a column without a unit has
none. `docs/analytics.md` says where to begin, what is guaranteed, and why tables want `FINAL` and views do not.

"""

Ask = Callable[[str], list[tuple[Any, ...]]]


class Unexplained(Exception):
    """A table or column that nobody explains, or an explanation of what is not there."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What a column means; `unit` is empty for none."""

    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the server has it."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view; `parameters` of a view that takes some, with their types, in the order they are first used."""

    name: str
    is_view: bool
    parameters: Mapping[str, str]
    columns: tuple[Column, ...]


def tables(ask: Ask, database: str) -> list[Table]:
    """What there is, by name."""
    query = f"""
        SELECT name, engine, create_table_query FROM system.tables
        WHERE database = '{database}' ORDER BY name"""  # noqa: S608 - names of our own
    return [
        _table(ask, database, name, engine == "View", text)
        for name, engine, text in ask(query)
        if not name.endswith(_INNER)
    ]


def _table(ask: Ask, database: str, name: str, is_view: bool, text: str) -> Table:
    parameters = dict(re.findall(r"\{(\w+):\s*(\w+)\}", text)) if is_view else {}
    given = ", ".join(f"{each} = '{_ARGUMENTS[kind]}'" for each, kind in parameters.items())
    described = ask(f"DESCRIBE TABLE `{database}`.`{name}`{f'({given})' if given else ''}")
    return Table(name, is_view, parameters, tuple([Column(row[0], row[1], row[4]) for row in described]))


def shipped_words() -> dict[str, Any]:
    """What this release says of its tables."""
    return tomllib.loads((resources.files("infra") / "clickhouse" / "dictionary.toml").read_text("utf-8"))


def written(found: list[Table], said: Mapping[str, Any]) -> str:
    """The document. `said`: as in the dictionary's file. Raises Unexplained."""
    explained: dict[str, dict[str, Any]] = said["tables"]
    by_name = {table.name: table for table in found}
    for name in explained.keys() ^ by_name.keys():
        raise Unexplained(f"{name}: {'is not there' if name in explained else 'is in no dictionary'}")
    parts = [_HEAD]
    for views, title in ((True, "Views"), (False, "Tables")):
        parts.append(f"## {title}\n")
        for table in found:
            if table.is_view is views:
                parts += _section(table, explained[table.name], by_name, explained, said["columns"])
    return "\n".join(parts)


def _section(
    table: Table,
    about: Mapping[str, Any],
    by_name: Mapping[str, Table],
    explained: Mapping[str, Any],
    common: Mapping[str, Any],
) -> Iterator[str]:
    shown = ", ".join(table.parameters)
    yield f"### `{table.name}{f'({shown})' if shown else ''}`"
    yield f"{_sentence(about['about'])} One row is: {about['row']}.\n"
    of = about.get("of", [])
    yield f"From {', '.join(f'`{each}`' for each in of)}.\n" if of else f"Source: {about['source']}.\n"
    yield "| Column | Type | Unit | Meaning |\n| --- | --- | --- | --- |"
    left = dict(about.get("columns", {}))
    for column in table.columns:
        told = _explanation(table, column, [left.pop(column.name, None), *_inherited(column, of, by_name, explained)])
        told = told or _told(common.get(column.name))
        if told is None:
            raise Unexplained(f"{table.name}.{column.name}: nobody says what it means")
        kind = column.type
        yield f"| {column.name} | {kind} | {told.unit} | {told.meaning.replace('|', chr(92) + '|')} |"
    for name in left:
        raise Unexplained(f"{table.name}.{name}: the dictionary explains a column that is not there")
    yield ""


def _inherited(
    column: Column, of: list[str], by_name: Mapping[str, Table], explained: Mapping[str, Any]
) -> Iterator[Any]:
    """What the tables of a view say of their columns of that name."""
    for name in of:
        yield explained[name].get("columns", {}).get(column.name)
        yield next((each.comment for each in by_name[name].columns if each.name == column.name), None)


def _explanation(table: Table, column: Column, said: list[Any]) -> Explained | None:
    return next((told for each in (said[0], column.comment, *said[1:]) if (told := _told(each)) is not None), None)


def _told(said: Any) -> Explained | None:
    if not said:
        return None
    return Explained(said) if isinstance(said, str) else Explained(said["meaning"], said.get("unit", ""))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def main() -> None:
    """Write the document, or with `--check` say whether it is as it should be."""
    from chdb import session

    make: Any = session.Session
    engine = make()
    database = "meterlog_dictionary"

    def ask(query: str) -> list[tuple[Any, ...]]:
        found = engine.query(query, "JSONCompactStringsEachRow")
        return [tuple(json.loads(line)) for line in str(found).splitlines() if line.startswith("[")]

    for statement in (f"CREATE DATABASE {database}", f"USE {database}", JOURNAL):
        engine.query(statement)
    for migration in shipped():
        for statement in migration.statements:
            engine.query(statement)
    text = written(tables(ask, database), shipped_words())
    if "--check" not in sys.argv[1:]:
        PATH.write_text(text, "utf-8")
    elif not PATH.exists() or PATH.read_text("utf-8") != text:
        sys.exit(f"{PATH} is not what the tables say: make schemas")


if __name__ == "__main__":
    main()
