"""Meters in radio cells of narrow bounds, while workers and cells are killed: no cell ever carries more than it
may, who is in a hurry goes first, every command ends once, and every permit comes back.

What cells carried is counted at the meters (`connectors/simulator/cells.py`); the judge says the rest.
"""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.dlms.keys import generate
from connectors.simulator import ledger
from connectors.simulator.cells import Load as CellLoad
from connectors.simulator.cells import tally
from connectors.simulator.fleet import FleetSettings, write_shipment
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.roles import CELLS, CLICKHOUSE_SINK, DLMS_WORKER, STREAMS
from infra.embedded.supervisor import Stack
from schemas import codec
from schemas.records import PermitAsked, PermitGranted
from schemas.topics import CELLS as CELLS_TABLE
from schemas.topics import DEAD_LETTERS, DEVICE_EVENTS, PERMIT_REQUESTS, PERMITS
from streams.cell.state import decode_cell
from streams.device.events import JobLost
from streams.device.wire import decode_events
from tests.e2e.evidence import Evidence
from tests.e2e.judge import hold
from tests.e2e.load import FAULTS, SINK, TIMES, WORKER, Command, Load, loading
from tests.e2e.test_kills import UNDER_WAY, kill
from tests.e2e.world import World, fleet_role, until

SESSIONS: Final = 3
CONNECTS: Final = 3
BOUNDS: Final = {
    "METERLOG_CELLS_SESSIONS": str(SESSIONS),
    "METERLOG_CELLS_CONNECTS": str(CONNECTS),
    # A busy machine wakes nobody on time: the bounds hold all the same, but permits would lapse.
    "METERLOG_CELLS_LEAD_SECONDS": "3",
    "METERLOG_CELLS_WINDOW_SECONDS": "1",
    "METERLOG_CELLS_SPREAD_SECONDS": "0.25",
}
MORTAL: Final = {"METERLOG_CRASH_ALLOWED": "yes", "METERLOG_CRASH_AT": "associated:8"}
"""A worker that dies with every eighth session it has opened: its permits come back by their lease."""
HURRY: Final = 9
GIVEN_AHEAD: Final = 4  # permits that one batch of a cell may grant before it has read who is in a hurry


@contextmanager
def celled(folder: Path, meters: int, cells: int, faults: str) -> Iterator[tuple[Stack, World]]:
    """The whole system under the supervisor that `meterlog up` has, two workers, and meters in cells."""
    fleet = FleetSettings(meters=meters, seed=21, delay=0.5, cells=cells, gas_meters=1)
    world = World("", LOOPBACK, 0, "default", folder, fleet, free_port())
    generate(folder / "keys")
    write_shipment(world.shipment, fleet, world.fleet_port)
    roles = [
        replace(STREAMS, environment=TIMES),
        replace(CELLS, environment=BOUNDS),
        replace(DLMS_WORKER, environment=WORKER),
        replace(DLMS_WORKER, name="dlms-worker-2", environment={**WORKER, **MORTAL}),
        replace(CLICKHOUSE_SINK, environment=SINK),
        fleet_role(world, faults),
    ]
    with Stack(folder, roles=roles) as stack:
        world.kafka, world.port = stack.kafka.bootstrap, stack.clickhouse.port
        yield stack, world


def besiege(folder: Path, meters: int, cells: int, victims: Sequence[str], faults: str, seconds: float) -> None:
    with celled(folder, meters, cells, faults) as (stack, world), loading(world) as load:
        began = time.monotonic()
        load.register()
        hurried = storm(stack, load, victims)
        load.settle(seconds)
        evidence = Evidence(folder, world.kafka, world.host, world.port)
        until(lambda: not busy(evidence), what="every permit is back")
        carried = tally(ledger.read(world.ledger_path))
        for cell, each in carried.items():
            print(f"cell {cell}: {each}")
        print(f"{len(load.asked)} commands, {len(victims)} kills, {time.monotonic() - began:.0f} s")
        hold(evidence)
        nothing_was_exceeded(carried, cells)
        the_bounds_were_felt(evidence, carried)
        who_is_in_a_hurry_goes_first(evidence, hurried)


def storm(stack: Stack, load: Load, victims: Sequence[str]) -> str:
    """A wave of commands for each victim, who dies in the middle of it. In the last one somebody is in a hurry: whom
    the wave comes to last.
    """
    for number, victim in enumerate(victims):
        wave = load.wave(len(load.world.devices))
        until(lambda wave=wave: len(wave - load.left()) >= UNDER_WAY, 300, f"wave {number} under way")  # type: ignore[misc]
        kill(stack, victim)
    load.wave(len(load.world.devices))
    device: str = load.world.devices[-1]
    command = Command(str(uuid.uuid4()), device, "GetActualMeterReads", {})
    load.note([command])
    load.upstream.send(command.operation, device, {}, correlation_id=command.correlation_id, priority=HURRY)
    load.upstream.flush()
    return device


def nothing_was_exceeded(carried: dict[str, CellLoad], cells: int) -> None:
    assert len(carried) == cells
    for cell, each in carried.items():
        assert each.sessions <= SESSIONS, f"{cell}: {each}"
        assert each.connects <= CONNECTS, f"{cell}: {each}"


def the_bounds_were_felt(evidence: Evidence, carried: dict[str, CellLoad]) -> None:
    """Without a full cell, and without jobs that died with their worker, nothing would be proved."""
    assert max(each.sessions for each in carried.values()) == SESSIONS
    decisions = [decode_events(told.value) for told in evidence.told(DEVICE_EVENTS.name)]
    happened = Counter(type(event).__name__ for decision in decisions for event in decision.events)
    print(", ".join(f"{name} {count}" for name, count in sorted(happened.items()) if "Permit" in name or "Job" in name))
    assert happened[JobLost.__name__]
    assert not list(evidence.told(DEAD_LETTERS.name))


def who_is_in_a_hurry_goes_first(evidence: Evidence, device: str) -> None:
    """Of its cell hardly anybody is granted a permit between the request of who is in a hurry and its grant, though
    many wait.
    """
    cells: dict[str, list[Any]] = {}
    requests = ((told, codec.decode(told.value)) for told in evidence.told(PERMIT_REQUESTS.name))
    asked, request = next(
        (told, record) for told, record in requests if isinstance(record, PermitAsked) and record.priority == HURRY
    )
    for told in evidence.told(PERMITS.name):
        record = codec.decode(told.value)
        if isinstance(record, PermitGranted):
            cells.setdefault(record.permit.cell_id, []).append((told.at, record))
    granted = sorted(cells[request.cell_id], key=lambda entry: entry[0])
    own = min(at for at, record in granted if record.device_id == device and record.permit.number >= request.number)
    before = [record.device_id for at, record in granted if asked.at < at < own]
    after = [record.device_id for at, record in granted if at > own]
    print(f"{len(before)} permits were granted while {device} waited in a hurry, {len(after)} after it")
    assert len(before) <= GIVEN_AHEAD < len(after)


def busy(evidence: Evidence) -> list[str]:
    """Cells in which somebody waits or has a permit, by the table."""
    values = {told.key: told.value for told in evidence.told(CELLS_TABLE.name)}
    cells = [decode_cell(value) for key, value in values.items() if not key.startswith(b"\x00")]
    return [cell.cell_id for cell in cells if cell.busy]


@pytest.mark.timeout(900)
def test_no_cell_carries_more_than_it_may_whoever_is_killed(tmp_path: Path) -> None:
    besiege(tmp_path, 24, 2, ("dlms-worker", "cells"), "", 400)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
def test_no_cell_carries_more_than_it_may_in_a_long_siege(tmp_path: Path) -> None:
    """Connections that go wrong ask for more of them the next time; and everybody is killed, twice."""
    victims = ("dlms-worker", "cells", "streams", "dlms-worker-2", "kafka")
    besiege(tmp_path, 60, 3, victims * 2, FAULTS, 900)
