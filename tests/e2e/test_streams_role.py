"""The streams role as a process against a real broker, its workers played by the test: killed, it still answers all.

A third of the commands comes from a producer with librdkafka's own partitioner, so many of them lie in a partition
their key does not belong to. Afterwards the log makes the table, and no counter or job number was given twice.
"""

import time
from pathlib import Path
from uuid import uuid4

import pytest

from infra.topics import apply
from schemas.records import Job, Status
from streams.device.verify import read
from tests.e2e.played import played, role, send
from tests.unit.streams.world import ADD_DEVICE

DEVICES, EACH, PARTITIONS = 60, 10, 4


def test_every_command_is_answered_once_although_the_role_is_killed(kafka: str, tmp_path: Path) -> None:
    apply(kafka, partitions=PARTITIONS)
    run = uuid4().hex[:6].upper()
    devices = [f"STRM{run}{number:08}" for number in range(DEVICES)]
    asked: set[str] = set()
    with played(kafka, devices) as seen, role(kafka, tmp_path) as streams:
        asked |= send(kafka, devices, "AddDevice", ADD_DEVICE)
        seen.await_answers(asked)
        for _ in range(EACH // 2):
            asked |= send(kafka, devices, "SynchronizeTime", {"time_zone": "UTC"})
        streams.kill()
        asked |= send(kafka, devices, "SynchronizeTime", {"time_zone": "UTC"}, "consistent_random")
        streams.start()
        for _ in range(EACH // 2 - 1):
            asked |= send(kafka, devices, "SynchronizeTime", {"time_zone": "UTC"}, "consistent_random")
        seen.await_answers(asked)
        streams.wait_ready()
        time.sleep(1.0)  # a second answer would come now
        assert 'meterlog_shell_received_total{topic="metering.commands.v1"}' in streams.metrics()
    assert {name: count for name, count in (seen.answers + seen.repeats).items() if count != 1} == {}
    assert set(seen.statuses.values()) == {Status.SUCCESSFUL}
    assert seen.answers.keys() == asked
    counters_rise([job for _, job in seen.jobs])
    verdict = read(kafka)
    assert verdict.agrees, verdict.examples
    assert verdict.devices >= DEVICES


def counters_rise(jobs: list[Job]) -> None:
    last: dict[str, tuple[int, int]] = {}
    for job in sorted(jobs, key=lambda job: (job.device_id, job.number)):
        number, counter = last.get(job.device_id, (0, 0))
        assert job.number == number + 1
        assert job.counter_from > counter
        last[job.device_id] = job.number, max(counter, job.counter_to)


pytestmark = pytest.mark.timeout(300)
