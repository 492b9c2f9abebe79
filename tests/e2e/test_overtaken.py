"""Retention that overtakes a sink which sleeps: it says what is gone, counts it, and goes on with what is left."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from prometheus_client import REGISTRY

from connectors.clickhouse.queries import Queries
from schemas import codec
from tests.e2e.sink_world import World, energy, registers, until


@pytest.fixture
def world(kafka: str, clickhouse: Any, make_topics: Callable[..., dict[str, str]]) -> World:
    return World.new(kafka, clickhouse.host, clickhouse.port, make_topics)


@contextmanager
def awake(world: World) -> Iterator[None]:
    sink = world.sink()
    thread = Thread(target=sink.run)
    thread.start()
    try:
        yield
    finally:
        sink.stop.set()
        thread.join(30)
        sink.feed.close()
        assert not thread.is_alive()


def ends(world: World, topic: str) -> dict[TopicPartition, int]:
    """Behind the last offset of each partition of a topic."""
    admin = AdminClient({"bootstrap.servers": world.kafka})
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(world.topics[topic], partition): latest for partition in range(3)}
    return {place: future.result(10).offset for place, future in admin.list_offsets(asked).items()}


def expire(world: World, before: Mapping[TopicPartition, int]) -> None:
    """What retention does: the log begins later."""
    admin = AdminClient({"bootstrap.servers": world.kafka})
    places = [TopicPartition(place.topic, place.partition, offset) for place, offset in before.items()]
    for deleted in admin.delete_records(places).values():
        deleted.result(10)


def totals(world: World, topic: str) -> dict[str, int]:
    with Queries(world.host, world.port, database=world.database) as queries:
        return queries.sink_totals().get(world.topics[topic], {})


def reads(count: int, first: int = 0) -> list[Any]:
    return [energy(f"EM{number:04d}", "2026-11-01T00:15", [number]) for number in range(first, first + count)]


def test_what_was_deleted_unread_is_counted_told_and_passed_over(world: World) -> None:
    with awake(world):
        world.send("profiles", reads(30))
        until(lambda: totals(world, "profiles").get("stored") == 30)
    read = ends(world, "profiles")
    world.send("profiles", reads(60, 30))
    slept = ends(world, "profiles")
    gone = {place: max(read[place], end - 2) for place, end in slept.items()}  # all but the last two of each
    expire(world, gone)
    world.send("profiles", reads(10, 90))
    lost = sum(gone[place] - read[place] for place in gone)
    assert lost > 30
    with awake(world):
        until(lambda: sum(totals(world, "profiles").values()) == 100)
    assert totals(world, "profiles") == {"stored": 100 - lost, "set_aside": 0, "overtaken": lost}
    told = world.ask("SELECT partition, first_offset, last_offset FROM overtaken FINAL ORDER BY partition")
    assert told == sorted(
        (place.partition, read[place], offset - 1) for place, offset in gone.items() if offset > read[place]
    )
    counted = REGISTRY.get_sample_value("meterlog_sink_overtaken_offsets_total", {"topic": world.topics["profiles"]})
    assert counted == lost
    with awake(world):  # it has been told: nothing of it again
        world.send("profiles", reads(3, 100))
        until(lambda: totals(world, "profiles")["stored"] == 103 - lost)
    assert totals(world, "profiles")["overtaken"] == lost


def test_where_nothing_is_left_it_is_told_with_the_next_record(world: World) -> None:
    with awake(world):
        world.send("registers", [registers("EM0001", "2026-11-01T10:00:00", import_total=1)])
        until(lambda: totals(world, "registers").get("stored") == 1)
    world.send("registers", [registers("EM0001", "2026-11-01T11:00:00", import_total=2)] * 9)
    expire(world, ends(world, "registers"))
    with awake(world):
        world.send("registers", [registers("EM0001", "2026-11-01T12:00:00", import_total=3)])
        until(lambda: totals(world, "registers").get("overtaken") == 9)
    assert totals(world, "registers") == {"stored": 2, "set_aside": 0, "overtaken": 9}


def test_a_group_that_is_new_misses_nothing(world: World) -> None:
    """What was deleted before anybody was there to read it is nobody's gap."""
    world.send("profiles", reads(30))
    expire(world, ends(world, "profiles"))
    world.send("profiles", reads(10, 30))
    with awake(world):
        until(lambda: totals(world, "profiles").get("stored") == 10)
    assert totals(world, "profiles")["overtaken"] == 0


def test_markers_and_aborted_records_are_no_gap(world: World) -> None:
    producer = Producer({"bootstrap.servers": world.kafka, "transactional.id": world.group})
    producer.init_transactions(30)
    with awake(world):
        for number in range(6):
            producer.begin_transaction()
            for read in reads(5, 5 * number):
                producer.produce(world.topics["profiles"], codec.encode(read), b"EM0001", 0)
            if number % 2:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
        until(lambda: totals(world, "profiles").get("stored") == 15)
    assert totals(world, "profiles") == {"stored": 15, "set_aside": 0, "overtaken": 0}
