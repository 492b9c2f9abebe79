"""Registers never fall, days differ, and the same seed is the same household."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.simulator.curves import DAY, EPOCH, HOUR, QUARTER, Curve, household, is_night_rate

START = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp())
SEEDS = st.integers(0, (1 << 60) - 1)
INSTANTS = st.integers(EPOCH, EPOCH + 25 * 365 * DAY)
MARCH, OCTOBER = (int(datetime(2022, *day, tzinfo=UTC).timestamp()) for day in ((3, 27), (10, 30)))


@given(SEEDS, INSTANTS, st.lists(st.integers(0, 40 * DAY), min_size=2, max_size=20))
def test_a_register_never_falls(seed: int, start: int, steps: list[int]) -> None:
    seconds = sorted(start + step for step in steps)
    house = household(seed, sun=True)
    for curve in (house.import_rate1, house.import_rate2, house.export_rate1, house.export_rate2, house.gas(1)):
        assert curve is not None
        values = [curve.at(second) for second in seconds]
        assert values == sorted(values)
        assert values[0] >= 0


@given(SEEDS, INSTANTS, st.integers(1, 200), st.sampled_from([QUARTER, HOUR, DAY, 31 * DAY]))
def test_a_series_is_what_single_instants_say(seed: int, start: int, count: int, step: int) -> None:
    curve = household(seed).import_rate2
    seconds = [start + number * step for number in range(count)]
    assert curve.series(seconds) == [curve.at(second) for second in seconds]


@pytest.mark.parametrize("day", [MARCH, OCTOBER], ids=["march", "october"])
def test_nothing_jumps_where_clocks_change(day: int) -> None:
    """Every quarter of an hour of the night is used, and none takes more than a busy one."""
    house = household(7, sun=False)
    seconds = range(day - 6 * HOUR, day + 6 * HOUR, QUARTER)
    values = house.series((0, 1), list(seconds))
    used = [after - before for before, after in zip(values, values[1:], strict=False)]
    assert min(used) >= 0
    assert 0 < sum(used) < 20_000  # Wh in half a day
    assert max(used) < 2_500


def test_a_seed_is_a_household() -> None:
    assert household(5) == household(5)
    assert household(5).energy(START) == household(5).energy(START)
    others = {household(seed).energy(START) for seed in range(50)}
    assert len(others) == 50


def test_a_year_uses_what_it_should() -> None:
    for seed in range(20):
        house = household(seed, sun=False)
        year = sum(house.energy(START + 365 * DAY)) - sum(house.energy(START))
        assert 1_400_000 < year < 6_000_000


def test_only_one_rate_runs_at_a_time() -> None:
    house = household(11, sun=False)
    monday = int(datetime(2022, 1, 10, tzinfo=UTC).timestamp())
    for quarter in range(96):
        second = monday + quarter * QUARTER
        low = house.import_rate1.at(second + QUARTER) - house.import_rate1.at(second)
        normal = house.import_rate2.at(second + QUARTER) - house.import_rate2.at(second)
        hour = quarter // 4 + 1  # standard time of Amsterdam
        night = is_night_rate(hour // 24, hour % 24)
        assert (normal if night else low) <= 1, hour  # a register shows whole watt-hours: one may be left from before
        assert (low if night else normal) > 1, hour


def test_winter_is_for_heating_and_summer_for_the_sun() -> None:
    house = household(3, sun=True)
    january, july = (int(datetime(2022, month, 10, tzinfo=UTC).timestamp()) for month in (1, 7))

    def week(curve: Curve | None, start: int) -> int:
        assert curve is not None
        return curve.at(start + 7 * DAY) - curve.at(start)

    assert week(house.gas(1), january) > 3 * week(house.gas(1), july)
    assert week(house.export_rate2, july) > 3 * week(house.export_rate2, january)
    assert household(3, sun=False).export_rate1 is None
