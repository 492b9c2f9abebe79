"""`meterlog simulator`: a fleet of meters, and the shipment file its maker would send along."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from connectors.faces.cli.profiles import find
from connectors.faces.cli.terminal import Failure, console, json_option, print_json, print_table
from connectors.simulator.cells import tally
from connectors.simulator.faults import Faults, parse
from connectors.simulator.fleet import HOST, MIX, Fleet, FleetSettings, write_shipment
from connectors.simulator.ledger import Ledger, read

PORT: Final = click.IntRange(0, 65_535)


def fleet_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What makes a fleet: given to the command as `settings`."""

    @click.option("--meters", default=200, show_default=True, envvar="METERLOG_SIMULATOR_METERS")
    @click.option("--seed", default=1, show_default=True, envvar="METERLOG_SIMULATOR_SEED", help="Names the fleet.")
    @click.option("--delay", default=0.0, show_default=True, help="Seconds a meter takes for each answer.")
    @click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="NAME",
        help="Such as SMR-5.1; repeat it for several, handed out in turn. Default: all seven.",
    )
    @click.option("--lls", default=0.0, show_default=True, help="Share of meters that open by password.")
    @click.option("--public", default=0.0, show_default=True, help="Share of meters handed over without secrets.")
    @click.option(
        "--gas-meters",
        type=click.IntRange(0, 4),
        envvar="METERLOG_SIMULATOR_GAS_METERS",
        help="Gas meters on each meter, devices of the shipment too.",
    )
    @click.option(
        "--cells",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        envvar="METERLOG_SIMULATOR_CELLS",
        help="Radio cells the meters are in.",
    )
    @click.option(
        "--faults",
        "fault_text",
        default="",
        envvar="METERLOG_SIMULATOR_FAULTS",
        help="Shares of connections that go wrong, such as stall=0.01,lost-answer=0.02.",
    )
    @wraps(command)
    def with_settings(
        *args: Any,
        meters: int,
        seed: int,
        delay: float,
        profiles: Sequence[str],
        lls: float,
        public: float,
        gas_meters: int | None,
        cells: int,
        fault_text: str,
        **kwargs: Any,
    ) -> Any:
        try:
            faults = Faults(parse(fault_text), seed)
            settings = FleetSettings(
                meters=meters,
                seed=seed,
                delay=delay,
                profiles=[(each.protocol, each.version) for each in map(find, profiles)] or MIX,
                lls=lls,
                public=public,
                gas_meters=gas_meters,
                cells=cells,
                faults=faults,
            )
        except ValueError as error:
            raise Failure(str(error)) from None
        return command(*args, settings=settings, **kwargs)

    return with_settings


@click.group()
def simulator() -> None:
    """Simulated meters."""


@simulator.command()
@click.option(
    "--port", default=4059, type=PORT, show_default=True, envvar="METERLOG_SIMULATOR_PORT", help="0 takes a free one."
)
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), envvar="METERLOG_SIMULATOR_LEDGER")
@click.option("--host", default=HOST, show_default=True, help="Address to listen on; meters have well-known keys.")
@fleet_options
def run(port: int, ledger: Path | None, host: str, settings: FleetSettings) -> None:
    """Run a fleet until Ctrl-C.

    --ledger FILE keeps what each meter saw and did, a JSON object a line.
    """
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_serve(port, ledger, host, settings))


async def _serve(port: int, ledger: Path | None, host: str, settings: FleetSettings) -> None:
    try:
        book = Ledger(ledger)
    except OSError as error:
        raise Failure(f"{ledger}: {error.strerror}") from None
    fleet = Fleet(settings, book)
    try:
        await fleet.start(port, host)
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror}", "--port 0 takes a free port.") from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    console.print(f"{settings.meters} meters listen on {host}:{fleet.port}, logical devices 1 to {settings.meters}")
    await stop.wait()
    await fleet.stop()
    book.close()


@simulator.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--port", default=4059, type=PORT, show_default=True, help="Where the fleet listens.")
@click.option("--host", default=HOST, show_default=True)
@fleet_options
@json_option
def shipment(path: Path, port: int, host: str, settings: FleetSettings, as_json: bool) -> None:
    """Write the fleet's shipment file (CSV, plain keys) to PATH; `meterlog devices import --plain-keys` takes it."""
    try:
        write_shipment(path, settings, port, host)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    devices = settings.meters * (1 + (settings.gas_meters or 0))
    if as_json:
        print_json({"path": path, "devices": devices})
    else:
        console.print(f"{path}: {devices} devices; import with `meterlog devices import --plain-keys {path}`")


@simulator.command()
@click.argument("ledger", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def cells(ledger: Path, as_json: bool) -> None:
    """Count what each radio cell carried, by the LEDGER of a fleet: sessions at once, new connections in a second."""
    found = tally(read(ledger))
    if as_json:
        print_json({cell: {name: getattr(load, name) for name in load.__slots__} for cell, load in found.items()})
        return
    rows = [(cell, load.connections, load.sessions, load.connects) for cell, load in found.items()]
    columns = ("cell", "connections", "most sessions at once", "most connections in a second")
    print_table("", columns, rows, numbers=columns[1:])
