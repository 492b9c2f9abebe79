"""Three workers join, leave, are killed with -9 and stopped for longer than their session, again and again under load.

Afterwards nothing may be lost, nothing done twice, and the log's replay must be the table. One round in the ordinary
run; METERLOG_LONG=1 repeats ten, each with another order of misfortunes.
"""

import os
import random
import time
import uuid
from pathlib import Path

import pytest

from tests.shell import harness
from tests.shell.toy import Topics

LONG = os.environ.get("METERLOG_LONG", "") not in ("", "0")
ROUNDS = int(os.environ.get("METERLOG_ROUNDS", "10")) if LONG else 1
FIRST = int(os.environ.get("METERLOG_SEED", "1"))
COMMANDS = 10_000
KEYS = 2_000
SESSION = 6.0
RATE = 200.0  # commands a second: the load lasts as long as the misfortunes


@pytest.mark.timeout(420)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
def test_nothing_is_lost_or_doubled_whatever_dies(kafka: str, tmp_path: Path, seed: int) -> None:
    topics = Topics(f"endure-{uuid.uuid4().hex[:8]}")
    harness.create(kafka, topics)
    chance = random.Random(seed)
    fleet = harness.Fleet(tmp_path, {"stem": topics.stem, "bootstrap": kafka, "session": SESSION})
    load = harness.Load(kafka, topics, COMMANDS, KEYS, RATE, seed)
    answers = harness.Answers(kafka, topics.answers)
    stalls = []
    told: list[str] = []
    try:
        fleet.start(3)
        answers_began = time.monotonic()
        load.start()
        while not (answers.seen and all(fleet.owned(number) for number in range(3))):
            answers.take()
            assert time.monotonic() - answers_began < 60, "not everybody at work within a minute"
        misfortunes = ["kill", "kill", "kill", "stall", "stall", "stall", "leave", "leave"]
        chance.shuffle(misfortunes)
        for misfortune in misfortunes:
            number = _victim(fleet, answers, chance)
            told.append(f"{misfortune} {number}")
            if misfortune == "kill":
                fleet.kill(number)
            elif misfortune == "stall":
                stalls.append(fleet.stall(number, chance.uniform(SESSION + 3, SESSION + 6)))
            else:
                fleet.leave(number)
            _pause(answers, chance.uniform(3, 6))
            if misfortune == "leave":
                fleet.join(number)
        for stall in stalls:
            stall.join()
        asked = load.finish()
        answers.wait(COMMANDS, 120)
        fleet.settle()
    finally:
        answers.close()
        statuses = fleet.stop()
        load.finish()
    found = harness.reckon(kafka, topics, asked)
    silences = [after - before for before, after in zip(answers.arrived, answers.arrived[1:], strict=False)]
    print(
        f"\nround {seed}: {', '.join(told)}; ends by themselves {fleet.exits}, reasons {dict(fleet.reasons())}, "
        f"upstream records aborted {load.aborted}, own answers aborted {found.aborted}, "
        f"longest silence {max(silences):.1f} s; {found.faults() or 'no fault'}"
    )
    assert found.faults() == {}
    assert statuses == [0, 0, 0], "a graceful stop"
    assert all(status not in (0, None) for _, status in fleet.exits), "a worker that is wanted never ends with 0"


def _victim(fleet: harness.Fleet, answers: harness.Answers, chance: random.Random) -> int:
    """A worker that owns partitions: misfortune of another one proves nothing."""
    limit = time.monotonic() + 30
    while True:
        owners = [number for number in range(3) if fleet.owned(number)]
        if owners:
            return chance.choice(owners)
        assert time.monotonic() < limit, "nobody owns a partition for 30 s"
        answers.take()


def _pause(answers: harness.Answers, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answers.take()
