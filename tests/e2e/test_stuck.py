"""Roles that hang while every server answers: each says so, turns unready, and is started again. Roles that wait for a
server that hangs are let be.
"""

import json
import os
import signal
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.dlms.keys import generate
from connectors.simulator.fleet import FleetSettings, write_shipment
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.roles import CLICKHOUSE_SINK, DLMS_WORKER, PLANNER, STORE_READER, STREAMS
from infra.embedded.supervisor import Stack
from tests.e2e.load import SINK, TIMES, WORKER, Command, loading
from tests.e2e.test_kills import kill, part
from tests.e2e.world import World, fleet_role, until

ROLES: Final = (STREAMS, DLMS_WORKER, CLICKHOUSE_SINK, STORE_READER, PLANNER)
TOLD: Final = {
    STREAMS.name: TIMES,
    DLMS_WORKER.name: WORKER,
    CLICKHOUSE_SINK.name: SINK,
    STORE_READER.name: {},
    PLANNER.name: {},
}
STALLS: Final = {
    STREAMS.name: ("command polled:40", "commits nothing, not even ticks"),  # four ticks a second
    DLMS_WORKER.name: ("job taken:3", "the loop of all sessions hangs"),
    CLICKHOUSE_SINK.name: ("row inserted:5", "the batch in hand is not finished"),
    STORE_READER.name: ("job taken:1", "the job in hand is not answered"),
    PLANNER.name: ("due looked at:3", "what is due is not looked at"),
}
"""Where each role stops, and how it has to say so."""
STUCK_SECONDS: Final = 12.0

pytestmark = pytest.mark.timeout(600)


@contextmanager
def supervised(folder: Path) -> Iterator[tuple[Stack, World, list[str], dict[str, Any]]]:
    """All roles under their supervisor: it, the world, what it says, and the roles' environments, which hold for the
    next start of each."""
    fleet = FleetSettings(meters=8, seed=5)
    world = World("", LOOPBACK, 0, "default", folder, fleet, free_port())
    generate(folder / "keys")
    write_shipment(world.shipment, fleet, world.fleet_port)
    patience = {"METERLOG_STUCK_SECONDS": str(STUCK_SECONDS)}
    environments: dict[str, Any] = {role.name: {**TOLD[role.name], **patience} for role in ROLES}
    roles = [replace(role, environment=environments[role.name]) for role in ROLES]
    said: list[str] = []
    with Stack(folder, roles=[*roles, fleet_role(world)], announce=said.append, unlive_seconds=6.0) as stack:
        world.kafka, world.port = stack.kafka.bootstrap, stack.clickhouse.port
        yield stack, world, said, environments


def probe(stack: Stack, role: str, path: str) -> str:
    """What a probe answers, empty when it is well."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{part(stack, role)['metrics_port']}{path}", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


def logged(world: World, role: str, event: str) -> list[dict[str, Any]]:
    lines = (world.folder / "logs" / f"{role}.log").read_text(encoding="utf-8").splitlines()
    said = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in said if line.get("event") == event]


def test_a_role_that_hangs_says_so_and_is_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path) as (stack, world, said, environments), loading(world) as load:
        for role, (at, _) in STALLS.items():
            environments[role] |= {"METERLOG_STALL_AT": at, "METERLOG_CRASH_ALLOWED": "yes"}
            kill(stack, role)
            del environments[role]["METERLOG_STALL_AT"]  # the start after this one is a good one
        told: dict[str, dict[str, str]] = {role: {} for role in STALLS}
        load.ask_to_register()
        load.send([Command(str(uuid.uuid4()), world.devices[0], "FindMessageLogs", {"page": 0})])

        def started_again() -> bool:
            for role, answers in told.items():
                for path in ("/readyz", "/livez"):
                    if (answer := probe(stack, role, path)).startswith("stuck for"):
                        answers[path] = answer
            return all(part(stack, role)["restarts"] > 1 for role in STALLS)

        until(started_again, 240, "every role was started again")
        for role, (_, words) in STALLS.items():
            assert words in told[role]["/readyz"] and words in told[role]["/livez"], told
            (entry,) = logged(world, role, "stuck")
            assert entry["level"] == "error" and words in entry["reason"], entry
            (line,) = [line for line in said if line.startswith(f"{role} has not been live for 6 s and is killed")]
            assert words in line
        load.settle(240)
        until(lambda: not any(probe(stack, role, "/readyz") for role in STALLS), 120, "every role is ready")


def test_a_role_that_waits_for_a_server_is_let_be(tmp_path: Path) -> None:
    """ClickHouse and then Kafka stand still for longer than a role may be stuck."""
    with supervised(tmp_path) as (stack, world, said, _), loading(world) as load:
        load.register()
        pids = {role.name: part(stack, role.name)["pid"] for role in ROLES}
        for server, role, words in (
            (stack.clickhouse, CLICKHOUSE_SINK.name, "ClickHouse"),
            (stack.kafka, STREAMS.name, "Kafka"),
        ):
            load.wave(20)
            os.kill(server.pid, signal.SIGSTOP)
            try:

                def waits(role: str = role, words: str = words) -> bool:
                    return any(words in entry["reason"] for entry in logged(world, role, "waiting"))

                until(waits, 120, f"{role} says that it waits for {words}")
                assert not any(probe(stack, each.name, "/livez") for each in ROLES)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            load.settle(240)
        assert {role.name: part(stack, role.name)["pid"] for role in ROLES} == pids, said
        assert not [line for line in said if "killed" in line or "died" in line]
