"""`meterlog up | down | status`: the embedded stack, from one folder, without a container."""

from pathlib import Path
from typing import Any

import click

from connectors.dlms.keys import PUBLIC_FILE, generate
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import FAILED, Failure, console, json_option, print_json, print_table
from infra.embedded import remote
from infra.embedded.roles import ROLES
from infra.embedded.supervisor import Ports, Stack, stop_on_signals


@click.command()
@click.option("--kafka-port", default=0, show_default="a free one")
@click.option("--clickhouse-port", default=0, show_default="a free one", help="Native protocol.")
@click.option("--clickhouse-http-port", default=0, show_default="a free one")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice([role.name for role in ROLES]),
    help="Leave this role out, for `meterlog rebuild`; may be said several times.",
)
@places_option
def up(
    kafka_port: int, clickhouse_port: int, clickhouse_http_port: int, without: tuple[str, ...], places: Places
) -> None:
    """Start Kafka, ClickHouse and every role, and keep them running until Ctrl-C or `meterlog down`."""
    roles = [role for role in ROLES if role.name not in without]
    ports = Ports(kafka=kafka_port, clickhouse=clickhouse_port, clickhouse_http=clickhouse_http_port)
    ensure_keys(places.keys)
    try:
        with stop_on_signals(), Stack(places.data, ports, roles, announce) as stack:
            announce(f"metrics and logs: `meterlog status`, {places.data / 'logs'}; Ctrl-C stops everything")
            stack.wait()
    except KeyboardInterrupt:
        announce("everything has stopped")


@click.command()
@places_option
@json_option
def down(places: Places, as_json: bool) -> None:
    """Stop the stack of the data folder, in order.

    Its data stays.
    """
    stopped = remote.down(places.data)
    if as_json:
        print_json({"stopped": stopped})
    else:
        console.print("everything has stopped" if stopped else f"no stack runs on {places.data}")


@click.command()
@places_option
@json_option
@click.pass_context
def status(ctx: click.Context, places: Places, as_json: bool) -> None:
    """Show the processes of the stack.

    Exit code 1 when there is none, or one of them is not ready.
    """
    found = remote.status(places.data)
    if found is None:
        if as_json:
            print_json(None)
        else:
            console.print(f"no stack runs on {places.data}; `meterlog up` starts one")
        ctx.exit(FAILED)
    if as_json:
        print_json(_document(found))
    else:
        console.print(
            f"since {found.since}, Kafka {found.environment['METERLOG_KAFKA']}, "
            f"ClickHouse {found.environment['METERLOG_CLICKHOUSE']} and {found.environment['METERLOG_CLICKHOUSE_HTTP']}"
        )
        rows = [(part.name, part.pid, part.state, part.restarts, part.metrics_port) for part in found.parts]
        print_table("", ("process", "pid", "state", "restarts", "metrics port"), rows, numbers=("pid", "restarts"))
    missing = {role.name for role in ROLES} - {part.name for part in found.parts}  # a stack that is still starting
    if missing or any(part.state not in ("ready", "running") for part in found.parts):
        ctx.exit(FAILED)


def ensure_keys(folder: Path) -> None:
    """A stack that starts for the first time makes the platform's keys."""
    try:
        if not (folder / PUBLIC_FILE).exists():
            generate(folder)
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}", "Choose another data folder with --data.") from None


def announce(line: str) -> None:
    """A line of the supervisor; rich would take brackets of paths and messages for markup."""
    console.print(line, markup=False)


def _document(found: remote.StackStatus) -> dict[str, Any]:
    return {
        "pid": found.pid,
        "since": found.since,
        "environment": found.environment,
        "processes": [{name: getattr(part, name) for name in part.__slots__} for part in found.parts],
    }
