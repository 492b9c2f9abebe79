"""A worker that dies, or sleeps, between beginning and telling what came of it. What may not be repeated, alone or in a
bundle, is looked for by the next one: the caller hears the truth, and the meter has done it once. What a sleeper tells
too late is learnt, and settles nothing.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
from operations import bundle
from schemas import codec
from schemas.records import JobAttempting, JobCommand, JobEnded, Status, TimeZoneSet
from schemas.topics import DEVICE_EVENTS, JOB_RESULTS, JOBS, RESPONSES
from streams.device import verify
from streams.device.events import CommandDoubted, Event, JobLost
from streams.device.wire import decode_events
from tests.e2e.world import PARTITIONS, PATIENCE, World, fleet_role, outcomes, until

CLEAR: Final = "ClearAlarmRegister"
READ: Final = "ReadAlarmRegister"
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

    @contextmanager
    def sleeping_worker(self) -> Iterator[None]:
        os.kill(self.worker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.worker.pid, signal.SIGCONT)

    def jobs(self, device_id: str, correlation_id: str) -> list[JobCommand]:
        """A command as its jobs had it, in order."""
        jobs = [codec.decode(told.value) for told in self.world.committed(JOBS.name) if told.key == device_id.encode()]
        return [command for job in jobs for command in job.commands if command.correlation_id == correlation_id]

    def events(self, device_id: str) -> list[Event]:
        """The device's log."""
        decisions = [decode_events(told.value) for told in self.world.committed(DEVICE_EVENTS.name)]
        return [event for decision in decisions if decision.device_id == device_id for event in decision.events]


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
    carried = night.jobs(alarmed, asked)
    assert [(command.verify, command.attempt) for command in carried[:2]] == [(False, 1), (True, 1)]
    assert all(command.verify for command in carried[1:])
    told = [codec.decode(told.value) for told in world.committed(JOB_RESULTS.name)]
    assert [record.correlation_id for record in told if isinstance(record, JobAttempting)] == [asked]
    kinds = [type(event) for event in night.events(alarmed) if isinstance(event, JobLost | CommandDoubted)]
    assert kinds[:2] == [JobLost, CommandDoubted] and kinds.count(CommandDoubted) == 1
    verdict = verify.read(world.kafka)
    assert verdict.agrees, verdict


@pytest.mark.timeout(240)
def test_a_bundle_whose_worker_is_killed_goes_on_and_does_once_what_may_not_be_repeated(night: Night) -> None:
    world = night.world
    device = world.devices[0]
    actions = [READ, {"SynchronizeTime": {"time_zone": "UTC"}}, CLEAR, READ]
    before = len(night.entries(device, "set"))
    with world.upstream() as upstream:
        asked = upstream.send(bundle.NAME, device, {"actions": actions})
        upstream.flush()
        until(lambda: len(night.entries(device, "set")) > before, what="the meter has cleared its register")
        night.kill_worker()
        response = outcomes(upstream, [asked])[asked]
    assert (response.header.status, response.header.fault) == (Status.SUCCESSFUL, None)
    assert response.result is not None
    names = [name.split(".")[2] for name, _ in response.result["entries"]]
    assert names == ["read_alarm_register", "synchronize_time", "clear_alarm_register", "read_alarm_register"]

    assert len(night.entries(device, "set")) == before + 1
    carried = night.jobs(device, asked)
    assert [command.attempt for command in carried[:2]] == [1, 2]
    told = [codec.decode(told.value) for told in world.committed(JOB_RESULTS.name)]
    attempts = [each for each in told if isinstance(each, JobAttempting) and each.correlation_id == asked]
    assert [each.action for each in attempts] == [2]
    assert any(isinstance(event, JobLost) for event in night.events(device))
    verdict = verify.read(world.kafka)
    assert verdict.agrees, verdict


@pytest.mark.timeout(240)
def test_what_is_told_too_late_is_learnt_and_settles_nothing(night: Night) -> None:
    """The worker sleeps through the lease of a bundle that is not tried again: its first action had set the clock."""
    world = night.world
    device = world.devices[1]
    actions = [{"SynchronizeTime": {"time_zone": "Asia/Tokyo"}}, READ, READ, READ, READ]
    before = len(night.entries(device, "get"))
    with world.upstream() as upstream:
        asked = upstream.send(bundle.NAME, device, {"actions": actions}, bypass_retry=True)
        upstream.flush()
        until(lambda: len(night.entries(device, "get")) > before, what="the meter has its time, and is read")
        with night.sleeping_worker():
            response = outcomes(upstream, [asked])[asked]
            assert TimeZoneSet("Asia/Tokyo") not in night.events(device)
    until(lambda: TimeZoneSet("Asia/Tokyo") in night.events(device), what="the late result is learnt")
    assert response.header.status is Status.ERROR
    (lost,) = [event for event in night.events(device) if isinstance(event, JobLost)]
    ended = [codec.decode(told.value) for told in world.committed(JOB_RESULTS.name) if told.key == device.encode()]
    late = [each for each in ended if isinstance(each, JobEnded) and each.number == lost.number]
    assert [command.facts for each in late for command in each.commands] == [(TimeZoneSet("Asia/Tokyo"),)]
    answered = [codec.decode_response(told.value)[0] for told in world.committed(RESPONSES.name)]
    assert [header.status for header in answered if header.correlation_id == asked] == [Status.ERROR]
    verdict = verify.read(world.kafka)
    assert verdict.agrees, verdict


def value_of(answered: Any) -> int:
    """Of a register read from a meter computed here: its bits."""
    assert not isinstance(answered, int | bytes), f"refused: {answered!r}"
    return int(answered.value)
