"""A disk that is full at the broker. The judge says whether the promises held."""

import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Final

import pytest

from infra.embedded.supervisor import Stack
from tests.e2e.evidence import Evidence
from tests.e2e.judge import hold
from tests.e2e.load import loading
from tests.e2e.siege import it_was_hard
from tests.e2e.test_kills import besieged, part
from tests.e2e.test_pauses import under_way

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]

ROOM_BYTES: Final = 16 * 1024  # that the longest file of the broker may still grow
FULL_SECONDS: Final = 60.0


@contextmanager
def full(stack: Stack) -> Iterator[dict[str, set[str]]]:
    """No file of the broker may grow beyond a size that the next waves reach, whatever process it is by then: what it
    writes is cut off in the middle of a record. Gives the states its parts are seen in meanwhile.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    size = max(file.stat().st_size for file in (stack.kafka.folder / "data").rglob("*.log"))
    ending, limited = Event(), set[int]()

    def press() -> None:
        while not ending.wait(0.05):
            for each in stack.status()["parts"]:
                seen[each["name"]].add(each["state"])
            broker = part(stack, "kafka")["pid"]
            if broker and broker not in limited:
                limit(broker, size + ROOM_BYTES)
                limited.add(broker)

    thread = Thread(target=press)
    thread.start()
    try:
        yield seen
    finally:
        ending.set()
        thread.join()
        limit(part(stack, "kafka")["pid"], resource.RLIM_INFINITY)


def limit(process_id: int, size: int) -> None:
    """The longest a file of a process may be, in bytes."""
    try:
        _, hard = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
        resource.prlimit(process_id, resource.RLIMIT_FSIZE, (size, hard))
    except ProcessLookupError:  # it has just ended
        pass


def test_a_full_disk_at_the_broker(tmp_path: Path) -> None:
    """For a minute the broker cannot store what it is sent. The callers are told so, and nothing is lost."""
    with besieged(tmp_path, 100, 1) as (stack, world), loading(world) as load:
        load.register()
        under_way(load, 300)
        died = part(stack, "kafka")["restarts"]
        refused = []
        with full(stack) as seen:
            end = time.monotonic() + FULL_SECONDS
            while time.monotonic() < end or part(stack, "kafka")["restarts"] == died:
                if not load.offer(wave := load.compose(50)):
                    refused.append(wave)
                time.sleep(0.5)
        died = part(stack, "kafka")["restarts"] - died
        print(f"the broker died {died} times, {len(refused)} waves were refused; states seen: {dict(seen)}")
        for wave in refused:
            load.send(wave)
        load.wave(100)
        load.settle(600)
        assert died
        assert refused
        evidence = Evidence(tmp_path, world.kafka, world.host, world.port)
        hold(evidence)
        it_was_hard(evidence)
