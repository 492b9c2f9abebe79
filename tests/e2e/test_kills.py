"""`kill -9` of every process while meters misbehave: each command ends once, each read is stored once, nothing that may
not be repeated is done twice.

Whether that holds is read by the judge from what is left behind: the topics, the meters' own ledger, ClickHouse.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.dlms.keys import generate
from connectors.simulator.fleet import FleetSettings, write_shipment
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.roles import CLICKHOUSE_SINK, DLMS_WORKER, STREAMS
from infra.embedded.supervisor import Stack
from schemas.records import Status
from schemas.topics import DEVICE_EVENTS
from streams.device.events import JobLost
from streams.device.wire import decode_events
from tests.e2e.evidence import Evidence
from tests.e2e.judge import hold
from tests.e2e.load import FAULTS, SINK, TIMES, WORKER, Load, loading
from tests.e2e.siege import it_was_hard
from tests.e2e.world import World, fleet_role, until

UNDER_WAY: Final = 10  # answers of a wave before somebody is killed: the rest of it is at the meters
VICTIMS: Final = ("dlms-worker", "clickhouse-sink", "streams", "kafka", "dlms-worker")


@contextmanager
def besieged(folder: Path, meters: int, crew: int) -> Iterator[tuple[Stack, World]]:
    """The whole system under the supervisor that `meterlog up` has, on a broker of its own: this one may be killed.

    Of each role `crew` processes share the work.
    """
    fleet = FleetSettings(meters=meters, seed=7, delay=0.3, gas_meters=1)
    world = World("", LOOPBACK, 0, "default", folder, fleet, free_port())
    generate(folder / "keys")
    write_shipment(world.shipment, fleet, world.fleet_port)
    told = ((STREAMS, TIMES), (DLMS_WORKER, WORKER), (CLICKHOUSE_SINK, SINK))
    roles = [
        replace(role, name=role.name + (f"-{number}" if number > 1 else ""), environment=environment)
        for number in range(1, crew + 1)
        for role, environment in told
    ]
    with Stack(folder, roles=[*roles, fleet_role(world, FAULTS)]) as stack:
        world.kafka, world.port = stack.kafka.bootstrap, stack.clickhouse.port
        yield stack, world


def kill(stack: Stack, victim: str) -> None:
    """KILL, and wait until the supervisor has started it again."""
    before = part(stack, victim)
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: part(stack, victim)["restarts"] > before["restarts"], what=f"{victim} started again")


def part(stack: Stack, name: str) -> dict[str, Any]:
    (found,) = [each for each in stack.status()["parts"] if each["name"] == name]
    return dict(found)


def storm(stack: Stack, load: Load, victims: Sequence[str], seconds: float) -> None:
    """A wave of commands for each victim, who dies in the middle of it; then until all has ended."""
    load.register()
    for number, victim in enumerate(victims):
        wave = load.wave(len(load.world.devices))
        until(lambda wave=wave: len(wave - load.left()) >= UNDER_WAY, what=f"wave {number} under way")  # type: ignore[misc]
        assert wave & load.left(), "the wave was over before anybody was killed"
        kill(stack, victim)
    load.settle(seconds)


def jobs_were_lost(evidence: Evidence) -> None:
    """Without jobs that died with their worker nothing would be proved."""
    decisions = [decode_events(told.value) for told in evidence.told(DEVICE_EVENTS.name)]
    assert any(isinstance(event, JobLost) for decision in decisions for event in decision.events)


def doubts_were_cleared_up(evidence: Evidence) -> None:
    """Looking told the outcome of most; without doubts, and without any outcome found so, nothing would be proved."""
    statuses = Counter(evidence.outcomes[name][0].status for name in evidence.doubted)
    assert statuses[Status.SUCCESSFUL] > statuses[Status.UNKNOWN], statuses


def besiege(folder: Path, meters: int, victims: Sequence[str], seconds: float, *, crew: int = 1) -> None:
    with besieged(folder, meters, crew) as (stack, world), loading(world) as load:
        began = time.monotonic()
        storm(stack, load, victims, seconds)
        print(f"{len(load.asked)} commands, {len(victims)} kills, {time.monotonic() - began:.0f} s")
        for victim, times in Counter(victims).items():
            assert part(stack, victim)["restarts"] >= times
        evidence = Evidence(folder, world.kafka, world.host, world.port)
        hold(evidence)
        it_was_hard(evidence)
        jobs_were_lost(evidence)
        doubts_were_cleared_up(evidence)


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_done_twice_whoever_is_killed(tmp_path: Path) -> None:
    """500 commands to 100 meters, a quarter of whose connections go wrong."""
    besiege(tmp_path, 100, VICTIMS, 300)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("crew", [1, 2])
def test_nothing_is_lost_or_done_twice_in_a_long_siege(tmp_path: Path, crew: int) -> None:
    """4,500 commands to 250 meters; ClickHouse dies as well, and of two processes of a role the other takes over."""
    others = ("streams-2", "dlms-worker-2", "clickhouse-sink-2") if crew > 1 else ()
    victims = (*VICTIMS, "clickhouse", *others, *reversed(VICTIMS), "clickhouse", *VICTIMS, *others, "kafka")
    besiege(tmp_path, 250, victims, 600, crew=crew)
