"""Laws of devices and their radio cell together, with workers between that die, sleep and lie about their clock: no
order of commands, messages seen twice, results lost, crashes and takeovers lets a cell carry more than it may, gives a
command two outcomes, or leaves a permit out for ever.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.records import CommandEnded, Ended, Fault, Job
from streams.cell import evolve
from streams.cell.events import PermitGiven
from streams.cell.limits import CellLimits
from streams.cell.state import Cell, decode_cell
from streams.device import permits
from streams.device.events import PermitTaken
from streams.device.limits import Limits
from streams.keeper import Outgoing, Received
from tests.unit.streams.test_cell import CELL, Cells, bounds
from tests.unit.streams.test_permits import celled
from tests.unit.streams.world import NOON, World, command, ended, jobs, on, raw, responses, tick, uid

SESSIONS, CONNECTS, SKEW = 2, 2, 100
DEVICES = [f"TEST10240000{number:05}" for number in range(4)]
LIMITS = Limits(connect=5_000, operation_seconds=5, grace=2_000, retry_delay=1_000, slots=3, silent_slots=2)
CUT = Fault(226, "CONNECTION_LOST", "METERLOG", "no answer came")


def narrow(**changes: Any) -> CellLimits:
    """The bounds of the cell."""
    return bounds(
        connects=CONNECTS, sessions=SESSIONS, within=3_000, spread=2 * SKEW, lead=500, reconnect=1_000, **changes
    )


@dataclass
class Work:
    """A job at a worker whose clock is off by `skew`."""

    job: Job
    skew: int
    connected: bool = False


@dataclass
class Street:
    """Four meters in one cell, the devices' and the cell's decisions, and what is on its way between them."""

    now: int = NOON
    devices: World = field(default_factory=lambda: World(LIMITS).holding(*(celled(name) for name in DEVICES)))
    cells: Cells = field(default_factory=lambda: Cells(narrow()))
    to_cell: list[Received] = field(default_factory=list)
    to_devices: list[Received] = field(default_factory=list)
    seen: list[Received] = field(default_factory=list)  # by the devices: may be seen again
    heard: list[Received] = field(default_factory=list)  # by the cell
    work: list[Work] = field(default_factory=list)
    connects: list[int] = field(default_factory=list)
    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    # --- what may happen

    def ask(self, device: int, priority: int, within: int | None) -> None:
        self.asked += 1
        expires_at = None if within is None else self.now + within
        name = DEVICES[device]
        self.to_devices.append(
            command(self.asked, device_id=name, at=self.now, priority=priority, expires_at=expires_at)
        )

    def cancel(self, device: int, which: int) -> None:
        self.asked += 1
        request = {"correlation_id": uid(1 + which % self.asked)}
        cancel = command(self.asked, device_id=DEVICES[device], operation="Cancel", request=request, at=self.now)
        self.to_devices.append(cancel)

    def decide(self, most: int, again: bool, crash: str) -> None:
        """A batch of the devices' streams, a tick in it. `crash`: before the commit, after it, or not."""
        batch = self.to_devices[:most]
        if crash == "before":
            self.devices.takeover()
            return
        repeats = [record for record in self.seen[-2:] if record.topic == topics.PERMITS.name] if again else []
        ticked = tick(self.now, results_end=self.devices.offsets[topics.JOB_RESULTS.name])
        sent = self.devices.batch(*batch, *repeats, ticked)
        self.to_devices = self.to_devices[most:]
        self.seen += batch
        self.to_cell += [self._record(each) for each in on(topics.PERMIT_REQUESTS, sent)]
        self.work += [Work(job, SKEW * ((job.number + len(self.work)) % 3 - 1)) for job in jobs(sent)]
        self.outcomes.update(header.correlation_id for header in responses(sent))
        assert not on(topics.DEAD_LETTERS, sent)
        if crash == "after":
            self.devices.takeover()

    def grant(self, most: int, again: bool, crash: str) -> None:
        """A batch of the cell's streams."""
        if crash == "before":
            self.cells.takeover()
            return
        batch = self.to_cell[:most]
        ticked = replace(tick(self.now), topic=topics.CELL_TICKS.name)
        sent = self.cells.raw(*batch, *(self.heard[-2:] if again else ()), ticked)
        self.to_cell = self.to_cell[most:]
        self.heard += batch
        self.to_devices += [self._record(each) for each in sent]
        if crash == "after":
            self.cells.takeover()

    def carry(self, which: int, fate: str) -> None:
        """A worker goes on: connects when it may, and then ends; or it dies."""
        if not self.work:
            return
        work = self.work[which % len(self.work)]
        if fate == "dies":
            self.work.remove(work)
            return
        permit, clock = work.job.permit, self.now + work.skew
        assert permit is not None and permit.cell_id == CELL
        if not work.connected:
            if clock < permit.connects[0]:
                return
            if clock > permit.connects[0] + permit.within:
                self._tell(work, Ended.NOT_STARTED, fate)
                return
            work.connected = True
            self.connects.append(self.now)
            return
        self._tell(work, Ended.RETRIABLE if fate == "fails" else Ended.SUCCESSFUL, fate)

    def _tell(self, work: Work, how: Ended, fate: str) -> None:
        self.work.remove(work)
        told = [
            CommandEnded(each.correlation_id, how, None if how is Ended.SUCCESSFUL else CUT, result=b"")
            for each in work.job.commands
        ]
        if fate != "lost":
            lapsed = not work.connected
            self.to_devices.append(ended(work.job, *told, at=self.now, reached=work.connected, lapsed=lapsed))

    # --- what must hold

    def check(self) -> None:
        # past its deadline no frame leaves and the worker hangs up, by its own clock
        open_ = [work for work in self.work if work.connected and self.now + work.skew <= work.job.deadline]
        assert len(open_) <= SESSIONS, "more sessions than the cell carries"
        times = sorted(self.connects)
        for first, beyond in zip(times, times[CONNECTS:], strict=False):
            assert beyond - first >= 1_000, "more connections in a second than the cell carries"
        assert all(count == 1 for count in self.outcomes.values()), "a second outcome"

    def rest(self) -> None:
        """Without faults, until nothing is left to do."""
        for _ in range(2_000):
            if self.resting:
                break
            self.grant(99, False, "")
            self.decide(99, False, "")
            for work in list(self.work):
                self.carry(self.work.index(work), "well")
                self.check()
            self.now += 500
        assert self.resting, "somebody waits for ever"
        assert sum(self.outcomes.values()) == self.asked, "a command without an outcome"
        assert not self.cell.busy, "a permit that never came back"

    @property
    def resting(self) -> bool:
        idle = all(device.idle for device in self.devices.devices().values())
        return idle and not (self.to_devices or self.to_cell or self.work) and not self.cell.busy

    @property
    def cell(self) -> Cell:
        value = self.cells.values.get(CELL.encode())
        return Cell() if value is None else decode_cell(value)

    def _record(self, sent: Outgoing) -> Received:
        return raw(sent.value, key=sent.key, at=self.now, topic=sent.topic)


def play(steps: list[tuple[Any, ...]]) -> None:
    street = Street()
    for what, *given_ in steps:
        if what == "pass":
            street.now += given_[0]
        else:
            getattr(street, what)(*given_)
        street.check()
    street.rest()


_crash = st.sampled_from(("", "", "", "before", "after"))
_fate = st.sampled_from(("well", "well", "well", "fails", "lost", "dies"))
_batch = (st.integers(0, 9), st.booleans(), _crash)
_within = st.sampled_from((None, None, 3_000, 20_000))
_steps = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 3), st.integers(0, 9), _within),
    st.tuples(st.just("cancel"), st.integers(0, 3), st.integers(0, 9)),
    *[st.tuples(st.just(role), *_batch) for role in ("decide", "decide", "grant", "grant")],
    *[st.tuples(st.just("carry"), st.integers(0, 9), _fate)] * 2,
    st.tuples(st.just("pass"), st.sampled_from((100, 400, 1_000, 1_000, 5_000, 30_000))),
)


@hypothesis.settings(deadline=None)
@given(st.lists(_steps, min_size=10, max_size=60))
def test_no_order_of_anything_breaks_a_bound_or_loses_a_command(steps: list[tuple[Any, ...]]) -> None:
    play(steps)


# --- the law sees what it looks for


def story(seed: int) -> list[tuple[Any, ...]]:
    """Everybody asks, and all goes on without a fault but for workers."""
    random = Random(seed)  # noqa: S311 - a story, no secret
    steps: list[tuple[Any, ...]] = [("ask", device, 4, None) for device in (0, 1, 2, 3, 0, 1, 2, 3)]
    for _ in range(60):
        steps += [("decide", 9, False, ""), ("grant", 9, False, "")]
        steps += [("carry", random.randrange(9), random.choice(("well", "well", "fails", "dies"))) for _ in range(4)]
        steps.append(("pass", random.choice((100, 200, 500))))
    return steps


def give_times_without_distance(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CellLimits, "spacing", lambda *_: 1)


def forget_who_has_a_permit(patch: pytest.MonkeyPatch) -> None:
    real = evolve.evolve

    def evolved(cell: Cell, event: Any) -> Cell:
        after = real(cell, event)
        return replace(after, open=()) if isinstance(event, PermitGiven) else after

    patch.setattr("streams.cell.keeper.evolve", evolved)


def give_permits_back_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        "streams.device.decide.granted", lambda device, permit: [PermitTaken(permit), *permits.dropped(device)]
    )


@pytest.mark.parametrize(
    "plant",
    [
        give_times_without_distance,
        forget_who_has_a_permit,
        give_permits_back_too_early,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(20):
            play(story(seed))


def test_the_stories_of_planted_faults_are_well_without_them() -> None:
    play(story(0))
