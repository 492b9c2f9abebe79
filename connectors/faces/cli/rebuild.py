"""`meterlog rebuild`: what can be made anew is: the streams' table from their log, ClickHouse from the topics."""

import os
import subprocess
import sys

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from connectors.clickhouse.queries import Queries
from connectors.clickhouse.rebuild import NotRefilled, Refill, SinkRuns
from connectors.clickhouse.role import Settings
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, console, errors, json_option, moment, print_json, print_table
from infra import migrate
from roles.logs import start_logs
from roles.settings import SettingsWrong


@click.group()
def rebuild() -> None:
    """Make the table of devices, or ClickHouse, anew from the topics."""


@rebuild.command()
@click.option("--dry-run", is_flag=True, help="Tell what would be written; the streams may run.")
@places_option
@json_option
@click.pass_context
def table(ctx: click.Context, dry_run: bool, places: Places, as_json: bool) -> None:
    """Fold the devices' log and write what the table lacks or has otherwise.

    The streams must be stopped. Exit code 1 when something was kept that the log does not explain, 2 when it could not
    be done. Interrupted, it leaves a mark that the streams refuse to start on: run it again.
    """
    options = [name for name, said in (("--dry-run", dry_run), ("--json", as_json)) if said]
    command = [sys.executable, "-m", "streams.rebuild", *options]
    child = subprocess.run(command, env={**os.environ, "METERLOG_KAFKA": places.kafka})
    if child.returncode < 0:
        raise Failure(f"the rebuild was ended by signal {-child.returncode}", "Run it again to its end.")
    ctx.exit(child.returncode)


@rebuild.command()
@click.option("--fresh", is_flag=True, help="Drop all of Meterlog's tables and views first.")
@click.option("--yes", is_flag=True, help="Do not ask before they are dropped.")
@places_option
@json_option
def clickhouse(fresh: bool, yes: bool, places: Places, as_json: bool) -> None:
    """Read all that the topics hold into ClickHouse once more.

    The sink must be stopped. Rows that are there already are known again and stay one. --fresh begins with empty
    tables: what is older than the topics reach is lost then.
    """
    settings = _settings(places)
    try:
        refill = Refill(settings)
        if not as_json:
            held = refill.held()
            rows = [(topic, each.offsets, moment(each.since)) for topic, each in held.items()]
            print_table("", ("topic", "offsets", "since"), rows, numbers=("offsets",))
        start_logs("rebuild", level="warning", form="text")  # what the sink's parts say belongs on standard error
        _prepare(settings, fresh, yes)
        _run(refill, as_json)
    except SinkRuns as error:
        hint = "Stop it first (`meterlog up --without clickhouse-sink` starts the embedded stack without it)."
        raise Failure(str(error), hint) from None
    except NotRefilled as error:
        raise Failure(f"not everything was read: {error}", "Run it again once that is mended.") from None
    _tell(settings, as_json)


def _settings(places: Places) -> Settings:
    host, port = places.clickhouse
    try:
        return Settings.read({**os.environ, "METERLOG_KAFKA": places.kafka, "METERLOG_CLICKHOUSE": f"{host}:{port}"})
    except SettingsWrong as error:
        raise Failure(str(error)) from None


def _prepare(settings: Settings, fresh: bool, yes: bool) -> None:
    """All tables are there; empty, if they are to be."""
    where = f"{settings.database} at {settings.host}:{settings.port}"
    server = (settings.host, settings.port)
    connection = {"database": settings.database, **settings.credentials}
    try:
        if fresh:
            if not yes:
                click.confirm(f"Drop every table and view of Meterlog in {where}?", abort=True)
            migrate.drop(*server, **connection)
        migrate.migrate(*server, **connection)
        absent = migrate.absent(*server, **connection)
    except migrate.MigrationRefused as error:
        raise Failure(str(error)) from None
    if absent:
        raise Failure(
            f"missing in {where}: {', '.join(absent)}",
            "`meterlog rebuild clickhouse --fresh` drops what is left and makes all of them anew.",
        )


def _run(refill: Refill, quiet: bool) -> None:
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=errors, disable=quiet,
    ) as progress:  # fmt: skip
        task = progress.add_task("offsets read", total=refill.total)
        for step in refill.run():
            progress.update(task, completed=step.done, description=step.waiting or "offsets read")


def _tell(settings: Settings, as_json: bool) -> None:
    with Queries(settings.host, settings.port, database=settings.database, **settings.credentials) as queries:
        totals, tables = queries.sink_totals(), queries.rows_by_table()
    if as_json:
        print_json({"topics": totals, "tables": tables})
        return
    rows = [(topic, counts["stored"], counts["set_aside"]) for topic, counts in sorted(totals.items())]
    print_table("", ("topic", "records stored", "set aside"), rows, numbers=("records stored", "set aside"))
    print_table("", ("table", "rows"), tables.items(), numbers=("rows",))
    console.print("ClickHouse holds what the topics hold; start the sink again")
