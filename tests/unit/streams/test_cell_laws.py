"""Laws of a cell: whatever it is asked and told, in whatever order, whoever owns it, no bound is ever exceeded, and
nobody is passed over by a worse claim.
"""

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Permit, PermitGranted
from streams.cell.decide import rank
from streams.cell.limits import NO_LIMIT, Bounds
from tests.unit.streams.test_cell import Cells, ask, bounds, give_back
from tests.unit.streams.world import NOON

DEVICES = st.integers(1, 8)
_asks = st.builds(
    ask,
    DEVICES,
    st.integers(1, 6),
    priority=st.integers(0, 9),
    age=st.integers(0, 5),
    connections=st.sampled_from((1, 1, 1, 3)),
)
_returns = st.builds(give_back, DEVICES, st.integers(1, 6))
_steps = st.one_of(
    st.lists(st.one_of(_asks, _asks, _returns), max_size=6),
    st.integers(-500, 3_000),  # time passes; clocks of owners differ
    st.just("takeover"),
    st.sampled_from(((1, 2), (3, 1), (2, NO_LIMIT), (NO_LIMIT, 2))),  # another owner, of another configuration
)


def connections(permits: Iterable[Permit], late: st.DataObject) -> list[int]:
    """When the connections of spaced permits are opened, as the meters see it: late by what is allowed."""
    seen = []
    for permit in permits:
        for time in permit.connects:
            seen.append(time + late.draw(st.integers(0, permit.within + 250)))
    return sorted(seen)


@given(st.lists(_steps, max_size=40))
def test_sessions_never_exceed_their_bound_and_the_first_in_rank_goes_first(steps: list[object]) -> None:
    cells, now = Cells(bounds(connects=2, sessions=3)), NOON
    for step in steps:
        before = cells.cell if cells.values else None
        told = []
        if isinstance(step, int):
            now += step
            told = cells.batch(now=now)
        elif isinstance(step, list):
            told = cells.batch(*step)
        elif step == "takeover":
            cells.takeover()
            continue
        else:
            continue
        if not cells.values:
            continue
        cell = cells.cell
        assert len(cell.open) <= 3
        names = [each.device_id for each in cell.waiting] + [each.device_id for each in cell.open]
        assert len(names) == len(set(names)), "a device waits and has a permit, or has two"
        if (
            isinstance(step, int) and before is not None
        ):  # nobody new: those who were granted rank before those who wait
            first = {each.device_id for each in told if isinstance(each, PermitGranted)}
            ranks = [rank(each) for each in before.waiting if each.device_id in first]
            assert not ranks or all(max(ranks) < rank(each) for each in cell.waiting)


@given(st.lists(_steps, max_size=40), st.data())
def test_no_second_sees_more_connections_than_the_bound(steps: list[object], late: st.DataObject) -> None:
    """However late workers are within what is allowed, and whichever way clocks differ."""
    cells, now = Cells(bounds(connects=2)), NOON
    permits = []
    for step in steps:
        if isinstance(step, int):
            now += step
            told = cells.batch(now=now)
        elif isinstance(step, list):
            told = cells.batch(*step)
        else:
            cells.takeover()
            continue
        permits += [each.permit for each in told if isinstance(each, PermitGranted)]
    seen = connections(permits, late)
    assert all(third - first >= 1_000 for first, third in zip(seen, seen[2:], strict=False))


@given(st.lists(_steps, max_size=40))
def test_who_waits_is_granted_when_the_others_have_gone(steps: list[object]) -> None:
    cells, now = Cells(bounds(connects=1, sessions=1)), NOON
    for step in steps:
        if isinstance(step, int):
            now += step
            cells.batch(now=now)
        elif isinstance(step, list):
            cells.batch(*step)
        elif isinstance(step, tuple):
            default = Bounds(connects=step[0], sessions=step[1])
            cells.limits = replace(cells.limits, default=default)
            cells.takeover()
    for _ in range(40):
        if not cells.values or not cells.cell.busy:
            break
        now += 120_000
        cells.batch(now=now)
    else:
        raise AssertionError("somebody waits for ever")
