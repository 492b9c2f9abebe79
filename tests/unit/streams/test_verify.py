"""`verify-state` finds what would be wrong, each kind by a log or a table that was tampered with."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas import topics
from streams.device.verify import Verdict, table_value, verify
from streams.device.wire import decode_device, decode_events, encode_device, encode_events
from tests.unit.streams.world import DEVICE, NOON, World, command, ended, jobs, log, on, tick

Log = list[tuple[bytes, bytes]]
Table = dict[bytes, bytes]
KEY = DEVICE.encode()


def history() -> tuple[Log, Table]:
    """A device registered, a command carried out, a rejection without version, and one command in flight."""
    world = World()
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(command(1, operation="AddDevice")))
    (job,) = jobs(world.batch(ended(job), command(2)))
    world.batch(ended(job))
    world.batch(command(3, device_id="TEST1024000000009"), command(4))
    return [(record.key, record.value) for record in on(topics.DEVICE_EVENTS, world.sent)], world.values


def test_an_honest_log_agrees() -> None:
    records, table = history()
    verdict = verify(records, table)
    assert verdict.agrees and verdict.examples == {}
    assert (verdict.devices, verdict.unversioned) == (1, 1)
    assert verdict.decisions == len(records) == 9


def lose_one(records: Log, table: Table) -> None:
    del records[3]


def say_one_twice(records: Log, table: Table) -> None:
    records.insert(3, records[2])


def decide_one_otherwise(records: Log, table: Table) -> None:
    key, value = records[2]
    records.insert(3, (key, encode_events(replace(decode_events(value), at=1))))


def change_the_table(records: Log, table: Table) -> None:
    table[KEY] = encode_device(replace(decode_device(table[KEY]), counter=7))


def empty_the_table(records: Log, table: Table) -> None:
    table.clear()


def add_to_the_table(records: Log, table: Table) -> None:
    table[b"TEST1024000000077"] = table[KEY]


def spoil_a_record(records: Log, table: Table) -> None:
    records.append((KEY, b"rubbish"))


def spoil_the_table(records: Log, table: Table) -> None:
    table[KEY] = b"rubbish"


def put_one_elsewhere(records: Log, table: Table) -> None:
    records.append((b"TEST1024000000077", records[-1][1]))


@pytest.mark.parametrize(
    ("tamper", "kind", "says"),
    [
        (lose_one, "gaps", "version 5 after version 3"),
        (say_one_twice, "doubles", "version 3"),
        (decide_one_otherwise, "conflicts", "version 3 after version 3"),
        (change_the_table, "differences", "they differ in counter"),
        (empty_the_table, "missing", "nothing in the table"),
        (add_to_the_table, "unexplained", "TEST1024000000077"),
        (spoil_a_record, "unreadable", "single-object header"),
        (spoil_the_table, "differences", "cannot be read"),
        (put_one_elsewhere, "misplaced", DEVICE),
    ],
)
def test_what_is_wrong_is_found(tamper: Callable[[Log, Table], None], kind: str, says: str) -> None:
    records, table = history()
    tamper(records, table)
    verdict: Verdict = verify(records, table)
    assert not verdict.agrees
    assert kind in verdict.counts
    assert says in verdict.examples[kind][0]


def test_examples_are_bounded_and_counts_are_not() -> None:
    records, table = history()
    verdict = verify(records + [(KEY, b"rubbish")] * 500, table)
    assert verdict.counts["unreadable"] == 500 and len(verdict.examples["unreadable"]) == 20


def test_bookkeeping_is_no_device() -> None:
    records, table = history()
    assert any(key.startswith(b"\0results/") for key in table)
    assert verify(records, {**table, b"\0position/0": b"x"}).agrees


def test_a_log_that_changes_nothing_makes_no_value() -> None:
    world = World()
    world.batch(command(1))
    assert table_value(log(world.sent)) is None
