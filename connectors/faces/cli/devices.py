"""`meterlog devices`: import a shipment file; list and show devices."""

from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from connectors.clickhouse.queries import Queries
from connectors.dlms.keys import seal_for_platform
from connectors.faces.cli.keys import platform_public_key
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import FAILED, Failure, console, errors, json_option, print_json, print_table
from connectors.faces.shipment import BadLine, GoodLine, NotAShipment, read
from connectors.faces.upstream import Upstream
from schemas.records import Status

EXISTING_DEVICE = 204


@click.group()
def devices() -> None:
    """The devices the platform knows."""


@devices.command("import")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--plain-keys", is_flag=True, help="Secrets in the file are not encrypted: for a laboratory only.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait when no outcome comes any more.")
@places_option
@json_option
@click.pass_context
def import_shipment(
    ctx: click.Context, path: Path, plain_keys: bool, timeout: float, places: Places, as_json: bool
) -> None:
    """Import a shipment file (.csv or .jsonl), one device a line.

    The same file twice changes nothing.
    """
    outcome = import_file(path, places, plain_keys=plain_keys, timeout=timeout, quiet=as_json)
    if as_json:
        print_json(outcome)
    else:
        for bad in outcome["refused"]:
            where = f"{bad['field']}: " if bad["field"] else ""
            errors.print(f"line {bad['line']}: {where}{bad['reason']}", markup=False)
        console.print(
            f"{outcome['added']} added, {outcome['unchanged']} known already, {len(outcome['refused'])} refused, "
            f"{outcome['unanswered']} without an outcome yet"
        )
    if outcome["refused"] or outcome["unanswered"]:
        ctx.exit(FAILED)


def import_file(path: Path, places: Places, *, plain_keys: bool, timeout: float, quiet: bool) -> dict[str, Any]:
    """Send an AddDevice for each good line and await the outcomes; gives counts, and the refused lines with field and
    reason."""
    seal = None
    if plain_keys:
        pem = platform_public_key(places)

        def seal(secret: bytes) -> bytes:
            return seal_for_platform(pem, secret)

    refused: list[dict[str, Any]] = []
    lines: dict[str, GoodLine] = {}
    counts: Counter[str] = Counter()
    with Upstream(places.kafka, requester="shipment") as upstream, _progress(quiet) as progress:
        task = progress.add_task("devices", total=None)
        try:
            for line in read(path, seal_plain=seal):
                if isinstance(line, BadLine):
                    refused.append({"line": line.number, "field": line.field, "reason": line.reason})
                else:
                    lines[upstream.send("AddDevice", line.device_id, line.request)] = line
        except NotAShipment as error:
            raise Failure(str(error)) from None
        upstream.flush()
        progress.update(task, total=len(lines))
        waiting = set(lines)
        for response in upstream.responses(timeout) if waiting else ():
            header = response.header
            if header.correlation_id not in waiting:
                continue
            waiting.discard(header.correlation_id)
            progress.advance(task)
            if header.status is Status.SUCCESSFUL:
                counts["added"] += 1
            elif header.fault is not None and header.fault.code == EXISTING_DEVICE:
                counts["unchanged"] += 1
            else:
                fault = header.fault
                number = lines[header.correlation_id].number
                reason = fault.message if fault else header.status.value
                refused.append({"line": number, "field": fault.field if fault else None, "reason": reason})
            if not waiting:
                break
    refused.sort(key=lambda bad: bad["line"])
    return {"added": counts["added"], "unchanged": counts["unchanged"], "refused": refused, "unanswered": len(waiting)}


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=errors, disable=quiet, transient=True)


@devices.command("list")
@click.option("--limit", default=50, show_default=True)
@click.option("--like", help="Only identifications that contain this text.")
@places_option
@json_option
def list_devices(limit: int, like: str | None, places: Places, as_json: bool) -> None:
    """List devices."""
    found = Queries(*places.clickhouse).devices(like=like, limit=limit)
    if as_json:
        print_json(found)
    elif not found:
        console.print("no devices; add some with `meterlog devices import FILE`")
    else:
        for device in found:
            if device["gateway_id"]:  # it is called through its gateway, by its gateway's security
                device |= {"port": None, "security": None}
        columns = ("device_id", "device_type", "protocol", "protocol_version", "gateway_id", "host", "port", "security")
        print_table("", columns, ([device.get(column) for column in columns] for device in found))


@devices.command("show")
@click.argument("device_id")
@places_option
@json_option
def show_device(device_id: str, places: Places, as_json: bool) -> None:
    """Show one device: registration, latest reads, latest commands."""
    found = Queries(*places.clickhouse).device(device_id)
    if found is None:
        raise Failure(f"there is no device {device_id!r}", "`meterlog devices list --like TEXT` looks for one.")
    if as_json:
        print_json(found)
    else:
        console.print_json(data=found, default=str)
