"""`meterlog export`: a table, a view or a query of ClickHouse to a Parquet, CSV or JSON Lines file."""

import re
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from connectors.clickhouse.export import FORMATS, Progress, export
from connectors.clickhouse.queries import QueryFailed
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, console, errors, json_option, print_json

UNKNOWN_TABLE: Final = "Code: 60."
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\(.*\))?", re.DOTALL)


@click.command("export")
@click.argument("source")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--where", default="", help="Only rows for which this holds, in SQL: \"device_id = 'EM0001'\".")
@click.option("--force", is_flag=True, help="Replace FILE when it is there.")
@places_option
@json_option
def export_command(source: str, file: Path, where: str, force: bool, places: Places, as_json: bool) -> None:
    """Write SOURCE to FILE, in the format its name ends with: .parquet, .csv or .jsonl.

    SOURCE is a table or view (docs/data-dictionary.md lists them), a view with its parameters, such as
    "load_curve(day = '2026-11-01', zone = 'Europe/Amsterdam')", or a query that begins with SELECT or WITH.
    """
    if file.suffix not in FORMATS:
        raise click.BadParameter(f"ends with none of {', '.join(FORMATS)}", param_hint="FILE")
    if file.exists() and not force:
        raise Failure(f"{file} is there already", "--force replaces it.")
    query = _query(source, where)
    server = places.clickhouse_http
    with Bar(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=errors, disable=as_json, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(str(file), total=None)

        def told(progress: Progress) -> None:
            # The server knows rows, the file bytes: the share of the rows says what the bytes will be.
            share = progress.rows / progress.total_rows if progress.total_rows else 0
            bar.update(task, completed=progress.bytes, total=progress.bytes / share if 0 < share < 1 else None)

        try:
            written = export(server, query, file, told)
        except OSError as error:
            raise Failure(f"{file}: {error.strerror or error}") from None
        except QueryFailed as error:
            # Of a query, or a condition that asks other tables, ClickHouse says better which it does not know.
            if UNKNOWN_TABLE in str(error) and query != source and not where:
                raise Failure(f"there is no table or view {source!r}", "docs/data-dictionary.md lists them.") from None
            raise
    if as_json:
        print_json({"file": str(file), "bytes": written})
    else:
        console.print(f"{file}: {written:,} bytes", markup=False)


def _query(source: str, where: str) -> str:
    if re.match(r"\s*(SELECT|WITH)\b", source, re.IGNORECASE):
        if where:
            raise click.UsageError("--where goes with a table or a view; a query has its own")
        return source
    if not NAME.fullmatch(source):
        raise click.BadParameter(f"{source!r} is no table, view or query", param_hint="SOURCE")
    return f"SELECT * FROM {source}" + (f" WHERE {where}" if where else "")  # noqa: S608 - the caller's own
