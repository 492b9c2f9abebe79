"""`meterlog responses`: outcomes of commands, as ClickHouse has kept them."""

import click

from connectors.clickhouse.queries import Queries
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, console, json_option, print_json


@click.group()
def responses() -> None:
    """Outcomes of commands."""


@responses.command()
@click.argument("correlation_id")
@click.option("--device", metavar="ID", help="Whose command, where several devices may have one of this id.")
@places_option
@json_option
def show(correlation_id: str, device: str | None, places: Places, as_json: bool) -> None:
    """Show the outcome of the command with CORRELATION_ID, with its result."""
    found = Queries(*places.clickhouse).response(correlation_id, device)
    if found is None:
        raise Failure(
            f"no outcome of {correlation_id!r} is stored",
            "It may still be in work, or the sink behind: `meterlog watch` shows outcomes as they come.",
        )
    if as_json:
        print_json(found)
    else:
        console.print_json(data=found, default=str)
