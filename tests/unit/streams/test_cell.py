"""Who is granted a permit in a radio cell, and when: tables of decisions (reference operations-managing 2.8)."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from schemas import codec, headers, topics
from schemas.partition import partition_of
from schemas.records import Permit, PermitAsked, PermitGranted, PermitRefused, PermitReturned, Tick
from streams.cell.keeper import Partition
from streams.cell.limits import NO_LIMIT, Bounds, CellLimits
from streams.cell.state import Cell, decode_cell
from streams.keeper import Outgoing, Received
from tests.unit.streams.world import MINUTE, NOON

CELL = "21/7"
LEAD = CellLimits().lead


def bounds(connects: int = NO_LIMIT, sessions: int = NO_LIMIT, **changes: Any) -> CellLimits:
    return CellLimits(default=Bounds(connects=connects, sessions=sessions), **changes)


def ask(device: int, number: int = 1, *, priority: int = 4, age: int = 0, connections: int = 1) -> PermitAsked:
    return PermitAsked(CELL, f"device {device}", number, priority, NOON - age, connections, MINUTE)


def give_back(device: int, number: int = 1) -> PermitReturned:
    return PermitReturned(CELL, f"device {device}", number)


@dataclass
class Cells:
    """One partition of cells: commits every batch at once."""

    limits: CellLimits
    values: dict[bytes, bytes] = field(default_factory=dict)
    partitions: int = 1

    def __post_init__(self) -> None:
        self.takeover()
        self.batch(now=NOON)

    def takeover(self) -> None:
        """A new owner: all it knows is the table."""
        self.keeper = Partition(0, self.values, lambda key: partition_of(key, self.partitions), self.limits)

    def raw(self, *inputs: Received) -> list[Outgoing]:
        for received in inputs:
            self.keeper.receive(received)
        records, changes = self.keeper.settle()
        for key, value in changes.items():
            assert value is not None
            self.values[key] = value
        return records

    def batch(self, *said: PermitAsked | PermitReturned, now: int | None = None) -> list[PermitGranted | PermitRefused]:
        """What devices are told when this is decided as one batch; with `now` a tick is in it."""
        inputs = [
            Received(topics.PERMIT_REQUESTS.name, 0, 0, NOON, each.cell_id.encode(), codec.encode(each), ())
            for each in said
        ]
        if now is not None:
            inputs.append(Received(topics.CELL_TICKS.name, 0, 0, now, b"", codec.encode(Tick(now, 0, 0)), ()))
        return [codec.decode(record.value) for record in self.raw(*inputs)]

    @property
    def cell(self) -> Cell:
        return decode_cell(self.values[CELL.encode()])


def granted(told: list[PermitGranted | PermitRefused]) -> list[str]:
    return [each.device_id for each in told if isinstance(each, PermitGranted)]


def test_a_cell_without_bounds_grants_at_once() -> None:
    told = Cells(bounds()).batch(ask(1), ask(2))
    permit = Permit(CELL, 1, (NOON,), 60_000, NOON + 60_000 + MINUTE)
    assert told == [PermitGranted("device 1", permit), PermitGranted("device 2", permit)]


def test_the_highest_priority_goes_first_then_the_oldest() -> None:
    cells = Cells(bounds(sessions=1))
    assert granted(cells.batch(ask(1), ask(2, age=5), ask(3, priority=9), ask(4, priority=0, age=99))) == ["device 3"]
    assert granted(cells.batch(give_back(3))) == ["device 2"]
    assert granted(cells.batch(give_back(2))) == ["device 1"]
    assert granted(cells.batch(give_back(1))) == ["device 4"]


def test_a_bound_of_zero_grants_nothing_and_loses_nobody() -> None:
    for closed in (bounds(sessions=0), bounds(connects=0)):
        cells = Cells(closed)
        assert cells.batch(ask(1), now=NOON + MINUTE) == []
        cells.limits = bounds()
        cells.takeover()
        assert granted(cells.batch(now=NOON + 2 * MINUTE)) == ["device 1"]


def test_connections_have_times_of_their_own_no_more_of_which_than_allowed_touch_one_second() -> None:
    cells = Cells(bounds(connects=2, within=250, spread=250))
    told = cells.batch(*[ask(number) for number in range(1, 5)])
    assert [each.permit.connects for each in told if isinstance(each, PermitGranted)] == [
        (NOON + LEAD,),
        (NOON + LEAD + 750,),
        (NOON + LEAD + 1_500,),
    ]
    assert {each.permit.within for each in told if isinstance(each, PermitGranted)} == {250}


def test_times_are_not_given_away_far_ahead() -> None:
    """So that who comes later with a higher priority waits two seconds, not for all that were there before."""
    cells = Cells(bounds(connects=1, within=500, spread=500))
    assert granted(cells.batch(*[ask(number, age=number) for number in range(1, 9)])) == ["device 8", "device 7"]
    assert granted(cells.batch(ask(9, priority=9), now=NOON + 1_000)) == []
    assert granted(cells.batch(now=NOON + 2_000)) == ["device 9"]


def test_a_session_that_may_have_to_connect_again_gets_a_time_for_each_and_others_go_between() -> None:
    cells = Cells(bounds(connects=1, within=250, spread=250))
    first, second = cells.batch(ask(1, age=2, connections=3), ask(2))
    assert isinstance(first, PermitGranted) and isinstance(second, PermitGranted)
    start = NOON + LEAD
    assert first.permit.connects == (start, start + 10_000, start + 20_000)
    assert first.permit.until == start + 20_000 + 250 + MINUTE
    assert second.permit.connects == (start + 1_500,)
    between = cells.batch(ask(3), now=NOON + 10_500)
    assert [each.permit.connects for each in between if isinstance(each, PermitGranted)] == [(start + 11_500,)]


def test_a_new_request_takes_the_place_of_the_devices_earlier_one() -> None:
    cells = Cells(bounds(sessions=1))
    cells.batch(ask(1), ask(2), ask(3))
    cells.batch(ask(3, number=2, priority=9))
    assert len(cells.cell.waiting) == 2
    assert granted(cells.batch(give_back(1))) == ["device 3"]
    assert granted(cells.batch(ask(3, number=3))) == ["device 2"], "who asks again has no session any more"


def test_what_is_late_or_was_said_before_changes_nothing() -> None:
    cells = Cells(bounds(sessions=1))
    cells.batch(ask(1), ask(2, number=7))
    before = cells.cell
    for said in (ask(1), ask(2, number=7), ask(2, number=6), give_back(1, 9), give_back(2, 6), give_back(3)):
        assert cells.batch(said) == []
        assert cells.cell == before
    assert cells.keeper.counts.late == 6


def test_who_does_not_want_to_wait_any_more_is_passed_over() -> None:
    cells = Cells(bounds(sessions=1))
    cells.batch(ask(1), ask(2, age=1), ask(3))
    assert granted(cells.batch(give_back(1))) == []
    assert granted(cells.batch(give_back(3), give_back(2))) == []
    assert not cells.cell.busy


def test_a_permit_that_nobody_gives_back_ends_by_itself() -> None:
    cells = Cells(bounds(sessions=1))
    (told,) = cells.batch(ask(1), ask(2))
    assert isinstance(told, PermitGranted)
    assert granted(cells.batch(now=told.permit.until - 1)) == []
    assert granted(cells.batch(now=told.permit.until)) == ["device 2"]
    assert cells.batch(give_back(1)) == []
    assert cells.keeper.counts.expired == 1


def test_without_room_the_best_claims_wait() -> None:
    cells = Cells(bounds(sessions=0, waiting=2))
    cells.batch(ask(1), ask(2, age=1))
    assert cells.batch(ask(3)) == [PermitRefused("device 3", CELL, 1)]
    assert cells.batch(ask(4, priority=9)) == [PermitRefused("device 1", CELL, 1)]
    assert cells.batch(ask(2, number=2, priority=0)) == [], "it has its place"
    assert [each.device_id for each in cells.cell.waiting] == ["device 4", "device 2"]


def test_a_cell_may_have_bounds_of_its_own() -> None:
    limits = replace(bounds(), overrides={CELL: Bounds(connects=NO_LIMIT, sessions=1)})
    cells = Cells(limits)
    other = replace(ask(3), cell_id="other")
    told = cells.batch(ask(1), ask(2), other, replace(other, device_id="device 4"))
    assert granted(told) == ["device 1", "device 3", "device 4"]


def test_nothing_is_granted_before_the_first_tick_of_an_owner() -> None:
    cells = Cells(bounds())
    cells.keeper = Partition(0, cells.values, lambda _: 0, cells.limits, since=NOON + MINUTE)
    assert cells.batch(ask(1), now=NOON + 1) == [], "a tick left over from a former owner"
    assert granted(cells.batch(now=NOON + MINUTE)) == ["device 1"]


def test_times_do_not_meet_those_that_a_former_owner_gave() -> None:
    cells = Cells(bounds(connects=1, within=250, spread=250))
    (before,) = cells.batch(ask(1))
    cells.takeover()
    (after,) = cells.batch(ask(2), now=NOON - 100)
    assert isinstance(before, PermitGranted) and isinstance(after, PermitGranted)
    assert after.permit.connects[0] - before.permit.connects[0] == 1_500


@pytest.mark.parametrize(
    ("topic", "key", "value", "reason"),
    [
        (topics.PERMIT_REQUESTS, b"21/7", b"poison", "single-object"),
        (topics.PERMIT_REQUESTS, b"21/7", codec.encode(Tick(NOON, 0, 0)), "neither PermitAsked nor PermitReturned"),
        (topics.PERMIT_REQUESTS, b"21/8", codec.encode(ask(1)), "not the key"),
        (topics.CELL_TICKS, b"", b"", "no value"),
        (topics.CELL_TICKS, b"", codec.encode(ask(1)), "not a Tick"),
        (topics.COMMANDS, b"21/7", codec.encode(ask(1)), "no record of"),
    ],
)
def test_what_cannot_be_used_is_set_aside(topic: topics.Topic, key: bytes, value: bytes, reason: str) -> None:
    (record,) = Cells(bounds()).raw(Received(topic.name, 0, 7, NOON, key, value, ()))
    letter = headers.dead_letter(record.headers)
    assert (record.topic, record.value, letter.role) == (topics.DEAD_LETTERS.name, value, "streams/cell")
    assert reason in letter.reason


def test_a_request_in_the_wrong_partition_is_set_aside() -> None:
    cells = Cells(bounds(), partitions=64)
    asked = ask(1)
    assert partition_of(CELL.encode(), 64) != 0
    (record,) = cells.raw(Received(topics.PERMIT_REQUESTS.name, 0, 7, NOON, CELL.encode(), codec.encode(asked), ()))
    assert record.topic == topics.DEAD_LETTERS.name


@pytest.mark.parametrize("wrong", [{"connects": -2}, {"connects": 1_001}, {"sessions": -2}])
def test_bounds_that_make_no_sense_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Bounds(**wrong)


def test_a_request_tells_the_time_when_ticks_are_late() -> None:
    cells = Cells(bounds(connects=1))
    asked = ask(1)
    late = Received(topics.PERMIT_REQUESTS.name, 0, 0, NOON + 7_000, CELL.encode(), codec.encode(asked), ())
    (told,) = [codec.decode(record.value) for record in cells.raw(late)]
    assert told.permit.connects == (NOON + 7_000 + LEAD,)


def test_permits_that_lapse_make_the_next_be_given_further_ahead_until_they_arrive_in_time() -> None:
    cells = Cells(bounds(connects=100, within=0, spread=0))
    leads = []
    for number, lapsed in enumerate([True, True, True, False, False], start=1):
        now = NOON + number * MINUTE
        (told,) = cells.batch(ask(1, number), now=now)
        assert isinstance(told, PermitGranted)
        leads.append(told.permit.connects[0] - now - LEAD)
        cells.batch(replace(give_back(1, number), lapsed=lapsed))
    assert leads == [0, 1_000, 2_000, 3_000, 2_625]
