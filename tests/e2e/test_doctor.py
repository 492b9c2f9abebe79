"""`meterlog doctor` on servers that really lack what it says they lack."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from connectors.dlms.keys import generate
from connectors.faces.cli import looks
from connectors.faces.cli.places import Places
from connectors.faces.upstream import Upstream
from connectors.simulator.fleet import FleetSettings
from infra import topics
from infra.embedded.ports import free_port
from infra.migrate import migrate
from schemas import codec, headers
from schemas.records import Tick
from schemas.topics import COMMANDS, DEAD_LETTERS, JOBS, TICKS
from tests.e2e.world import World

SECONDS: Final = 240.0  # it looks at all there is, one after the other

pytestmark = pytest.mark.timeout(600)


class Finding(NamedTuple):
    good: bool
    says: str
    remedy: str


@pytest.fixture(scope="module")
def world(
    serve_kafka: Callable[[], AbstractContextManager[str]], clickhouse: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Servers with nothing in them, and no role."""
    folder = tmp_path_factory.mktemp("doctor")
    with serve_kafka() as kafka:
        yield World(kafka, clickhouse.host, clickhouse.port, "doctor", folder, FleetSettings(meters=1), free_port())


@pytest.fixture(scope="module")
def prepared(world: World) -> World:
    """The same with topics, tables and keys."""
    topics.apply(world.kafka)
    migrate(world.host, world.port, database=world.database)
    generate(world.folder / "keys")
    return world


def asked(world: World, **other: str) -> dict[str, list[Finding]]:
    """What the doctor says of each part."""
    done = world.meterlog("doctor", "--json", seconds=SECONDS) if not other else _elsewhere(world, other)
    found: dict[str, list[Finding]] = {}
    for each in json.loads(done.stdout):
        found.setdefault(each["what"], []).append(Finding(each["good"], each["says"], each["remedy"]))
    assert done.returncode == int(not all(one.good for several in found.values() for one in several))
    return found


def _elsewhere(world: World, other: dict[str, str]) -> Any:
    class Elsewhere(World):
        @property
        def environment(self) -> dict[str, str]:
            return {**world.environment, **other}

    away = Elsewhere(world.kafka, world.host, world.port, world.database, world.folder, world.fleet, world.fleet_port)
    return away.meterlog("doctor", "--json", seconds=SECONDS)


def bad(found: dict[str, list[Finding]], what: str) -> Finding:
    """The one thing that is wrong with a part."""
    (one,) = [each for each in found[what] if not each.good]
    return one


def test_servers_that_have_nothing_yet(world: World) -> None:
    found = asked(world)
    missing = bad(found, "topics")
    assert "metering.commands.v1" in missing.says and "topics apply" in missing.remedy
    due = bad(found, "tables")
    assert "001_energy_reads.sql" in due.says and "meterlog migrate" in due.remedy
    assert "keys generate" in bad(found, "keys").remedy
    assert "nobody is in group meterlog-devices" in bad(found, "streams reads").says


def test_servers_that_are_away_are_told_once(world: World) -> None:
    found = asked(world, METERLOG_KAFKA=f"127.0.0.1:{free_port()}", METERLOG_CLICKHOUSE=f"127.0.0.1:{free_port()}")
    assert "does not answer" in bad(found, "kafka").says
    assert "cannot be reached" in bad(found, "clickhouse").says
    assert not found.keys() & {"topics", "streams reads", "tables", "meters", "disk"}


def test_what_is_set_up_is_good_but_for_who_should_read(prepared: World) -> None:
    world = prepared
    with world.upstream() as upstream:
        for _ in range(3):
            upstream.send("ReadAlarmRegister", "ML500000000000001", {})
        upstream.flush()
    found = asked(world)
    wrong = {what for what, several in found.items() if not all(each.good for each in several)}
    assert wrong == {"streams reads", "cells reads", "dlms-worker reads", "clickhouse-sink reads"}
    reads = bad(found, "streams reads")
    assert reads.says == "nobody is in group meterlog-devices: 3 records wait for a reader"
    assert "meterlog run streams" in reads.remedy
    assert [each.says for each in found["dead letters"]] == ["none"]


def test_topics_that_are_not_as_declared(prepared: World) -> None:
    world = prepared
    admin = AdminClient({"bootstrap.servers": world.kafka})
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, COMMANDS.name, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)
    wrong = bad(asked(world), "topics")
    assert wrong.says == f"{COMMANDS.name}: retention.ms is 1000, not {COMMANDS.retention_ms}"
    assert "topics apply" in wrong.remedy
    topics.apply(world.kafka)
    admin.create_partitions([NewPartitions(JOBS.name, topics.DEFAULT_PARTITIONS + 1)])[JOBS.name].result(30)
    differ = bad(asked(world), "topics")
    assert f"{JOBS.name} has 5" in differ.says and f"{COMMANDS.name} has 4" in differ.says


def test_tables_that_were_dropped(prepared: World) -> None:
    world = prepared
    world.ask("DROP TABLE large_results SYNC")
    wrong = bad(asked(world), "tables")
    assert wrong.says == "missing although migrated: large_results" and "rebuild clickhouse --fresh" in wrong.remedy
    done = world.meterlog("rebuild", "clickhouse", "--fresh", "--yes")
    assert done.returncode == 0, done.stderr
    assert all(each.good for each in asked(world)["tables"])


def test_a_clock_that_is_ahead(prepared: World) -> None:
    for ahead, good in ((3_600_000, False), (0, True)):
        produce(prepared, TICKS.name, lambda ahead=ahead: codec.encode(Tick(Upstream.now() + ahead, 1, 0, 0)))  # type: ignore[misc]
        (said,) = asked(prepared)["clocks"]
        assert said.good is good, said
        assert good or "s ahead of the broker's" in said.says


def produce(world: World, topic: str, make: Callable[[], bytes], told: Any = None) -> None:
    """`make`: the value, made when the way to the broker is open."""
    producer = Producer({"bootstrap.servers": world.kafka})
    producer.list_topics(topic, 60)
    producer.produce(topic, make(), b"ML500000000000001", 0, headers=told or [])
    assert producer.flush(30) == 0


def test_dead_letters_are_counted_by_reason(prepared: World) -> None:
    world = prepared
    for reason in ("no value", "unknown schema", "no value"):
        letter = headers.DeadLetter(
            reason=reason, topic=COMMANDS.name, partition=0, offset=7, at=1_790_000_000_000, role="streams"
        )
        produce(world, DEAD_LETTERS.name, lambda: b"rubbish", [*headers.write_dead_letter([], letter)])
    (said,) = asked(world)["dead letters"]
    assert said.good
    assert said.says == "3 (`meterlog dlq list`): 2 x streams: no value; 1 x streams: unknown schema"


EVENT = "INSERT INTO device_events (device_id, at, version, kind, detail, topic_offset) "


def report(world: World, version: int, devices: int, unreached: bool, **more: bool) -> None:
    """The last jobs of so many devices, as the sink would have stored them."""
    detail = json.dumps({"unreached": unreached, **more})
    about = f"concat('ML', toString(number)), now64(3), {version}, 'JobReported', '{detail}', 0"
    world.ask(f"{EVENT} SELECT {about} FROM numbers({devices})")  # noqa: S608


def test_meters_that_do_not_answer_and_outcomes_in_doubt(prepared: World) -> None:
    world = prepared
    report(world, 1, 100, unreached=True)
    report(world, 2, 91, unreached=False, called=True)
    report(world, 3, 200, unreached=False, called=False)  # asked the store alone: tells nothing of any meter
    said = [each.says for each in asked(world)["meters"] if each.good]
    assert said == ["9 of 100 called in the last day did not answer when last called"]
    report(world, 4, 80, unreached=True)
    assert "89 of 100" in bad(asked(world), "meters").says
    world.ask(f"{EVENT} SELECT 'ML1', now64(3), 9, 'CommandDoubted', '{{}}', number FROM numbers(40)")  # noqa: S608
    assert "of 0 in the last day 40 were in doubt" in bad(asked(world), "outcomes").says


def test_a_disk_that_is_nearly_full(prepared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = prepared
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    usage = type(shutil.disk_usage(world.folder))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100 * 2**30, 95 * 2**30, 5 * 2**30))
    *_, ours = looks.disks(Places(world.folder))
    assert not ours.good and "95% full, 5.0 GiB left" in ours.says
    monkeypatch.undo()
