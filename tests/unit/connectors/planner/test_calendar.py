"""Days, months and windows of a zone, through the nights of daylight saving."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.planner.calendar import DAY, HOUR, MINUTE, Period, Unit, Window, closing, opening, periods, slot

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ZONES = ["UTC", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"]
moments = st.integers(946_684_800_000 + 400 * DAY, 4_000_000_000_000)
zones = st.sampled_from([ZoneInfo(name) for name in ZONES])
windows = st.builds(Window, st.integers(0, 1_439), st.integers(0, 1_439))


def at(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=AMSTERDAM)).astimezone(UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)]
)
def test_a_day_has_the_hours_it_has(day: str, hours: int) -> None:
    found = next(periods(Unit.DAY, AMSTERDAM, at(day), at(f"{day}T12:00")))
    assert found == Period(at(day), at(day) + hours * HOUR)


def test_months_are_calendar_months() -> None:
    found = list(periods(Unit.MONTH, AMSTERDAM, at("2026-01-15"), at("2026-03-02")))
    assert found == [
        Period(at("2026-03-01"), at("2026-04-01")),
        Period(at("2026-02-01"), at("2026-03-01")),
        Period(at("2026-01-01"), at("2026-02-01")),
    ]


@given(zones, moments, st.integers(0, 60), st.sampled_from(Unit))
def test_periods_join_without_gap_newest_first(zone: ZoneInfo, now: int, days: int, unit: Unit) -> None:
    found = list(periods(unit, zone, now - days * DAY, now))
    for later, earlier in zip(found, found[1:], strict=False):
        assert earlier.end == later.start
    for period in found:
        assert period.start < now and period.end > now - days * DAY
        assert 22 * HOUR <= period.end - period.start <= 32 * DAY
    if found:
        assert found[0].end >= now and found[-1].start <= now - days * DAY


@given(zones, windows, moments, st.text(min_size=1, max_size=20))
def test_a_slot_is_in_its_window_once_a_day_and_never_in_the_past(
    zone: ZoneInfo, window: Window, now: int, device: str
) -> None:
    found = slot(window, zone, "plan", device, now)
    assert now <= found <= now + 2 * DAY + 2 * HOUR
    assert closing(window, zone, found) is not None
    assert slot(window, zone, "plan", device, found) == found
    following = slot(window, zone, "plan", device, found + 1)
    assert 20 * HOUR <= following - found <= 28 * HOUR


@given(st.integers(0, 100))
def test_slots_are_spread_evenly(seed: int) -> None:
    window, now = Window(60, 300), at("2026-11-20")
    begin, end = opening(window, AMSTERDAM, datetime(2026, 11, 20, tzinfo=AMSTERDAM).date())
    tenths = [0] * 10
    for number in range(1_000):
        found = slot(window, AMSTERDAM, f"plan{seed}", f"device {number}", now)
        tenths[(found - begin) * 10 // (end - begin)] += 1
    assert min(tenths) > 50 and max(tenths) < 160


@pytest.mark.parametrize(
    ("now", "closes"),
    [
        ("2026-11-20T21:59", None),
        ("2026-11-20T22:00", "2026-11-21T02:00"),
        ("2026-11-21T01:59", "2026-11-21T02:00"),
        ("2026-11-21T02:00", None),
        ("2026-03-29T01:30", "2026-03-29T03:00"),  # 02:00 is not there that night: the hour after
    ],
)
def test_a_window_over_midnight(now: str, closes: str | None) -> None:
    found = closing(Window(22 * 60, 2 * 60), AMSTERDAM, at(now))
    assert found == (None if closes is None else at(closes))


def test_a_window_never_vanishes() -> None:
    """One that lies within the hour that is skipped."""
    begin, end = opening(Window(125, 175), AMSTERDAM, datetime(2026, 3, 29, tzinfo=AMSTERDAM).date())
    assert end - begin >= MINUTE
