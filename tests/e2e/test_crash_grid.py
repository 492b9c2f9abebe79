"""The crash grid: `kill -9` of each role at each named step (`roles/steps.py`), early, in the middle and late in a wave
of commands to meters that misbehave. The judge says afterwards whether the promises held.

The short form dies once at each step, one role after the other in one world; the long form (`make faults`) three times
at each, 1,000 commands a step, in a world of its own for each role.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from roles.steps import STEPS
from tests.e2e.siege import Cell, ServeKafka, besieged, it_was_hard

SHARES: Final[Mapping[str, Mapping[str, float]]] = {
    "streams": {
        "command polled": 1.0,
        "decided": 1.0,
        "transaction begun": 0.5,
        "written": 0.5,
        "committed": 1.0,
        "input acknowledged": 1.0,
    },
    "dlms-worker": {
        "offset committed": 0.5,
        "job taken": 0.5,
        "Attempting sent": 0.15,
        "counter used": 1.0,
        "associated": 0.4,
        "request sent": 1.0,
        "answer received": 1.0,
        "read published": 0.15,
        "result sent": 0.4,
    },
    "clickhouse-sink": {"row inserted": 1.0, "offset committed": 0.5},
}
"""By role and step: how often it is passed for each command, cautiously."""
MOMENTS: Final = (0.0, 0.4, 0.8)  # early, middle and late in a wave


def cell(role: str, step: str, moment: float, commands: int) -> Cell:
    return Cell(step, max(1, round(moment * commands * SHARES[role][step])))


def test_every_step_has_its_cell() -> None:
    planner = {"due looked at", "command asked"}  # who asks, and is judged otherwise: test_plan.py
    assert {step for steps in SHARES.values() for step in steps} == set(STEPS) - planner


@pytest.mark.timeout(900)  # a busy machine takes three times as long
def test_death_at_every_step(serve_kafka: ServeKafka, clickhouse: Any, tmp_path: Path) -> None:
    """Once at each step, 60 commands for each death."""
    commands = 60
    with serve_kafka() as kafka, besieged(kafka, clickhouse, tmp_path, 160) as siege:
        began = time.monotonic()
        for role, steps in SHARES.items():
            cells = [cell(role, step, MOMENTS[number % 3], commands) for number, step in enumerate(steps)]
            siege.pursue(role, cells, commands)
        siege.settle(300)
        print(f"{len(siege.load.asked)} commands, {time.monotonic() - began:.0f} s")
        assert siege.died == {(role, step): 1 for role, steps in SHARES.items() for step in steps}
        it_was_hard(siege.judged())


@pytest.mark.faults
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("role", [*SHARES])
def test_death_at_every_step_three_times(serve_kafka: ServeKafka, clickhouse: Any, tmp_path: Path, role: str) -> None:
    """1,000 commands a step; early, in the middle and late. Each step ends with an outcome of everything."""
    commands = 334
    with serve_kafka() as kafka, besieged(kafka, clickhouse, tmp_path, 250) as siege:
        began = time.monotonic()
        for step in SHARES[role]:
            siege.pursue(role, [cell(role, step, moment, commands) for moment in MOMENTS], commands)
            siege.settle(400)
            print(f"{role}, {step!r}: {time.monotonic() - began:.0f} s, {len(siege.load.asked)} commands so far")
        assert siege.died == {(role, step): len(MOMENTS) for step in SHARES[role]}
        it_was_hard(siege.judged())
