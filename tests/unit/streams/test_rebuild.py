"""The plan of a rebuild: what the log tells is written, what it cannot tell or denies too late is kept and told."""

from dataclasses import replace

import pytest

from schemas import topics
from streams.device.limits import Limits
from streams.device.rebuild import Plan, plan
from streams.device.snapshot import carried
from streams.device.wire import decode_device, decode_events, encode_events
from tests.unit.streams.test_verify import KEY, Log, Table, history
from tests.unit.streams.world import NOON, World, command, ended, jobs, on, tick


def devices(table: Table) -> Table:
    return {key: value for key, value in table.items() if not key.startswith(b"\0")}


def made(records: Log, table: Table) -> tuple[Plan, Table]:
    """The plan, and the table once it was carried out."""
    found = plan(records, table)
    return found, {**table, **found.changes}


def test_an_honest_table_is_left_alone() -> None:
    records, table = history()
    found = plan(records, table)
    assert (found.changes, found.counts, found.devices, found.decisions) == ({}, {}, 1, 9)


def test_an_empty_table_is_filled_as_it_was() -> None:
    records, table = history()
    found, after = made(records, {})
    assert after == devices(table)
    assert (found.missing, found.differing) == (1, 0)


@pytest.mark.parametrize("value", [b"rubbish", b""])
def test_a_value_that_cannot_be_read_is_replaced(value: bytes) -> None:
    records, table = history()
    found, after = made(records, {**table, KEY: value})
    assert after == table and found.differing == 1


def test_an_older_value_is_replaced() -> None:
    records, table = history()
    older = plan(records[:4], {}).changes[KEY]
    assert decode_device(older).version < decode_device(table[KEY]).version
    assert made(records, {**table, KEY: older})[1] == table


def test_a_value_newer_than_the_log_is_never_taken_back() -> None:
    """Its counters have been used."""
    records, table = history()
    found, after = made(records[:-1], table)
    assert after == table
    assert found.counts == {"newer than the log": 1}
    assert "version 8, the log ends at 7" in found.kept["newer than the log"][0]


def test_a_hole_or_a_record_that_cannot_be_read_is_not_made_up_for() -> None:
    records, table = history()
    hole = plan([*records[:3], *records[4:]], {})
    assert hole.changes == {} and "version 5 follows version 3" in hole.kept["not told by the log"][0]
    spoilt = plan([*records[:3], (KEY, b"rubbish"), *records[3:]], table)
    assert spoilt.changes == {} and "cannot be read" in spoilt.kept["not told by the log"][0]
    elsewhere = plan([*records, (b"TEST1024000000077", records[-1][1])], table)
    assert "lies under its key" in elsewhere.kept["not told by the log"][0]


def test_a_snapshot_makes_up_for_all_that_is_gone() -> None:
    world = World(limits=Limits(snapshot_every=3))
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(command(1, operation="AddDevice")))
    (job,) = jobs(world.batch(ended(job), command(2)))
    world.batch(ended(job), command(3))
    records = [(record.key, record.value) for record in on(topics.DEVICE_EVENTS, world.sent)]
    place = next(number for number, (_, value) in enumerate(records) if carried(decode_events(value)))
    assert place > 1
    table = devices(world.values)
    assert made(records[place:], {})[1] == table
    assert made([(KEY, b"rubbish"), *records[place - 1 :]], {})[1] == table
    beheaded = plan(records[1:place], {})
    assert beheaded.changes == {} and "its log begins with version 2" in beheaded.kept["not told by the log"][0]


def test_what_is_not_in_the_log_stays() -> None:
    records, table = history()
    found, after = made(records, {**table, b"TEST1024000000077": table[KEY]})
    assert after[b"TEST1024000000077"] == table[KEY]
    assert found.kept == {"not in the log": ["TEST1024000000077"]}


def test_decisions_tell_how_far_the_inbox_was_read() -> None:
    records, _ = history()
    causes: dict[str, int] = {}
    for _, value in records:
        topic, at, offset = decode_events(value).cause.partition("@")
        if at:
            causes[topic] = max(causes.get(topic, -1), int(offset))
    found = plan(records, {})
    assert found.causes == causes and set(causes) == {topics.COMMANDS.name, topics.JOB_RESULTS.name}


def test_a_decision_told_twice_counts_once() -> None:
    records, table = history()
    again = replace(decode_events(records[2][1]), at=1)
    assert made([*records, (KEY, encode_events(again)), records[4]], {})[1] == devices(table)
