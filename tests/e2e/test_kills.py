"""`kill -9` of every process while meters misbehave: each command ends once, each read is stored once, nothing that may
not be repeated is done twice.

Whether that holds is read from what is left behind: the topics, the meters' own ledger, ClickHouse.
"""

import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.dlms.keys import PUBLIC_FILE, generate, seal_for_platform
from connectors.faces.dead_letters import letters
from connectors.faces.shipment import GoodLine, read
from connectors.faces.upstream import NotDelivered, Upstream
from connectors.simulator.faults import parse
from connectors.simulator.fleet import FleetSettings, write_shipment
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.roles import CLICKHOUSE_SINK, DLMS_WORKER, STREAMS
from infra.embedded.supervisor import Stack
from schemas import codec
from schemas.records import ResponseHeader, Status
from schemas.topics import DEVICE_EVENTS, DEVICES, JOBS, READS_PROFILES, READS_REGISTERS, RESPONSES
from streams.device import verify
from streams.device.events import CommandDoubted, JobLost
from streams.device.keeper import is_device_key
from streams.device.wire import decode_device, decode_events
from tests.e2e.world import World, fleet_role, until

FAULTS: Final = "stall=0.03,drop=0.05,wrong-tag=0.05,refuse=0.05,lost-answer=0.12"
WORKER: Final = {"METERLOG_ANSWER_SECONDS": "3", "METERLOG_CONNECT_SECONDS": "3", "METERLOG_COUNTER_SECONDS": "0.2"}
TIMES: Final = {  # a job that is lost is judged after 18 seconds instead of minutes
    "METERLOG_STREAMS_OPERATION_SECONDS": "10",
    "METERLOG_STREAMS_CONNECT_SECONDS": "5",
    "METERLOG_STREAMS_GRACE_SECONDS": "3",
    "METERLOG_STREAMS_RETRY_SECONDS": "1",
    "METERLOG_STREAMS_ATTEMPTS": "5",
}
UNDER_WAY: Final = 10  # answers of a wave before somebody is killed: the rest of it is at the meters
CLEAR: Final = "ClearAlarmRegister"
REGISTER_1: Final = "1/0-0:97.98.0.255/2"
VICTIMS: Final = ("dlms-worker", "clickhouse-sink", "streams", "kafka", "dlms-worker")


def requests() -> list[tuple[str, dict[str, Any]]]:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    day = {"period_type": "INTERVAL", "begin_date": end - timedelta(days=1), "end_date": end}
    return [
        (CLEAR, {}),
        ("GetActualMeterReads", {}),
        ("GetPeriodicMeterReads", day),
        ("SynchronizeTime", {"time_zone": "Europe/Amsterdam"}),
        ("ReadAlarmRegister", {}),
    ]


@dataclass(slots=True)
class Heard:
    """Every answer so far, through any death of the broker."""

    consumer: Consumer
    answers: list[tuple[ResponseHeader, dict[str, Any] | None]] = field(default_factory=list)

    def done(self) -> set[str]:
        """The commands that have an outcome."""
        for message in self.consumer.consume(1_000, 0.2):
            value: Any = message.value()
            if message.error() is None and value is not None:
                self.answers.append(codec.decode_response(value))
        return {header.correlation_id for header, _ in self.answers}


@contextmanager
def hearing(kafka: str) -> Iterator[Heard]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"e2e-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "log_level": 2,  # that the broker is away is what is meant to happen
        }
    )
    try:
        partitions = consumer.list_topics(RESPONSES.name, 30).topics[RESPONSES.name].partitions
        consumer.assign([TopicPartition(RESPONSES.name, partition, 0) for partition in partitions])
        yield Heard(consumer)
    finally:
        consumer.close()


@contextmanager
def besieged(folder: Path, meters: int, crew: int) -> Iterator[tuple[Stack, World]]:
    """The whole system under the supervisor that `meterlog up` has, on a broker of its own: this one may be killed.

    Of each role `crew` processes share the work.
    """
    fleet = FleetSettings(meters=meters, seed=7, delay=0.3)
    world = World("", LOOPBACK, 0, "default", folder, fleet, free_port())
    generate(folder / "keys")
    write_shipment(world.shipment, fleet, world.fleet_port)
    told = ((STREAMS, TIMES), (DLMS_WORKER, WORKER), (CLICKHOUSE_SINK, {"METERLOG_SINK_SECONDS": "0.3"}))
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


def register(world: World, upstream: Upstream) -> dict[str, tuple[str, str]]:
    pem = (world.folder / "keys" / PUBLIC_FILE).read_bytes()
    lines = [*read(world.shipment, seal_plain=lambda secret: seal_for_platform(pem, secret))]
    good = [line for line in lines if isinstance(line, GoodLine)]
    asked = {upstream.send("AddDevice", line.device_id, line.request): (line.device_id, "AddDevice") for line in good}
    upstream.flush()
    return asked


def send(upstream: Upstream, wave: Mapping[str, tuple[str, str]], requests: Mapping[str, Any]) -> None:
    """As an upstream does: what a broker that is away too long did not take is sent again, under the same ids."""

    def taken() -> bool:
        for correlation_id, (device_id, operation) in wave.items():
            upstream.send(operation, device_id, requests[operation], correlation_id=correlation_id)
        try:
            upstream.flush()
        except NotDelivered:
            return False
        return True

    until(taken, what="the broker takes commands")


def storm(
    stack: Stack, world: World, victims: Sequence[str], seconds: float
) -> tuple[dict[str, tuple[str, str]], Heard]:
    """A wave of commands for each victim, who dies in the middle of it. Gives what was asked, when all has ended."""
    operations = requests()
    with world.upstream() as upstream, hearing(world.kafka) as heard:
        asked = register(world, upstream)
        until(lambda: asked.keys() <= heard.done(), what="all meters registered")
        for number, victim in enumerate(victims):
            wave: dict[str, tuple[str, str]] = {}
            for place, device_id in enumerate(world.devices):
                operation, _ = operations[(number + place) % len(operations)]
                wave[str(uuid.uuid4())] = (device_id, operation)
            send(upstream, wave, dict(operations))
            asked |= wave
            until(lambda wave=wave: len(wave.keys() & heard.done()) >= UNDER_WAY, what=f"wave {number} under way")  # type: ignore[misc]
            assert wave.keys() - heard.done(), "the wave was over before anybody was killed"
            kill(stack, victim)
        until(lambda: asked.keys() <= heard.done(), seconds, "an outcome of every command")
        return asked, heard


def one_outcome_each(world: World, asked: Mapping[str, tuple[str, str]]) -> dict[str, tuple[ResponseHeader, Any]]:
    """The outcomes by command, as they lie on the topic."""
    found: dict[str, tuple[ResponseHeader, Any]] = {}
    twice = []
    for told in world.committed(RESPONSES.name):
        header, result = codec.decode_response(told.value)
        if header.repeated:
            continue
        if header.correlation_id in found:
            twice.append(header.correlation_id)
        found[header.correlation_id] = (header, result)
    assert not twice
    assert found.keys() == asked.keys()
    for name, (header, _) in found.items():
        assert (header.device_id, header.operation) == asked[name]
        allowed = {Status.SUCCESSFUL, Status.ERROR} | ({Status.UNKNOWN} if header.operation == CLEAR else set())
        assert header.status in allowed, header
        assert (header.fault is None) == (header.status is Status.SUCCESSFUL)
    return found


def nothing_cleared_twice(world: World, found: Mapping[str, tuple[ResponseHeader, Any]]) -> None:
    """Of each command that clears, the meter saw one set of its first register at most; of a successful one, one.

    Unless it was in doubt and only looked for: registers that were zero all along show what was asked for.
    """
    seen = in_doubt(world)
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for name, (header, _) in found.items():
        if header.operation == CLEAR:
            most[header.device_id] += header.status in (Status.SUCCESSFUL, Status.UNKNOWN)
            least[header.device_id] += header.status is Status.SUCCESSFUL and name not in seen
    for device_id, entries in world.ledger().items():
        sets = sum(entry["did"] == "set" and entry["what"] == REGISTER_1 for entry in entries)
        assert least[device_id] <= sets <= most[device_id], device_id


def in_doubt(world: World) -> set[str]:
    """Commands of which it was once not known whether they had been carried out."""
    decisions = [decode_events(told.value) for told in world.committed(DEVICE_EVENTS.name)]
    events = [event for decision in decisions for event in decision.events]
    return {event.correlation_id for event in events if isinstance(event, CommandDoubted)}


def doubts_were_cleared_up(world: World, found: Mapping[str, tuple[ResponseHeader, Any]]) -> None:
    """Looking told the outcome of most; without doubts, and without any outcome found so, nothing would be proved."""
    outcomes = Counter(found[name][0].status for name in in_doubt(world))
    assert outcomes[Status.SUCCESSFUL] > outcomes[Status.UNKNOWN], outcomes
    assert outcomes.keys() <= {Status.SUCCESSFUL, Status.UNKNOWN}


def no_counter_twice(world: World) -> None:
    """Neither given to two jobs, nor seen twice by a meter, nor used outside of its job's range."""
    ranges: dict[str, list[tuple[int, int]]] = {device_id: [] for device_id in world.devices}
    for told in world.committed(JOBS.name):
        job = codec.decode(told.value)
        if job.registration is not None:
            ranges[job.device_id].append((job.counter_from, job.counter_to))
    for device_id, entries in world.ledger().items():
        given = ranges[device_id]
        assert all(one[1] < other[0] for one, other in pairwise(given)), f"{device_id}: {given}"
        seen = [int(entry["value"]) for entry in entries if entry["did"] == "counter"]
        assert seen, device_id
        assert all(one < other for one, other in pairwise(seen)), device_id
        assert all(any(low <= counter <= high for low, high in given) for counter in seen), device_id


def every_read_stored_once(world: World, found: Mapping[str, tuple[ResponseHeader, Any]]) -> None:
    """ClickHouse holds what lies on the topics of reads, row by row; and what callers were told."""
    registers: Counter[tuple[str, str, int]] = Counter()
    for told in world.committed(READS_REGISTERS.name):
        record = codec.decode(told.value)
        registers.update({(record.device_id, each.quantity, record.captured_at) for each in record.registers})
    profiles: Counter[tuple[str, str, int]] = Counter()
    for told in world.committed(READS_PROFILES.name):
        record = codec.decode(told.value)
        times = memoryview(record.times).cast("q")
        profiles.update({(record.device_id, record.period, at) for at in times})
    stored = "SELECT device_id, quantity, toUnixTimestamp64Milli(captured_at) FROM register_reads FINAL"
    assert Counter(world.ask(stored)) == Counter(set(registers))
    stored = "SELECT device_id, toString(period), toUnixTimestamp64Milli(captured_at) FROM energy_reads FINAL"
    assert Counter(world.ask(stored)) == Counter(set(profiles))
    for header, result in found.values():
        if header.status is Status.SUCCESSFUL and header.operation == "GetActualMeterReads":
            assert (
                header.device_id,
                "active_energy_import",
                round(1_000 * result["log_time"].timestamp()),
            ) in registers
        if header.status is Status.SUCCESSFUL and header.operation == "GetPeriodicMeterReads":
            assert result["log_times"]
            assert all((header.device_id, "INTERVAL", at) in profiles for at in result["log_times"])
    outcomes = "SELECT toString(correlation_id), status FROM responses FINAL WHERE NOT repeated"
    assert Counter(world.ask(outcomes)) == Counter((name, header.status) for name, (header, _) in found.items())
    ((aside,),) = world.ask("SELECT sum(set_aside) FROM sink_totals")
    assert not aside


def log_and_table_agree_and_nobody_waits(world: World) -> None:
    verdict = verify.read(world.kafka)
    assert verdict.agrees, verdict
    assert verdict.devices == len(world.devices)
    table = {told.key: told.value for told in world.committed(DEVICES.name) if is_device_key(told.key)}
    for value in table.values():
        device = decode_device(value)
        assert not device.queue and device.flight is None, device.device_id


def it_was_hard(world: World) -> None:
    """Without every fault, and without jobs that died with their worker, nothing would be proved."""
    befell = {entry["what"] for entries in world.ledger().values() for entry in entries if entry["did"] == "fault"}
    assert befell == set(parse(FAULTS))
    decisions = [decode_events(told.value) for told in world.committed(DEVICE_EVENTS.name)]
    assert any(isinstance(event, JobLost) for decision in decisions for event in decision.events)


def besiege(folder: Path, meters: int, victims: Sequence[str], seconds: float, *, crew: int = 1) -> None:
    with besieged(folder, meters, crew) as (stack, world):
        began = time.monotonic()
        asked, _ = storm(stack, world, victims, seconds)
        found = one_outcome_each(world, asked)
        told = Counter((header.operation, header.status.value) for header, _ in found.values())
        print(f"{len(asked)} commands, {len(victims)} kills, {time.monotonic() - began:.0f} s: {dict(told)}")
        for victim, times in Counter(victims).items():
            assert part(stack, victim)["restarts"] >= times
        it_was_hard(world)
        assert 2 * sum(header.status is Status.SUCCESSFUL for header, _ in found.values()) > len(found)
        nothing_cleared_twice(world, found)
        doubts_were_cleared_up(world, found)
        no_counter_twice(world)
        world.await_stored()
        every_read_stored_once(world, found)
        log_and_table_agree_and_nobody_waits(world)
        assert not list(letters(world.kafka))


@pytest.mark.timeout(400)
def test_nothing_is_lost_or_done_twice_whoever_is_killed(tmp_path: Path) -> None:
    """500 commands to 100 meters, a fifth of whose connections go wrong."""
    besiege(tmp_path, 100, VICTIMS, 150)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("crew", [1, 2])
def test_nothing_is_lost_or_done_twice_in_a_long_siege(tmp_path: Path, crew: int) -> None:
    """4,500 commands to 250 meters; ClickHouse dies as well, and of two processes of a role the other takes over."""
    others = ("streams-2", "dlms-worker-2", "clickhouse-sink-2") if crew > 1 else ()
    victims = (*VICTIMS, "clickhouse", *others, *reversed(VICTIMS), "clickhouse", *VICTIMS, *others, "kafka")
    besiege(tmp_path, 250, victims, 600, crew=crew)
