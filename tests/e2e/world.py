"""The running system as the end-to-end tests see it: every role and a fleet of meters as processes of their own.

Tests speak to it as the world does: records on its topics, the command line, SQL. What really happened at the meters is
told by the fleet's ledger; what their registers must have said, by the same fleet computed here from its seed.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from clickhouse_driver import Client
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.clickhouse.queries import Queries
from connectors.dlms.keys import generate
from connectors.faces.upstream import Response, Upstream
from connectors.simulator import ledger
from connectors.simulator.fleet import Fleet, FleetSettings, identity, write_shipment
from connectors.simulator.ledger import Ledger
from connectors.simulator.meter import Meter
from infra import topics
from infra.embedded.ports import free_port
from infra.embedded.process import Process
from infra.embedded.roles import CLI, CLICKHOUSE_SINK, DLMS_WORKER, SIMULATOR, STREAMS, Role
from infra.migrate import migrate
from schemas import codec
from schemas.records import Notification
from schemas.topics import (
    DEVICE_EVENTS,
    DLMS_LOG,
    METER_EVENTS,
    NOTIFICATIONS,
    READS_PROFILES,
    READS_REGISTERS,
    RESPONSES,
    RESULTS_LARGE,
)

PARTITIONS: Final = 4
PATIENCE: Final = 90.0  # seconds; two cores may have to carry other tests beside these
START_PATIENCE: Final = 300.0  # of a role's start
SINK_TOPICS: Final = (
    READS_PROFILES,
    READS_REGISTERS,
    METER_EVENTS,
    RESPONSES,
    DEVICE_EVENTS,
    RESULTS_LARGE,
    DLMS_LOG,
)
_SINK: Final = {"METERLOG_SINK_SECONDS": "0.2"}


class Told(NamedTuple):
    """One record of a topic."""

    key: bytes
    value: bytes
    headers: Any
    partition: int
    offset: int
    at: int = 0  # append time, ms; 0 where it was not kept


@dataclass(slots=True)
class World:
    """Where everything is. `database` is the ClickHouse database the sink writes to."""

    kafka: str
    host: str
    port: int
    database: str
    folder: Path
    fleet: FleetSettings
    fleet_port: int

    @property
    def environment(self) -> dict[str, str]:
        """What every role and the command line are told."""
        return {
            "METERLOG_KAFKA": self.kafka,
            "METERLOG_CLICKHOUSE": f"{self.host}:{self.port}",
            "METERLOG_CLICKHOUSE_DATABASE": self.database,
            "METERLOG_DATA": str(self.folder),
            "METERLOG_KEYS": str(self.folder / "keys"),
        }

    @property
    def devices(self) -> list[str]:
        """The identifications of the fleet's meters, in order."""
        return [identity(self.fleet, number).device_id for number in range(1, self.fleet.meters + 1)]

    @property
    def shipment(self) -> Path:
        return self.folder / "shipment.csv"

    @property
    def ledger_path(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def sent_path(self) -> Path:
        """What a `Load` asked, one JSON object a line."""
        return self.folder / "sent.jsonl"

    def meters(self) -> dict[str, Meter]:
        """The same meters computed here: their curves, and what they were when they left the factory."""
        return {meter.device_id: meter for meter in Fleet(self.fleet, Ledger(None)).meters}

    def ledger(self) -> dict[str, list[dict[str, Any]]]:
        """What each meter saw and did, oldest first."""
        found: dict[str, list[dict[str, Any]]] = {device: [] for device in self.devices}
        for entry in ledger.read(self.ledger_path):
            found[entry["meter"]].append(entry)
        return found

    def upstream(self) -> Upstream:
        return Upstream(self.kafka, requester="e2e")

    def queries(self) -> Queries:
        return Queries(self.host, self.port, database=self.database)

    def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        client = Client(self.host, port=self.port, database=self.database)
        try:
            rows: list[tuple[Any, ...]] = client.execute(query, values)
            return rows
        finally:
            client.disconnect()

    def meterlog(self, *arguments: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """The command line, as an operator has it."""
        return subprocess.run(
            [*CLI, *arguments],
            env={**os.environ, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def committed(self, topic: str) -> Iterator[Told]:
        """Committed records of all partitions up to their present end."""
        return committed(self.kafka, topic)

    def notifications(self, asked: Iterable[str]) -> dict[str, list[Notification]]:
        """What was told of these commands on their way, in order."""
        found: dict[str, list[Notification]] = {correlation_id: [] for correlation_id in asked}
        for told in self.committed(NOTIFICATIONS.name):
            notification = codec.decode(told.value)
            if notification.correlation_id in found:
                found[notification.correlation_id].append(notification)
        return found

    def await_stored(self, seconds: float = PATIENCE) -> None:
        """Until the sink has accounted for every record that lies on its topics now."""
        produced = {topic.name: sum(1 for _ in self.committed(topic.name)) for topic in SINK_TOPICS}

        def accounted() -> bool:
            totals = self.queries().sink_totals()
            return all(sum(totals.get(name, {}).values()) >= count for name, count in produced.items())

        until(accounted, seconds, "every record in ClickHouse")


def committed(bootstrap: str, topic: str) -> Iterator[Told]:
    """Committed records of all partitions up to their present end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"e2e-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        left = set(consumer.list_topics(topic, PATIENCE).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
        end = time.monotonic() + PATIENCE
        while left:
            assert time.monotonic() < end, f"{topic} has no end"
            for message in consumer.consume(1_000, 1.0):
                error = message.error()
                if error is None:
                    place: Any = (message.partition(), message.offset())
                    key: Any = message.key()
                    value: Any = message.value()
                    yield Told(key or b"", value or b"", message.headers(), place[0], place[1], message.timestamp()[1])
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()


@dataclass(slots=True)
class System:
    """A world whose roles run; `pids` are those of their first start, `imported` what the first import said."""

    world: World
    roles: dict[str, Process]
    pids: dict[str, int]
    imported: dict[str, Any]

    def unharmed(self) -> bool:
        """Whether every role still is the process it was."""
        return all(role.running and role.pid == self.pids[name] for name, role in self.roles.items())


def fleet_role(world: World, faults: str = "") -> Role:
    """The fleet with its ledger. It has no probes: it is ready when its port answers."""
    fleet = world.fleet
    settings = {
        "METERLOG_SIMULATOR_METERS": str(fleet.meters),
        "METERLOG_SIMULATOR_SEED": str(fleet.seed),
        "METERLOG_SIMULATOR_PORT": str(world.fleet_port),
        "METERLOG_SIMULATOR_LEDGER": str(world.ledger_path),
        "METERLOG_SIMULATOR_FAULTS": faults,
    }
    argv = (*SIMULATOR.argv, "--delay", str(fleet.delay), "--lls", str(fleet.lls), "--public", str(fleet.public))
    argv += tuple(f"--profile={protocol}-{version}" for protocol, version in fleet.profiles)
    if fleet.gas_meters is not None:
        settings["METERLOG_SIMULATOR_GAS_METERS"] = str(fleet.gas_meters)
    if fleet.cells:
        settings["METERLOG_SIMULATOR_CELLS"] = str(fleet.cells)
    return replace(SIMULATOR, argv=argv, environment=settings, probe=False)


def prepare(world: World) -> None:
    """Topics, tables, keys and the maker's shipment file."""
    topics.apply(world.kafka, partitions=PARTITIONS)
    migrate(world.host, world.port, database=world.database)
    generate(world.folder / "keys")
    write_shipment(world.shipment, world.fleet, world.fleet_port)


@contextmanager
def running(
    kafka: str,
    host: str,
    port: int,
    folder: Path,
    fleet: FleetSettings,
    more: Iterable[Role] = (),
    change: Callable[[World], None] = lambda world: None,
) -> Iterator[System]:
    """The roles of the walk, `more` (of one name the latter) and a fleet on these servers, its meters registered by the
    shipment as `change` left it. Nothing restarts a role here: it must not die.
    """
    world = World(kafka, host, port, f"e2e_{uuid.uuid4().hex[:10]}", folder, fleet, free_port())
    prepare(world)
    change(world)
    sink = replace(CLICKHOUSE_SINK, environment=_SINK)
    roles = {
        role.name: Process(role, world.environment, folder, folder / "logs")
        for role in (fleet_role(world), STREAMS, DLMS_WORKER, sink, *more)
    }
    with ExitStack() as ending:
        for process in roles.values():
            ending.callback(process.stop)
            process.start()
        for process in roles.values():
            process.wait_ready(START_PATIENCE)
        imported = import_shipment(world)
        yield System(world, roles, {name: process.pid for name, process in roles.items()}, imported)


def import_shipment(world: World, seconds: float = PATIENCE) -> dict[str, Any]:
    """`meterlog devices import` of the fleet's shipment: what it reports."""
    done = world.meterlog("devices", "import", "--plain-keys", "--json", str(world.shipment), seconds=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    reported: dict[str, Any] = json.loads(done.stdout)
    return reported


def outcomes(upstream: Upstream, asked: Iterable[str], seconds: float = PATIENCE) -> dict[str, Response]:
    """The outcome of each command. Fails when one has none and nothing came for so many seconds."""
    waiting, found = set(asked), {}
    for response in upstream.responses(seconds):
        if response.header.correlation_id in waiting:
            waiting.discard(response.header.correlation_id)
            found[response.header.correlation_id] = response
        if not waiting:
            return found
    raise AssertionError(f"{len(waiting)} commands without an outcome, such as {sorted(waiting)[:3]}")


def asked_of_all(upstream: Upstream, devices: Iterable[str], operation: str, request: Mapping[str, Any]) -> Any:
    """Ask the same of every device: the outcome by device."""
    asked = {upstream.send(operation, device, request): device for device in devices}
    upstream.flush()
    found = outcomes(upstream, asked)
    return {device: found[correlation_id] for correlation_id, device in asked.items()}


def until(condition: Callable[[], bool], seconds: float = PATIENCE, what: str = "the condition") -> None:
    """Wait for it. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true within {seconds:.0f} s"
        time.sleep(0.1)
