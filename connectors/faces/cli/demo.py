"""`meterlog demo`: the main job on the embedded stack, from an empty folder to what an analyst would ask."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.live import Live
from rich.table import Table

from connectors.clickhouse.report_queries import ReportQueries
from connectors.faces import night
from connectors.faces.cli import report, street
from connectors.faces.cli.devices import import_file
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.stack import announce, ensure_keys
from connectors.faces.cli.terminal import FAILED, Failure, console
from connectors.faces.upstream import Upstream
from connectors.simulator.fleet import FleetSettings, port_of, street_of, write_shipment
from infra.embedded.ports import free_port
from infra.embedded.roles import ROLES, SIMULATOR
from infra.embedded.supervisor import Ports, Stack, stop_on_signals

SHIPMENT: Final = "shipment.csv"
STORED_SECONDS: Final = 60.0
INTERRUPTED: Final = 130  # as a shell tells Ctrl-C
SHOWN_FAULTS: Final = 5
GAS_METERS: Final = 1  # behind each meter


@click.command()
@click.option("--meters", default=200, show_default=True, help="Simulated meters.")
@click.option("--stay", is_flag=True, envvar="STAY", help="Keep the stack and the meters running until Ctrl-C.")
@places_option
@click.pass_context
def demo(ctx: click.Context, meters: int, stay: bool, places: Places) -> None:
    """Run one ordinary night on the embedded stack: import meters, read them, show what an analyst asks."""
    began = time.monotonic()
    good: bool | None = None
    try:
        with stop_on_signals(), _stack(meters, places) as (stack, settings, port):
            here = Places(stack.data)
            queries, day = ReportQueries(*here.clickhouse), night.Day.yesterday(datetime.now(UTC))
            _import(settings, port, here, queries)
            planned = _begin_plan(here, street_of(settings, 1))
            wrong = _run_night(settings, stack, queries, day) + _await_plan(queries, planned)
            wrong += report.show(queries, settings, day, planned)
            good = not wrong
            _conclude(wrong, time.monotonic() - began)
            _next(here.data, stay)
            if stay:
                stack.wait()
    except KeyboardInterrupt:
        announce("everything has stopped")
        if good is None:
            ctx.exit(INTERRUPTED)
    if not good:
        ctx.exit(FAILED)


@contextmanager
def _stack(meters: int, places: Places) -> Iterator[tuple[Stack, FleetSettings, int]]:
    """The stack with a fleet beside it."""
    try:
        settings = FleetSettings(meters=meters, gas_meters=GAS_METERS)
    except ValueError as error:
        raise Failure(str(error)) from None
    shipment = places.data / SHIPMENT
    port = port_of(shipment) if shipment.exists() else free_port()  # known meters are called where they were
    fleet = replace(
        SIMULATOR,
        environment={
            "METERLOG_SIMULATOR_METERS": str(meters),
            "METERLOG_SIMULATOR_GAS_METERS": str(GAS_METERS),
            "METERLOG_SIMULATOR_PORT": str(port),
            "METERLOG_SIMULATOR_LEDGER": str(places.data / "ledger.jsonl"),
        },
        probe=False,
    )
    console.print(
        f"[bold]Meterlog demo[/]: {meters} simulated meters with a gas meter each, one ordinary night; "
        f"everything lies in {places.data}"
    )
    ensure_keys(places.keys)
    with Stack(places.data, Ports(), (*ROLES, fleet), announce) as stack:
        yield stack, settings, port


def _import(settings: FleetSettings, port: int, here: Places, queries: ReportQueries) -> None:
    """Register the fleet; returns when ClickHouse knows all of it."""
    shipment = here.data / SHIPMENT
    write_shipment(shipment, settings, port)
    console.print(f"\n[bold]1. A shipment of {settings.meters} meters and their gas meters arrives[/] ({shipment})")
    outcome = import_file(shipment, here, plain_keys=True, timeout=60.0, quiet=False)
    console.print(
        f"   {outcome['added']} added, {outcome['unchanged']} known already, {len(outcome['refused'])} refused"
    )
    if outcome["refused"] or outcome["unanswered"]:
        first = outcome["refused"][0]["reason"] if outcome["refused"] else "no answer"
        raise Failure(f"the shipment was not imported: {first}", f"Look at the logs in {here.data / 'logs'}.")
    devices = settings.meters * (1 + GAS_METERS)
    if not _becomes(lambda: queries.registered() >= devices):
        raise Failure(f"ClickHouse does not know all {devices} devices", f"Look at the logs in {here.data / 'logs'}.")


def _begin_plan(here: Places, number: str) -> street.Street:
    planned = street.apply(here, number)
    console.print(
        f"\n[bold]2. A reading plan[/] for street {number} ({planned.file}): its last {street.DAYS} days are asked for "
        f"by themselves from {planned.opens:%H:%M} to {planned.closes:%H:%M}, while the night goes on"
    )
    return planned


def _run_night(settings: FleetSettings, stack: Stack, queries: ReportQueries, day: night.Day) -> list[str]:
    """Send the night's commands and watch them; gives what is not as it should be: all succeed, and all is stored."""
    commands = night.commands(settings, day)
    console.print(
        f"\n[bold]3. The night[/]: clocks set, registers, {day.start:%A}'s quarter-hours and hours of gas, days, "
        "months, voltages by the name of their profile, events, alarms"
    )
    failed: list[str] = []
    with Upstream(stack.kafka.bootstrap, requester="demo") as upstream:
        began = time.monotonic()
        asked = night.send_all(upstream, commands)
        sent = tuple(asked)
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            outcomes = night.await_all(upstream, asked, lambda watch: live.update(_progress(watch), refresh=False))
            for response in outcomes:
                asked.discard(response.header.correlation_id)
                if response.header.fault is not None:
                    failed.append(
                        f"{response.header.operation} {response.header.device_id}: {response.header.fault.message}"
                    )
        seconds = time.monotonic() - began
    done = len(sent) - len(asked)
    console.print(
        f"   {done} of {len(sent)} commands done in {seconds:.1f} s ({done / seconds:,.0f}/s), {len(failed)} failed"
    )
    for line in failed[:SHOWN_FAULTS]:
        console.print(f"   {line}", markup=False, soft_wrap=True)
    wrong = [f"{len(failed)} commands failed"] if failed else []
    wrong += [f"{len(asked)} commands have no outcome"] if asked else []
    unstored = set(sent) - asked

    def stored() -> bool:
        unstored.difference_update(queries.with_outcome(sorted(unstored)))
        return not unstored

    if not _becomes(stored):
        wrong.append(f"{len(unstored)} outcomes are not in ClickHouse after {STORED_SECONDS:.0f} s: see the sink's log")
    return wrong


def _await_plan(queries: ReportQueries, planned: street.Street) -> list[str]:
    """Wait for what the plan asks for; gives what is missing then."""
    with Live(console=console, refresh_per_second=8, transient=True) as live:

        def seen(present: int, expected: int) -> None:
            line = f"   the plan has {present} of {expected} rows; its window closes at {planned.closes:%H:%M}"
            live.update(line, refresh=False)

        complete = street.await_complete(queries, planned, seen)
    return [] if complete else [f"the plan {street.NAME} is not complete: see the planner's log"]


def _progress(watch: night.Watch) -> Table:
    left = watch.seconds_left
    line = Table.grid(padding=(0, 2))
    share = watch.done / max(watch.sent, 1)
    line.add_row(
        "  ",
        f"[green]{'━' * int(30 * share)}[/][dim]{'━' * (30 - int(30 * share))}[/]",
        f"{watch.done} done",
        f"{watch.failed} failed",
        f"{watch.sent - watch.done} in work",
        f"{watch.rate:,.0f}/s",
        "" if left is None else f"{left:.0f} s left",
    )
    return line


def _becomes(condition: Callable[[], bool]) -> bool:
    """Wait for what is stored: the sink writes about once a second."""
    until = time.monotonic() + STORED_SECONDS
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.3)
    return True


def _conclude(wrong: list[str], seconds: float) -> None:
    console.print(f"\n[bold]the whole demo took {seconds:.0f} s[/]; {'not ' if wrong else ''}all is as it should be")
    for reason in wrong:
        console.print(f"   {reason}", style="red", markup=False, soft_wrap=True)


def _next(data: Path, stay: bool) -> None:
    program = "meterlog" if shutil.which("meterlog") else sys.argv[0]
    lines = (
        f"export METERLOG_DATA={data}",
        f"{program} devices list --like ML5",
        f"{program} send GetActualMeterReads --device ML500000000000001 --wait",
        f"{program} send ReadAlarmRegister --device ML550000000000005 --wait --json",
        f"{program} plan status {street.NAME}",
        f"{program} export gas_consumption gas.parquet",
        f"{program} status; {program} doctor; {program} verify-state",
    )
    if stay:
        console.print("\n[bold]4. Try, from another terminal[/]; Ctrl-C here stops everything")
    else:
        console.print("\n[bold]4. Try[/] `make demo STAY=1`, which stays up, and from another terminal")
    for line in lines:
        console.print(f"   {line}", markup=False, soft_wrap=True)
