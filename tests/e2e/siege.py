"""A whole system that is ill-treated: meters that misbehave, roles that die where they are told to, are stopped for a
while or stay away; and what is read from it afterwards.
"""

import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from tests.e2e.judge import Evidence, judge, table
from tests.e2e.load import FAULTS, SINK, TIMES, WORKER, Load, loading
from tests.e2e.world import PATIENCE, World, fleet_role, prepare, until

DEATH_SECONDS: Final = 120.0
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
    """A world whose roles can be told where to die; whoever lies dead is started again by `pursue`."""

    world: World
    load: Load
    roles: dict[str, Process]
    environments: dict[str, dict[str, str]]
    died: Counter[tuple[str, str]] = field(default_factory=Counter)
    gave_up: list[str] = field(default_factory=list)  # ends of roles that were not asked for: fenced, for instance

    def pursue(self, plan: Mapping[str, Sequence[Cell]], commands: int) -> None:
        """Let each role die at each of its cells, one after the other, `commands` to the fleet for each cell."""
        hunts = {role: _Hunt(deque(cells)) for role, cells in plan.items()}
        for role, hunt in hunts.items():
            self.roles[role].stop()
            self._next(role, hunt, commands)
        while any(hunt.cell for hunt in hunts.values()):
            left = len(self.load.left())
            for role, process in self.roles.items():
                hunt = hunts.get(role) or _Hunt(deque())
                if not process.running:
                    self._found_dead(role, process.cause(), hunt, commands)
                elif hunt.cell is not None:
                    now = time.monotonic()
                    assert now - hunt.since < DEATH_SECONDS, f"{role} does not come to {hunt.cell}"
                    if now - hunt.waved > MORE_SECONDS and left < commands:
                        hunt.waved = now
                        self.load.wave(commands)

    def _found_dead(self, role: str, cause: str, hunt: "_Hunt", commands: int) -> None:
        if hunt.cell is not None and cause == f"killed by signal {int(signal.SIGKILL)}":
            print(f"{role} died at {hunt.cell.step!r} {hunt.cell.times} after {time.monotonic() - hunt.since:.1f} s")
            self.died[role, hunt.cell.step] += 1
            self._next(role, hunt, commands)
        else:
            self.gave_up.append(f"{role}: {cause}")
            self.roles[role].start()

    def _next(self, role: str, hunt: "_Hunt", commands: int) -> None:
        hunt.cell = hunt.cells.popleft() if hunt.cells else None
        hunt.since = hunt.waved = time.monotonic()
        told = self.environments[role]
        told.pop("METERLOG_CRASH_AT", None)
        if hunt.cell is not None:
            told["METERLOG_CRASH_AT"] = f"{hunt.cell.step}:{hunt.cell.times}"
        self.roles[role].start()
        if hunt.cell is not None:
            self.load.wave(commands)

    def settle(self, seconds: float) -> None:
        """Until every command has its outcome; who gives up meanwhile is started again."""

        def done() -> bool:
            for role, process in self.roles.items():
                if not process.running:
                    self.gave_up.append(f"{role}: {process.cause()}")
                    process.start()
            return not self.load.left()

        until(done, seconds, "an outcome of every command")

    def judged(self) -> Evidence:
        """Raises AssertionError when a promise was broken."""
        world = self.world
        evidence = Evidence(world.folder, world.kafka, world.host, world.port, world.database)
        findings = judge(evidence)
        print(f"deaths: {dict(self.died)}; gave up by themselves: {self.gave_up}")
        print(told := table(evidence, findings))
        assert not any(finding.broken for finding in findings), told
        return evidence


@dataclass(slots=True)
class _Hunt:
    """What is left to die at, and the life that is armed now."""

    cells: deque[Cell]
    cell: Cell | None = None
    since: float = 0.0
    waved: float = 0.0


@contextmanager
def besieged(kafka: str, clickhouse: Any, folder: Path, meters: int, crew: int = 1) -> Iterator[Siege]:
    """All roles on these servers with a fleet that misbehaves, its meters registered. `crew`: processes of each role;
    those after the first are named `streams-2` and so on.
    """
    fleet = FleetSettings(meters=meters, seed=11, delay=0.05)
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
