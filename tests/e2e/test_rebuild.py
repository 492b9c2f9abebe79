"""The table and ClickHouse destroyed on a running system, made anew from the topics, and the system goes on."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from connectors.simulator.fleet import FleetSettings
from infra.topics import apply
from schemas import codec
from schemas.records import Status
from schemas.topics import DEVICES, RESPONSES
from streams.device.keeper import is_device_key
from streams.positions import rebuild_key
from tests.e2e.world import PARTITIONS, System, World, asked_of_all, running, until

FLEET: Final = FleetSettings(meters=12, seed=44)
TABLES: Final = (
    "energy_reads", "register_reads", "responses", "device_events", "device_registrations", "device_lifecycles",
)  # fmt: skip
NOW: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
DAY: Final = {"period_type": "INTERVAL", "begin_date": NOW - timedelta(days=1), "end_date": NOW}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def busy(
    serve_kafka: Callable[[], AbstractContextManager[str]], clickhouse: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A system of which every device has done something."""
    folder = tmp_path_factory.mktemp("rebuild")
    with serve_kafka() as kafka, running(kafka, clickhouse.host, clickhouse.port, folder, FLEET) as made:
        go_on(made.world)
        yield made


def go_on(world: World) -> None:
    """Every meter does what it is asked."""
    with world.upstream() as upstream:
        for operation, request in (
            ("GetPeriodicMeterReads", DAY),
            ("SynchronizeTime", {"time_zone": "Europe/Amsterdam"}),
            ("SetDeviceLifecycleStatus", {"status": "IN_USE"}),
            ("GetActualMeterReads", {}),
        ):
            found = asked_of_all(upstream, world.devices, operation, request)
            assert {response.header.status for response in found.values()} == {Status.SUCCESSFUL}


def table(world: World) -> dict[bytes, bytes]:
    """What lies on the table's topic now, bookkeeping included."""
    found = {told.key: told.value for told in world.committed(DEVICES.name)}
    return {key: value for key, value in found.items() if value}


def devices(world: World) -> dict[bytes, bytes]:
    return {key: value for key, value in table(world).items() if is_device_key(key)}


def damage(world: World, changes: dict[bytes, bytes | None]) -> None:
    """What nobody should write to the table, into the partitions where the keys lie."""
    places = {told.key: told.partition for told in world.committed(DEVICES.name)}
    producer = Producer({"bootstrap.servers": world.kafka})
    for key, value in changes.items():
        producer.produce(DEVICES.name, value, key, places.get(key, 0))
    assert producer.flush(30) == 0


def told(done: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answers(world: World) -> Counter[str]:
    """How often each command was answered."""
    return Counter(codec.decode_response(each.value)[0].correlation_id for each in world.committed(RESPONSES.name))


def test_a_table_that_was_damaged_and_one_that_is_gone(busy: System) -> None:
    world, streams = busy.world, busy.roles["streams"]
    refused = world.meterlog("rebuild", "table")
    assert refused.returncode == 2 and "stop them first" in refused.stderr
    streams.stop()
    whole = devices(world)
    assert len(whole) == FLEET.meters
    lost, spoilt, other, *_ = sorted(whole)
    bookkeeping = table(world).keys() - whole.keys()
    assert len(bookkeeping) >= PARTITIONS
    damage(world, {lost: None, spoilt: b"rubbish", other: whole[lost], **dict.fromkeys(bookkeeping)})
    assert world.meterlog("verify-state").returncode == 1

    looked = world.meterlog("rebuild", "table", "--dry-run", "--json")
    assert looked.returncode == 0, looked.stderr
    assert (told(looked)["missing"], told(looked)["differing"], told(looked)["dry_run"]) == (1, 2, True)
    assert table(world).keys() == whole.keys() - {lost}, "nothing was written"

    done = world.meterlog("rebuild", "table", "--json")
    assert done.returncode == 0, done.stderr
    assert told(done) == {**told(looked), "dry_run": False}
    assert f"partition {PARTITIONS - 1} ({PARTITIONS} of {PARTITIONS})" in done.stderr
    assert devices(world) == whole
    assert world.meterlog("verify-state").returncode == 0

    admin = AdminClient({"bootstrap.servers": world.kafka})
    admin.delete_topics([DEVICES.name])[DEVICES.name].result(60)
    until(lambda: DEVICES.name not in admin.list_topics(timeout=30).topics, what="the table is gone")
    apply(world.kafka)
    assert table(world) == {}
    again = world.meterlog("rebuild", "table", "--json")
    assert told(again)["missing"] == FLEET.meters, again.stderr
    assert devices(world) == whole
    assert told(world.meterlog("rebuild", "table", "--json"))["missing"] == 0, "nothing is left to do"

    before = answers(world)
    streams.start()
    streams.wait_ready(120)
    go_on(world)
    after = answers(world)
    assert {name: after[name] for name in before} == before, "nothing was answered again"
    assert len(after) == len(before) + 4 * FLEET.meters
    assert world.meterlog("verify-state").returncode == 0


def test_the_streams_do_not_start_on_half_a_table(busy: System) -> None:
    world, streams = busy.world, busy.roles["streams"]
    streams.stop()
    damage(world, {rebuild_key(0): b"1"})
    streams.start()
    until(lambda: not streams.running, 120, "the streams end")
    assert "run `meterlog rebuild table` again" in (world.folder / "logs" / "streams.log").read_text(encoding="utf-8")
    until(
        lambda: world.meterlog("rebuild", "table").returncode == 0, 120, "the rebuild is done, once the group is empty"
    )
    streams.start()
    streams.wait_ready(120)
    go_on(world)


def rows(world: World) -> dict[str, tuple[Any, ...]]:
    """Of each table how many rows there are, and a digest of their content."""
    counted = "SELECT count(), sum(cityHash64(toString(tuple(*))))"
    return {name: world.ask(f"{counted} FROM {name} FINAL")[0] for name in TABLES}


def test_clickhouse_that_lost_its_tables(busy: System) -> None:
    world, sink = busy.world, busy.roles["clickhouse-sink"]
    world.await_stored()
    refused = world.meterlog("rebuild", "clickhouse", "--fresh", "--yes")
    assert refused.returncode == 1 and "Stop it first" in refused.stderr
    sink.stop()
    whole, totals = rows(world), world.queries().sink_totals()
    assert all(count for count, _ in whole.values()), whole
    again = world.meterlog("rebuild", "clickhouse", "--json")
    assert again.returncode == 0, again.stderr
    assert (rows(world), told(again)["topics"]) == (whole, totals), "what is there is known again"

    for name in ("responses", "energy_reads_mv"):
        world.ask(f"DROP TABLE {name} SYNC")
    missing = world.meterlog("rebuild", "clickhouse")
    assert missing.returncode == 1 and "energy_reads_mv, responses" in missing.stderr and "--fresh" in missing.stderr

    done = world.meterlog("rebuild", "clickhouse", "--fresh", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert told(done)["topics"] == totals
    assert rows(world) == whole

    sink.start()
    sink.wait_ready(120)
    go_on(world)
    world.await_stored()
    assert rows(world)["responses"][0] == whole["responses"][0] + 4 * FLEET.meters
