"""Who comes first, under load: the streams role on a broker of its own, its workers played by the test.

- with ten thousand commands waiting, one of priority 9 for an idle meter takes the very next slot;
- what falls due at one instant leaves in order of priority: in each partition no job is followed by one of a higher;
- a command that expires as it is dispatched, or is cancelled as it is settled, has one outcome.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from time import time_ns
from typing import Final, NamedTuple

import pytest

from benchmarks.stand import fill, name_of
from infra.topics import apply
from schemas import codec
from schemas.partition import partition_of
from schemas.records import Job, Status
from tests.e2e.played import ACCEPTED, Caller, Played, played, role, until
from tests.e2e.world import PARTITIONS

pytestmark = pytest.mark.timeout(900)

WAITING: Final = 10_000
IDLE: Final = 200  # devices without a command meanwhile
SLOTS: Final = 5  # a partition
FEW_SLOTS: Final = {
    "METERLOG_STREAMS_SLOTS": str(SLOTS),
    "METERLOG_STREAMS_CONNECT_SECONDS": "3600",
}  # jobs are held long
TOGETHER: Final = 4_000  # commands due at one instant: twice the slots there are
RACES: Final = 300  # devices, seven commands each
SYNCHRONIZE: Final = "SynchronizeTime"
UTC: Final[dict[str, object]] = {"time_zone": "UTC"}
DEVICES: Final = [name_of(number) for number in range(WAITING + IDLE)]


class Ground(NamedTuple):
    """A broker with a table of registered devices, nothing asked of them yet."""

    kafka: str
    folder: Path


@pytest.fixture(scope="module")
def ground(
    serve_kafka: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    with serve_kafka() as kafka:
        apply(kafka, partitions=PARTITIONS)
        fill(kafka, len(DEVICES), settled=4)
        yield Ground(kafka, tmp_path_factory.mktemp("order"))


def priority_of(job: Job) -> int:
    """The highest of its commands."""
    return max(codec.decode_command(each.command).header.priority for each in job.commands)


def test_priority_nine_takes_the_next_slot_before_ten_thousand_others(ground: Ground) -> None:
    caller = Caller(ground.kafka)
    with (
        played(ground.kafka, DEVICES, Played(holding=True)) as workers,
        role(ground.kafka, ground.folder, **FEW_SLOTS) as streams,
    ):
        for device in DEVICES[:WAITING]:
            caller.send(device, SYNCHRONIZE, UTC)
        until(lambda: streams.metric(ACCEPTED) == WAITING, "ten thousand commands accepted")
        until(lambda: len(workers.jobs) == SLOTS * PARTITIONS, "every slot taken")
        urgent = {partition_of(device.encode(), PARTITIONS): device for device in DEVICES[WAITING:]}
        assert len(urgent) == PARTITIONS
        for device in urgent.values():
            caller.send(device, SYNCHRONIZE, UTC, priority=9)
        until(lambda: streams.metric(ACCEPTED) == WAITING + PARTITIONS, "the urgent ones accepted")
        assert len(workers.jobs) == SLOTS * PARTITIONS
        for partition, device in urgent.items():
            workers.answer(partition)
            until(lambda partition=partition: len(workers.of(partition)) == SLOTS + 1, "the next job")  # type: ignore[misc]
            assert workers.of(partition)[-1].device_id == device


def test_what_is_due_at_one_instant_leaves_in_order_of_priority(ground: Ground) -> None:
    caller, seconds = Caller(ground.kafka), 10
    with played(ground.kafka, DEVICES) as workers, role(ground.kafka, ground.folder) as streams:
        while True:  # until all are accepted before their time
            before, due = streams.metric(ACCEPTED), now() + 1_000 * seconds
            asked = {
                caller.send(device, SYNCHRONIZE, UTC, scheduled_at=due, priority=number % 10)
                for number, device in enumerate(DEVICES[:TOGETHER])
            }
            caller.flush()
            until(lambda before=before: streams.metric(ACCEPTED) == before + TOGETHER, "all accepted")  # type: ignore[misc]
            in_time = now() < due
            workers.await_answers(asked)
            if in_time:
                break
            seconds *= 2
    for partition in range(PARTITIONS):
        jobs = [job for job in workers.of(partition) if any(each.correlation_id in asked for each in job.commands)]
        assert len(jobs) > TOGETHER // PARTITIONS // 2
        priorities = [priority_of(job) for job in jobs]
        assert priorities == sorted(priorities, reverse=True)
        assert set(priorities) == set(range(10))
    assert {workers.statuses[name] for name in asked} == {Status.SUCCESSFUL}


def test_expiry_and_cancel_never_race_into_a_second_outcome(ground: Ground) -> None:
    caller, random = Caller(ground.kafka), Random(7)
    on_the_way: set[str] = set()  # commands that are cancelled while a worker has them
    asked: set[str] = set()

    def cancel(job: Job) -> None:
        for each in job.commands:
            if each.correlation_id in on_the_way:
                asked.add(caller.send(job.device_id, "Cancel", {"correlation_id": each.correlation_id}))

    with played(ground.kafka, DEVICES, Played(on_job=cancel)) as workers, role(ground.kafka, ground.folder):
        due = now() + 4_000
        for device in DEVICES[:RACES]:
            moments = [due + random.randrange(600) for _ in range(6)]
            asked.add(
                caller.send(device, SYNCHRONIZE, UTC, scheduled_at=due, expires_at=due + random.randrange(1, 400))
            )
            both = caller.send(device, SYNCHRONIZE, UTC, scheduled_at=moments[0], expires_at=moments[0] + 50)
            waiting = caller.send(device, SYNCHRONIZE, UTC, scheduled_at=moments[1])
            flying = caller.send(device, SYNCHRONIZE, UTC, scheduled_at=moments[2])
            on_the_way.add(flying)
            asked |= {both, waiting, flying}
            for name, moment in ((both, moments[3]), (waiting, moments[4]), (waiting, moments[5])):
                asked.add(caller.send(device, "Cancel", {"correlation_id": name}, scheduled_at=moment))
        caller.flush()
        workers.await_answers(set(asked))
        caller.flush()
        last = {caller.send(device, SYNCHRONIZE, UTC, scheduled_at=now() + 1_000) for device in DEVICES[:RACES]}
        caller.flush()
        workers.await_answers(asked | last)
    assert {name: count for name, count in workers.answers.items() if name in asked | last and count != 1} == {}
    assert workers.repeats.keys() & asked == set()
    kinds = Counter(workers.statuses[name] for name in asked)
    assert min(kinds[kind] for kind in (Status.SUCCESSFUL, Status.EXPIRED, Status.CANCELLED, Status.REJECTED)) > 0, (
        kinds
    )
    print(dict(kinds))


def now() -> int:
    return time_ns() // 1_000_000
