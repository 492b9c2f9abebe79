"""`meterlog send` and `meterlog watch`: ask something of a device; see what comes back."""

import json
from collections.abc import Mapping
from typing import Any

import click

from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import (
    FAILED,
    Failure,
    console,
    json_option,
    moment,
    moment_option,
    plain,
    print_json,
)
from connectors.faces.upstream import Response, Upstream
from operations import catalogue
from schemas.records import Status


@click.command()
@click.argument("operation")
@click.option("--device", "device_id", required=True, help="Device identification.")
@click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of the request; JSON for lists and structures.",
)
@click.option("--priority", type=click.IntRange(0, 9), default=4, show_default=True, help="9 goes first.")
@click.option("--at", "at", metavar="MOMENT", help="Not before this moment, such as 2027-01-31T02:00:00Z.")
@click.option("--expires-in", type=click.FloatRange(min=1), help="Seconds after which it must not start any more.")
@click.option("--bypass-retry", is_flag=True, help="The first failure is the answer.")
@click.option("--wait", is_flag=True, help="Wait for the outcome; exit code 1 when it is not Successful.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait with --wait.")
@places_option
@json_option
@click.pass_context
def send(
    ctx: click.Context,
    operation: str,
    device_id: str,
    fields: tuple[str, ...],
    priority: int,
    at: str | None,
    expires_in: float | None,
    bypass_retry: bool,
    wait: bool,
    timeout: float,
    places: Places,
    as_json: bool,
) -> None:
    """Send OPERATION to a device.

    `meterlog operations` lists what can be asked; `meterlog operations NAME` its fields.
    """
    if operation not in catalogue():
        raise Failure(f"there is no operation {operation!r}", f"Operations: {', '.join(catalogue())}")
    options: dict[str, Any] = {"priority": priority, "bypass_retry": bypass_retry}
    if at is not None:
        options["scheduled_at"] = int(moment_option(at, "--at").timestamp() * 1000)
    with Upstream(places.kafka, requester="cli") as upstream:
        if expires_in is not None:
            options["expires_at"] = upstream.now() + int(expires_in * 1000)
        correlation_id = upstream.send(operation, device_id, request_fields(fields), **options)
        upstream.flush()
        if not wait:
            _accepted(correlation_id, as_json)
            return
        try:
            response = upstream.await_response(correlation_id, timeout)
        except TimeoutError as error:
            raise Failure(str(error), f"Ask again with `meterlog responses show {correlation_id}`.") from None
    print_response(response, as_json)
    if response.header.status is not Status.SUCCESSFUL:
        ctx.exit(FAILED)


def request_fields(pairs: tuple[str, ...]) -> Mapping[str, Any]:
    """`FIELD=VALUE` as a mapping; a value that reads as a JSON list, object, number or literal is that, anything else
    is text."""
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{pair!r} is not FIELD=VALUE", param_hint="--set")
        try:
            fields[name] = json.loads(text)
        except json.JSONDecodeError as error:
            if text.lstrip().startswith(("[", "{")):  # meant as JSON: a list of names needs no brackets
                raise click.BadParameter(
                    f"{name} is no JSON: {error.msg} at character {error.pos + 1}", param_hint="--set"
                ) from None
            fields[name] = text
    return fields


def print_response(response: Response, as_json: bool) -> None:
    """The outcome of one command, whole."""
    header = response.header
    if as_json:
        print_json(as_document(response))
        return
    good = header.status is Status.SUCCESSFUL
    repeated = " (told before)" if header.repeated else ""
    console.print(
        f"[{'green' if good else 'red'}]{header.status.value}[/]{repeated}  {header.operation} {header.device_id}  "
        f"{(header.settled_at - header.received_at) / 1000:.2f} s, {header.attempts} attempt(s), "
        f"{header.correlation_id}"
    )
    if header.fault is not None:
        console.print(f"  {header.fault.name} ({header.fault.code}): {header.fault.message}", markup=False)
    if header.large_result is not None:
        console.print(f"  the result is large: it lies at {header.large_result} and in ClickHouse")
    if response.result:
        console.print_json(json.dumps(response.result, default=plain))


def as_document(response: Response) -> dict[str, Any]:
    """A response as a JSON document."""
    header = response.header
    fault = header.fault
    return {
        "correlation_id": header.correlation_id,
        "device_id": header.device_id,
        "operation": header.operation,
        "status": header.status.value,
        "fault": None if fault is None else {name: getattr(fault, name) for name in fault.__slots__},
        "attempts": header.attempts,
        "repeated": header.repeated,
        "received_at": moment(header.received_at),
        "settled_at": moment(header.settled_at),
        "large_result": header.large_result,
        "result": response.result,
    }


def _accepted(correlation_id: str, as_json: bool) -> None:
    if as_json:
        print_json({"correlation_id": correlation_id})
    else:
        console.print(f"sent {correlation_id}; see `meterlog responses show {correlation_id}`")


@click.command()
@click.option("--device", "device_id", help="Only this device.")
@click.option("--failed", is_flag=True, help="Only what did not succeed.")
@places_option
@json_option
def watch(device_id: str | None, failed: bool, places: Places, as_json: bool) -> None:
    """Print responses as they come, until Ctrl-C."""
    with Upstream(places.kafka, requester="cli") as upstream:
        if not as_json:
            console.print("waiting for responses; Ctrl-C ends")
        for response in upstream.responses(timeout=float("inf")):
            header = response.header
            if (device_id and header.device_id != device_id) or (failed and header.status is Status.SUCCESSFUL):
                continue
            if as_json:
                print_json(as_document(response))
            else:
                words = [moment(header.settled_at), f"{header.status.value:<10}", header.device_id, header.operation]
                if header.fault is not None:
                    words.append(header.fault.message)
                console.print("  ".join(words), markup=False)
