"""A night of a fleet: of every meter a day of quarter-hours, and of its gas meter a day of hours, into ClickHouse.

    python -m benchmarks.night_reads [--meters 10000] [--delay 0.02]

Everything is real but the meters: Kafka, the roles as their supervisor starts them, ClickHouse. Told by process: the
processor time of the night, and the most memory it had. Rows stored are counted against rows produced and against what
was asked. Then what the same takes for six million meters in six hours, reckoned from the processor time.

The fleet of simulated meters and this program run on the same cores, so the time of the night is of all of them.
"""

import argparse
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from benchmarks.figures import Figure, tell
from benchmarks.stand import conditions, cpu_seconds, peak_memory
from connectors.dlms.keys import generate
from connectors.faces.night import Day, await_all
from connectors.faces.upstream import Upstream
from connectors.simulator.fleet import FleetSettings, gas_meter_id, write_shipment
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.roles import CLICKHOUSE_SINK, DLMS_WORKER, STREAMS
from infra.embedded.supervisor import Stack, stop_on_signals
from schemas import codec
from schemas.records import Status
from schemas.topics import READS_PROFILES
from tests.e2e.world import World, committed, fleet_role, import_shipment

QUARTERS: Final = 96
HOURS: Final = 24
FLEET: Final = 6_000_000
WINDOW_HOURS: Final = 6
CORES: Final = 8  # of a machine
USED: Final = 0.6  # of them, so that a night has room


@dataclass(frozen=True, slots=True)
class Used:
    """Of one process: seconds of processor time, MiB of memory at most."""

    cpu: float
    memory: float


def processes(stack: Stack) -> dict[str, psutil.Process]:
    found = {str(part["name"]): psutil.Process(part["pid"]) for part in stack.status()["parts"]}
    return {**found, "this program": psutil.Process()}


def cpu(found: dict[str, psutil.Process]) -> dict[str, float]:
    return {name: cpu_seconds(process) for name, process in found.items()}


def ask(upstream: Upstream, world: World, day: Day) -> set[str]:
    """The night's commands."""
    start, end = day.start.astimezone(UTC), day.end.astimezone(UTC)
    quarters = {"period_type": "INTERVAL", "begin_date": start, "end_date": end - timedelta(minutes=15)}
    hours = {"period_type": "INTERVAL", "begin_date": start, "end_date": end - timedelta(hours=1)}
    asked = {upstream.send("GetPeriodicMeterReads", device, quarters) for device in world.devices}
    gas = (gas_meter_id(number, 1) for number in range(1, world.fleet.meters + 1))
    asked |= {upstream.send("GetPeriodicMeterReadsGas", device, hours) for device in gas}
    upstream.flush()
    return asked


def produced(world: World) -> int:
    """Rows of profiles that lie on the topic."""
    return sum(len(codec.decode(told.value).times) // 8 for told in committed(world.kafka, READS_PROFILES.name))


def night(stack: Stack, world: World) -> tuple[float, dict[str, Used], int]:
    """Seconds, use by process, and rows stored; raises SystemExit when a command failed or rows differ."""
    found = processes(stack)
    before = cpu(found)
    day = Day.yesterday(datetime.now(UTC))
    with Upstream(world.kafka, requester="night") as upstream:
        began = time.monotonic()
        asked = ask(upstream, world, day)
        told = began

        def seen(watch: Any) -> None:
            nonlocal told
            if time.monotonic() - told > 15:
                told = time.monotonic()
                print(f"  {watch.done:,} of {watch.sent:,}, {watch.failed} failed, {watch.rate:.0f}/s", flush=True)

        statuses = [response.header.status for response in await_all(upstream, asked, seen, timeout=300.0)]
    wrong = len(asked) - statuses.count(Status.SUCCESSFUL)
    world.await_stored(600)
    seconds = time.monotonic() - began
    after = cpu(found)
    use = {name: Used(after[name] - before[name], peak_memory(process.pid)) for name, process in found.items()}
    with world.queries() as queries:
        tables = queries.rows_by_table()
    rows = {table: tables[table] for table in ("energy_reads", "profile_reads")}
    made, wanted = produced(world), world.fleet.meters * (QUARTERS + HOURS)
    print(f"{wrong} of {len(asked):,} commands failed; rows asked {wanted:,}, produced {made:,}, stored {rows}")
    if wrong or not made == sum(rows.values()) == wanted:
        raise SystemExit("the night was not complete")
    return seconds, use, made


def reckon(meters: int, use: dict[str, Used]) -> None:
    """What the fleet of a country takes: processor seconds scale with meters; each role but Kafka and ClickHouse is as
    many processes as it has cores.
    """
    print(f"\n{FLEET:,} meters in {WINDOW_HOURS} hours, reckoned from the processor time above:")
    total = 0.0
    for name, used in use.items():
        if name in ("simulator", "this program"):
            continue
        cores = used.cpu / meters * FLEET / (WINDOW_HOURS * 3_600)
        total += cores
        print(f"  {name:16} {cores:7.1f} cores")
    machines = math.ceil(total / (CORES * USED))
    print(f"  {'together':16} {total:7.1f} cores: {machines} machines of {CORES} cores used to {USED:.0%}")
    tell(
        Figure(
            name=f"{FLEET:,} meters in {WINDOW_HOURS} h, reckoned",
            unit="cores",
            ours=total,
            remark=f"{machines} machines of {CORES} cores used to {USED:.0%}",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=10_000)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds a meter takes for an answer")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="meterlog-bench-") as name, stop_on_signals():
        folder = Path(name)
        fleet = FleetSettings(meters=options.meters, seed=7, delay=options.delay, gas_meters=1)
        world = World("", LOOPBACK, 0, "default", folder, fleet, free_port())
        generate(folder / "keys")
        write_shipment(world.shipment, fleet, world.fleet_port)
        roles = [STREAMS, DLMS_WORKER, CLICKHOUSE_SINK, fleet_role(world)]
        with Stack(folder, roles=roles, announce=lambda text: print(text, flush=True)) as stack:
            world.kafka, world.port = stack.kafka.bootstrap, stack.clickhouse.port
            began = time.monotonic()
            print(import_shipment(world, 600), f"in {time.monotonic() - began:.0f} s", flush=True)
            seconds, use, rows = night(stack, world)
            print(f"\n{options.meters:,} meters, {rows:,} rows in {seconds:.0f} s; {conditions()}")
            busy = sum(used.cpu for used in use.values()) / seconds
            for process, used in use.items():
                share = used.cpu / seconds
                print(
                    f"  {process:16} {used.cpu:8.1f} s of processor ({share:5.2f} cores), "
                    f"{1_000 * used.cpu / options.meters:6.2f} ms a meter, {used.memory:6.0f} MiB at most"
                )
                tell(
                    Figure(
                        name=f"night of {options.meters:,} meters: {process}",
                        unit="ms CPU a meter",
                        ours=1_000 * used.cpu / options.meters,
                        remark=f"{share:.2f} cores for {seconds:.0f} s, {used.memory:.0f} MiB at most",
                    )
                )
            print(f"  {'together':16} {busy:.2f} of {psutil.cpu_count()} cores")
            reckon(options.meters, use)


if __name__ == "__main__":
    main()
