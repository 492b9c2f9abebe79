"""A replay can start from a state in the log, and logs of earlier days stay readable."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas import _avsc, codec, topics
from streams.device.events import DeviceEvents, Snapshotted
from streams.device.evolve import replay
from streams.device.limits import Limits
from streams.device.snapshot import carried, state_in, without_state
from streams.device.verify import Verdict, verify
from streams.device.wire import decode_device, decode_events, encode_device, encode_events
from tests.golden.log import FOLDER
from tests.unit.streams.world import DEVICE, NOON, World, command, ended, jobs, on, tick

KEY = DEVICE.encode()
Log = list[tuple[bytes, bytes]]


def lived(versions: int, every: int = 8) -> tuple[Log, dict[bytes, bytes]]:
    world = World(Limits(snapshot_every=every))
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(command(1, operation="AddDevice")))
    world.batch(ended(job))
    number = 1
    while world.device().version < versions:
        number += 1
        (job,) = jobs(world.batch(command(number)))
        world.batch(ended(job))
    return [(record.key, record.value) for record in on(topics.DEVICE_EVENTS, world.sent)], world.values


def test_every_so_many_versions_the_log_holds_the_state_whole() -> None:
    log, table = lived(30)
    found = [decode_events(value) for _, value in log]
    assert [each.version for each in found if carried(each)] == [8, 16, 24]
    for each in found:
        state = state_in(each)
        if state is not None:
            assert state == replay(found[: each.version]) and state.version == each.version
    assert Limits().snapshot_every == 256


@pytest.mark.parametrize("first", range(30))
def test_a_log_cut_anywhere_is_complete_from_its_next_snapshot_on(first: int) -> None:
    log, table = lived(30)
    verdict = verify(log[first:], table)
    if first < 24:  # the last snapshot is still there
        assert verdict.agrees and verdict.devices == 1
        assert verdict.headless == (-(first + 1) % 8 if first else 0)
        assert encode_device(replay(decode_events(value) for _, value in log[first:])) == table[KEY]
    else:
        assert verdict.counts == {"gaps": 1} and "no snapshot follows" in verdict.examples["gaps"][0]


def lie(decision: DeviceEvents) -> DeviceEvents:
    state = state_in(decision)
    assert state is not None
    told = Snapshotted(encode_device(replace(state, counter=7)))
    return replace(decision, events=(*without_state(decision).events, told))


def spoil(decision: DeviceEvents) -> DeviceEvents:
    return replace(decision, events=(*without_state(decision).events, Snapshotted(b"rubbish")))


@pytest.mark.parametrize(("tamper", "says"), [(lie, "not what its events lead to"), (spoil, "cannot be read")])
def test_a_state_that_is_not_what_happened_is_found(tamper: Callable[[DeviceEvents], DeviceEvents], says: str) -> None:
    log, table = lived(30)
    log[15] = (KEY, encode_events(tamper(decode_events(log[15][1]))))
    verdict: Verdict = verify(log, table)
    assert says in verdict.examples["snapshots"][0]


def test_a_gap_is_a_gap_also_before_a_snapshot() -> None:
    log, table = lived(30)
    del log[14]
    assert verify(log, table).counts == {"gaps": 1}


# --- logs of earlier days

RECORDINGS = sorted(path for path in FOLDER.iterdir() if path.is_dir())


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.name)
def recording(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Its schemas are read as those of a release."""
    monkeypatch.setattr(_avsc, "released_folder", lambda: request.param)
    codec._registry.cache_clear()
    codec._encoders.clear()
    yield request.param
    codec._registry.cache_clear()
    codec._encoders.clear()


def lines(path: Path) -> Log:
    return [(bytes.fromhex(key), bytes.fromhex(value)) for key, value in map(str.split, path.read_text().splitlines())]


def test_a_recorded_log_still_leads_to_the_table_it_led_to(recording: Path) -> None:
    """When this fails, what lies on topics can no longer be read: see `tests/golden/log.py` before touching it."""
    decisions = [decode_events(value) for _, value in lines(recording / "log.txt")]
    for key, value in lines(recording / "table.txt"):
        own = [each for each in decisions if each.device_id.encode() == key]
        assert replay(own) == decode_device(value)
        assert replay(without_state(each) for each in own) == decode_device(value)
        assert sum(carried(each) is not None for each in own) >= 2
    assert len({type(event) for each in decisions for event in each.events}) >= 15
