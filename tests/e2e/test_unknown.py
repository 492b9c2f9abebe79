"""A worker that dies between beginning what may not be repeated and telling what came of it: the next one looks, the
caller hears the truth, and the meter has done it once.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.dlms.cosem import attribute
from connectors.dlms.keys import PUBLIC_FILE, generate, seal_for_platform
from connectors.faces.shipment import GoodLine, read
from connectors.simulator.fleet import FleetSettings, write_shipment
from infra import topics
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.process import Process
from infra.embedded.roles import DLMS_WORKER, STREAMS
from schemas import codec
from schemas.records import JobAttempting, Status
from schemas.topics import DEVICE_EVENTS, JOB_RESULTS, JOBS
from streams.device import verify
from streams.device.events import CommandDoubted, JobLost
from streams.device.wire import decode_events
from tests.e2e.world import PARTITIONS, PATIENCE, World, fleet_role, outcomes, until

CLEAR: Final = "ClearAlarmRegister"
REGISTER_1: Final = "1/0-0:97.98.0.255/2"
ALARMS: Final = attribute(1, "0.0.97.98.0.255", 2)
FLEET: Final = FleetSettings(meters=5, seed=22, delay=1.5)
"""The SMR 5.0.0 meter, which has one alarm register, holds an alarm. All take so long for each answer that a worker can
be killed while it waits.
"""
TIMES: Final = {  # a lost job is judged after 18 seconds instead of minutes
    "METERLOG_STREAMS_OPERATION_SECONDS": "10",
    "METERLOG_STREAMS_CONNECT_SECONDS": "5",
    "METERLOG_STREAMS_GRACE_SECONDS": "3",
    "METERLOG_STREAMS_RETRY_SECONDS": "1",
}
WORKER: Final = {"METERLOG_KAFKA_CONFIG": "session.timeout.ms=6000"}


@dataclass(slots=True)
class Night:
    """Streams, a worker and meters; no ClickHouse, as nothing is read."""

    world: World
    worker: Process

    def kill_worker(self) -> None:
        """KILL, and another in its place."""
        os.kill(self.worker.pid, signal.SIGKILL)
        until(lambda: not self.worker.running, what="the worker is dead")
        self.worker.start()

    def entries(self, device_id: str, did: str) -> list[dict[str, Any]]:
        """What the meter's ledger says of its first alarm register."""
        found = self.world.ledger()[device_id]
        return [entry for entry in found if entry["did"] == did and entry["what"] == REGISTER_1]


@pytest.fixture(scope="module")
def night(
    serve_kafka: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Night]:
    folder: Path = tmp_path_factory.mktemp("unknown")
    with serve_kafka() as kafka, ExitStack() as ending:
        world = World(kafka, LOOPBACK, 0, "none", folder, FLEET, free_port())
        topics.apply(kafka, partitions=PARTITIONS)
        generate(folder / "keys")
        write_shipment(world.shipment, FLEET, world.fleet_port)
        roles = (
            fleet_role(world),
            replace(STREAMS, environment=TIMES),
            replace(DLMS_WORKER, environment=WORKER),
        )
        processes = [Process(role, world.environment, folder, folder / "logs") for role in roles]
        for process in processes:
            ending.callback(process.stop)
            process.start()
        for process in processes:
            process.wait_ready(PATIENCE)
        register(world)
        yield Night(world, processes[-1])


def register(world: World) -> None:
    pem = (world.folder / "keys" / PUBLIC_FILE).read_bytes()
    lines = [*read(world.shipment, seal_plain=lambda secret: seal_for_platform(pem, secret))]
    with world.upstream() as upstream:
        asked = [
            upstream.send("AddDevice", line.device_id, line.request) for line in lines if isinstance(line, GoodLine)
        ]
        upstream.flush()
        found = outcomes(upstream, asked)
    assert {response.header.status for response in found.values()} == {Status.SUCCESSFUL}


@pytest.mark.timeout(240)
def test_what_a_killed_worker_had_begun_is_looked_for_and_done_once(night: Night) -> None:
    world = night.world
    (alarmed,) = [name for name, meter in world.meters().items() if value_of(meter.get(1, ALARMS, None))]
    with world.upstream() as upstream:
        asked = upstream.send(CLEAR, alarmed, {})
        upstream.flush()
        until(lambda: bool(night.entries(alarmed, "set")), what="the meter has cleared its register")
        night.kill_worker()
        response = outcomes(upstream, [asked])[asked]
        read_out = upstream.send("ReadAlarmRegister", alarmed, {})
        upstream.flush()
        alarms = outcomes(upstream, [read_out])[read_out]
    header = response.header
    assert (header.status, header.fault, header.attempts) == (Status.SUCCESSFUL, None, 1)
    assert response.result == {"cleared": (1,)}
    assert alarms.result is not None and alarms.result["register_1"] == 0

    assert [entry["value"] for entry in night.entries(alarmed, "set")] == ["0"]
    assert night.entries(alarmed, "get")[0]["at"] > night.entries(alarmed, "set")[0]["at"]
    jobs = [codec.decode(told.value) for told in world.committed(JOBS.name) if told.key == alarmed.encode()]
    carried = [command for job in jobs for command in job.commands if command.correlation_id == asked]
    assert [(command.verify, command.attempt) for command in carried[:2]] == [(False, 1), (True, 1)]
    assert all(command.verify for command in carried[1:])
    told = [codec.decode(told.value) for told in world.committed(JOB_RESULTS.name)]
    assert [record.correlation_id for record in told if isinstance(record, JobAttempting)] == [asked]
    decisions = [decode_events(told.value) for told in world.committed(DEVICE_EVENTS.name)]
    events = [event for decision in decisions if decision.device_id == alarmed for event in decision.events]
    kinds = [type(event) for event in events if isinstance(event, JobLost | CommandDoubted)]
    assert kinds[:2] == [JobLost, CommandDoubted] and kinds.count(CommandDoubted) == 1
    verdict = verify.read(world.kafka)
    assert verdict.agrees, verdict


def value_of(answered: Any) -> int:
    """Of a register read from a meter computed here: its bits."""
    assert not isinstance(answered, int | bytes), f"refused: {answered!r}"
    return int(answered.value)
