"""A whole system that is ill-treated: meters that misbehave, roles that die where they are told to, are stopped for a
while or stay away; and what is read from it afterwards.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from connectors.simulator.faults import parse
from connectors.simulator.fleet import FleetSettings
from infra.embedded.ports import free_port
from infra.embedded.process import Process
from infra.embedded.roles import CLICKHOUSE_SINK, DLMS_WORKER, STREAMS
from schemas.records import Status
from tests.e2e.evidence import Evidence
from tests.e2e.judge import hold
from tests.e2e.load import FAULTS, SINK, TIMES, WORKER, Load, loading
from tests.e2e.world import PATIENCE, World, fleet_role, prepare, until

KILLED: Final = f"killed by signal {int(signal.SIGKILL)}"
DEATH_SECONDS: Final = 240.0
MORE_SECONDS: Final = 15.0  # without the death and with little left to do, another wave is sent
SESSION: Final = {"METERLOG_KAFKA_CONFIG": "session.timeout.ms=3000;heartbeat.interval.ms=500"}
"""A killed member's partitions are free after three seconds instead of ten."""

ServeKafka = Callable[[], AbstractContextManager[str]]


class Cell(NamedTuple):
    """One death: at the `times`th passing of a step."""

    step: str
    times: int


@dataclass(slots=True)
class Siege:
    """A world whose roles can be told where to die; whoever ends otherwise is started again."""

    world: World
    load: Load
    roles: dict[str, Process]
    environments: dict[str, dict[str, str]]
    died: Counter[tuple[str, str]] = field(default_factory=Counter)
    gave_up: list[str] = field(default_factory=list)  # ends of roles that were not asked for: fenced, for instance

    def pursue(self, role: str, cells: Iterable[Cell], commands: int) -> None:
        """Let a role die at each cell, one after the other; `commands` to the fleet for each."""
        self.roles[role].stop()
        for cell in cells:
            self._start(role, cell)
            self.load.wave(commands)
            self._await_death(role, cell, commands)
        self._start(role, None)

    def _start(self, role: str, cell: Cell | None) -> None:
        told = self.environments[role]
        told.pop("METERLOG_CRASH_AT", None)
        if cell is not None:
            told["METERLOG_CRASH_AT"] = f"{cell.step}:{cell.times}"
        self.roles[role].start()

    def _await_death(self, role: str, cell: Cell, commands: int) -> None:
        began = waved = time.monotonic()
        process = self.roles[role]
        while process.running or process.cause() != KILLED:
            self._revive()
            left, now = len(self.load.left()), time.monotonic()
            assert now - began < DEATH_SECONDS, f"{role} does not come to {cell}"
            if now - waved > MORE_SECONDS and left < commands:
                waved = now
                self.load.wave(commands)
        self.died[role, cell.step] += 1
        print(f"{role} died at {cell.step!r} {cell.times} after {time.monotonic() - began:.1f} s")

    def _revive(self) -> None:
        """Start again who ended by itself. Whoever was killed is left to who waits for it."""
        for role, process in self.roles.items():
            if not process.running and process.cause() != KILLED:
                self.gave_up.append(f"{role}: {process.cause()}")
                process.start()

    def settle(self, seconds: float) -> None:
        """Until every command has its outcome; who gives up meanwhile is started again."""

        def done() -> bool:
            self._revive()
            return not self.load.left()

        until(done, seconds, "an outcome of every command")

    def judged(self) -> Evidence:
        """Raises AssertionError when a promise was broken."""
        world = self.world
        evidence = Evidence(world.folder, world.kafka, world.host, world.port, world.database)
        print(f"deaths: {dict(self.died)}; gave up by themselves: {self.gave_up}")
        hold(evidence)
        return evidence


@contextmanager
def besieged(kafka: str, clickhouse: Any, folder: Path, meters: int, crew: int = 1) -> Iterator[Siege]:
    """All roles on these servers with a fleet that misbehaves, its meters registered. `crew`: processes of each role;
    those after the first are named `streams-2` and so on.
    """
    fleet = FleetSettings(meters=meters, seed=11, delay=0.05, gas_meters=1)
    world = World(kafka, clickhouse.host, clickhouse.port, f"grid_{folder.name}", folder, fleet, free_port())
    prepare(world)
    environments = {
        STREAMS.name: {**TIMES, "METERLOG_STREAMS_OPERATION_SECONDS": "4"},  # a lost job may hold four or five
        DLMS_WORKER.name: {**WORKER, **SESSION},
        CLICKHOUSE_SINK.name: {**SINK, **SESSION},
    }
    allowed = {**world.environment, "METERLOG_CRASH_ALLOWED": "yes"}
    simulator = fleet_role(world, FAULTS)
    with ExitStack() as ending:
        meters_process = Process(simulator, world.environment, folder, folder / "logs")
        ending.callback(meters_process.stop)
        meters_process.start()
        roles = {}
        for number in range(1, crew + 1):
            for role in (STREAMS, DLMS_WORKER, CLICKHOUSE_SINK):
                name = role.name + (f"-{number}" if number > 1 else "")
                told = environments.setdefault(name, {**environments[role.name]})
                named = replace(role, name=name, environment=told)
                roles[name] = Process(named, allowed, folder, folder / "logs")
        for process in roles.values():
            ending.callback(process.stop)
            process.start()
        for process in roles.values():
            process.wait_ready(PATIENCE)
        load = ending.enter_context(loading(world))
        load.register()
        yield Siege(world, load, roles, environments)


def it_was_hard(evidence: Evidence) -> None:
    """Without every fault nothing would be proved; nor if hardly anything succeeded."""
    befell = {entry["what"] for entries in evidence.ledger.values() for entry in entries if entry["did"] == "fault"}
    assert befell == set(parse(FAULTS))
    statuses = [header.status for header, _ in evidence.outcomes.values()]
    assert 2 * sum(status is Status.SUCCESSFUL for status in statuses) > len(statuses)
