"""A reading plan at work on the real thing: a group of which some meters cannot be reached at first, and a planner that
is killed three times. In the end everything is there, and no meter was asked for anything it had given.
"""

import csv
import json
import os
import re
import signal
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from connectors.clickhouse.plan_queries import PlanQueries
from connectors.faces.upstream import Upstream
from connectors.planner.calendar import Window, instant, slot
from connectors.planner.due import correlation_id
from connectors.planner.plan import read_plan
from connectors.planner.plans import following, keep
from connectors.simulator.fleet import FleetSettings, gas_meter_id, identity
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.process import Process
from infra.embedded.roles import PLANNER, STREAMS
from schemas import codec
from schemas.records import Status
from schemas.topics import COMMANDS, RESPONSES
from tests.e2e.world import START_PATIENCE, System, World, fleet_role, running, until

FLEET: Final = FleetSettings(meters=3, seed=17, gas_meters=1)
NEAR, FAR, OTHER = 1, 2, 3  # numbers: answers at once; cannot be reached at first; is not of the group
GROUP: Final = [name for each in (NEAR, FAR) for name in (identity(FLEET, each).device_id, gas_meter_id(each, 1))]
ZONE: Final = ZoneInfo("Europe/Amsterdam")
DAYS: Final = 2
READS: Final = ("GetPeriodicMeterReads", "GetPeriodicMeterReadsGas")
PLAN: Final = """
name = "{name}"
zone = "Europe/Amsterdam"
devices = {{ labels = {{ district = "west" }} }}
window = {{ from = "{begin:%H:%M}", to = "{end:%H:%M}" }}
catch_up = {{ days = 1, retry = "1s" }}
reads = [
    {{ operation = "GetPeriodicMeterReads", profile = "INTERVAL" }},
    {{ operation = "GetPeriodicMeterReadsGas", profile = "INTERVAL" }},
]
"""
HASTE: Final = {"METERLOG_PLANNER_SECONDS": "0.2", "METERLOG_PLANNER_REFRESH": "1", "METERLOG_PLANNER_LAG": "1"}
MORTAL: Final = {"METERLOG_CRASH_ALLOWED": "yes", "METERLOG_CRASH_AT": "command asked:1"}

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Planned:
    """A plan that was applied, and the days it has to read."""

    name: str
    days: tuple[date, ...]


def districts(world: World, far_port: int) -> None:
    """The gateways of the group are in the west, one of them where nobody listens yet; their gas meters say nothing of
    a district.
    """
    with world.shipment.open(newline="", encoding="utf-8") as text:
        lines = list(csv.DictReader(text))
    for line in lines:
        if line["device_id"] in GROUP and line["device_type"] == "SMART_METER_E":
            line["labels"] = "district=west"
        if line["device_id"] == identity(FLEET, FAR).device_id:
            line["port"] = str(far_port)
    with world.shipment.open("w", newline="", encoding="utf-8") as text:
        rows = csv.DictWriter(text, lines[0])
        rows.writeheader()
        rows.writerows(lines)


@pytest.fixture(scope="module")
def far_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def mortality() -> dict[str, str]:
    """The planner's environment: of its next start."""
    return {**HASTE, **MORTAL}


@pytest.fixture(scope="module")
def system(
    serve_kafka: Callable[[], AbstractContextManager[str]],
    clickhouse: Any,
    tmp_path_factory: pytest.TempPathFactory,
    far_port: int,
    mortality: dict[str, str],
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("plan")
    more = [
        replace(STREAMS, environment={"METERLOG_STREAMS_RETRY_SECONDS": "1", "METERLOG_STREAMS_ATTEMPTS": "2"}),
        replace(PLANNER, environment=mortality),
    ]
    with (
        serve_kafka() as kafka,
        running(
            kafka, clickhouse.host, clickhouse.port, folder, FLEET, more, lambda world: districts(world, far_port)
        ) as made,
    ):
        yield made


def applied(world: World) -> Planned:
    """A plan whose window is open, under a name by which all devices of the group have their place in it within
    seconds.
    """
    now = datetime.now(UTC).astimezone(ZONE)
    begin = now.replace(second=0, microsecond=0)
    end = begin + timedelta(minutes=2)
    window = Window(begin.hour * 60 + begin.minute, end.hour * 60 + end.minute)
    at = Upstream.now()
    name = next(
        name
        for name in map("soon-{}".format, count())
        if all(slot(window, ZONE, name, device, at) < at + 10_000 for device in GROUP)
    )
    version = following(read_plan(PLAN.format(name=name, begin=begin, end=end)), None, at)
    assert version is not None
    keep(world.kafka, version)
    return Planned(name, tuple([now.date() - timedelta(days=back) for back in range(1, DAYS + 1)]))


def missing(world: World, planned: Planned) -> dict[str, int]:
    """Rows that are missing, by device."""
    queries = PlanQueries(world.host, world.port, database=world.database)
    rows = queries.plan_missing(planned.name, ZONE.key, planned.days[-1], planned.days[0], limit=100)
    queries.close()
    return {row["device_id"]: row["missing"] for row in rows}


def status(world: World, planned: Planned) -> list[dict[str, Any]]:
    """What `meterlog plan status` says, by read and day."""
    first, last = planned.days[-1].isoformat(), planned.days[0].isoformat()
    done = world.meterlog("plan", "status", planned.name, "--from", first, "--to", last, "--json")
    assert done.returncode == 0, done.stderr
    days: list[dict[str, Any]] = json.loads(done.stdout)["days"]
    return days


def asked(world: World) -> dict[tuple[str, str, date], list[str]]:
    """Every command for a period on the topic: the ids by device, operation and day, each once, in the order they
    came.
    """
    found: dict[tuple[str, str, date], list[str]] = defaultdict(list)
    for told in world.committed(COMMANDS.name):
        command = codec.decode_command(told.value)
        if command.operation in READS:
            day = command.request["begin_date"].astimezone(ZONE).date()
            ids = found[command.header.device_id, command.operation, day]
            ids += [command.header.correlation_id] if command.header.correlation_id not in ids else []
    return found


def outcomes(world: World) -> dict[str, list[Status]]:
    """By command, repeats left out."""
    found: dict[str, list[Status]] = defaultdict(list)
    for told in world.committed(RESPONSES.name):
        header, _ = codec.decode_response(told.value)
        if not header.repeated:
            found[header.correlation_id].append(header.status)
    return found


def killed(planner: Process) -> None:
    """With -9, and started again as a supervisor would."""
    assert planner.pid is not None
    os.kill(planner.pid, signal.SIGKILL)
    until(lambda: not planner.running, what="the planner is dead")
    planner.start()
    planner.wait_ready(START_PATIENCE)


def looks(planner: Process) -> float:
    """How often this process has looked at a device of a plan."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{planner.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return sum(float(value) for value in re.findall(r"^meterlog_planner_looks_total\{.*\} (\S+)$", text, re.M))


def test_what_is_missing_comes_in_the_end_and_nothing_is_asked_twice(
    system: System, far_port: int, mortality: dict[str, str]
) -> None:
    world, planner = system.world, system.roles["planner"]
    far = GROUP[2:]
    until(lambda: len(world.queries().devices()) == 2 * FLEET.meters, what="all devices are stored")
    planned = applied(world)

    # It dies as soon as the first commands are with the broker, and knows nothing of them when it starts again.
    until(lambda: not planner.running, what="the planner dies of its first command")
    del mortality["METERLOG_CRASH_AT"]
    planner.start()
    planner.wait_ready(START_PATIENCE)
    until(lambda: missing(world, planned).keys() == set(far), what="all is there but what cannot be reached")
    until(lambda: all(any(key[0] == device for key in asked(world)) for device in far), what="the others are asked")
    first = {ids[0] for key, ids in asked(world).items() if key[0] in far}
    until(lambda: all(outcomes(world)[each] for each in first), what="the others were tried in vain")
    by_read = {row["read"]: (row["devices"], row["complete"]) for row in status(world, planned)}
    assert by_read == {f"{read}-INTERVAL": (2, 1) for read in READS}

    # It is killed in the pause, the meter comes to be reached, and what is missing is asked again.
    killed(planner)
    there = replace(world, fleet_port=far_port)
    late = Process(fleet_role(there), world.environment, world.folder, world.folder / "logs-late")
    late.start()
    try:
        late.wait_ready(START_PATIENCE)
        until(lambda: not missing(world, planned), what="everything is there")
    finally:
        late.stop()
    complete = status(world, planned)
    assert [(row["devices"], row["complete"], row["missing"]) for row in complete] == [(2, 2, 0)] * (DAYS * len(READS))
    hours = {day: round((start(day + timedelta(days=1)) - start(day)) / 3_600_000) for day in planned.days}
    expected = {(read, day): 2 * each * (4 if read == READS[0] else 1) for day, each in hours.items() for read in READS}
    assert {
        (row["read"].removesuffix("-INTERVAL"), date.fromisoformat(row["day"])): row["present"] for row in complete
    } == expected

    # It is killed once more, looks at all devices with no memory, and has nothing to ask.
    before = asked(world)
    killed(planner)
    until(lambda: looks(planner) >= len(GROUP), what="every device was looked at")
    after = asked(world)
    assert after == before
    each_was_asked_once_or_again_after_a_failure(world, planned, after)
    meters_were_read_once(world)


def start(day: date) -> int:
    return instant(day, 0, ZONE)


def each_was_asked_once_or_again_after_a_failure(
    world: World, planned: Planned, found: dict[tuple[str, str, date], list[str]]
) -> None:
    known = outcomes(world)
    wanted = {(device, READS[place % 2], day) for place, device in enumerate(GROUP) for day in planned.days}
    assert found.keys() == wanted, "the group and no other; each kind of meter its own read"
    for (device, read, day), ids in found.items():
        names = [correlation_id(planned.name, device, f"{read}-INTERVAL", start(day), n) for n in range(len(ids))]
        assert ids == names, "round after round"
        told = [known[each] for each in ids]
        assert told == [[Status.ERROR]] * (len(ids) - 1) + [[Status.SUCCESSFUL]], (device, told)
        assert len(ids) == 1 or device in GROUP[2:], "what was answered is not asked again"
    assert sum(len(ids) for key, ids in found.items() if key[0] in GROUP[2:]) > 2 * DAYS, "some were asked again"


def meters_were_read_once(world: World) -> None:
    """By what they saw themselves: a buffer a period."""
    seen = world.ledger()
    for number in (NEAR, FAR):
        entries = seen[identity(FLEET, number).device_id]
        for buffer in ("1-0:99.1.0.255", "0-1:24.3.0.255"):
            gets = [each for each in entries if each["did"] == "get" and f"/{buffer}/" in each["what"]]
            assert len(gets) == DAYS, (number, buffer, gets)
    assert not [each for each in seen[identity(FLEET, OTHER).device_id] if each["did"] == "get"]
