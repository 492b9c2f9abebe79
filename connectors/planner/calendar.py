"""Days, months and windows of a plan's zone, as moments: pure. All moments are milliseconds since 1970 UTC.

A day of a zone has 23 to 25 hours, so a period is told by both its ends, and its quarter-hours are counted from those.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Final
from zoneinfo import ZoneInfo

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR  # of UTC: for lengths of time, never for days of a calendar


class Unit(StrEnum):
    """What one period of a read is."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` on, up to `end`, which does not belong to it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """The hours of each day in which is read, as minutes of the local day; one that ends before it begins goes over
    midnight. `length` is nominal: on the nights of daylight saving it has an hour less or more.
    """

    begin: int
    end: int

    @property
    def length(self) -> int:
        """In ms."""
        return ((self.end - self.begin) % (24 * 60) or 24 * 60) * MINUTE


def instant(day: date, minute: int, zone: ZoneInfo) -> int:
    """The moment of a local time; of one that a day has twice the first, of one it has not the one an hour later."""
    local = datetime.combine(day, time(minute // 60 % 24, minute % 60), zone)
    if minute >= 24 * 60:
        local = datetime.combine(day + timedelta(days=1), time(minute // 60 - 24, minute % 60), zone)
    return int(local.astimezone(UTC).timestamp()) * 1000


def local_day(at: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at / 1000, zone).date()


def periods(unit: Unit, zone: ZoneInfo, since: int, until: int) -> Iterator[Period]:
    """The periods that have begun before `until` and end after `since`, the newest first."""
    day = local_day(until, zone)
    if unit is Unit.MONTH:
        day = day.replace(day=1)
    while True:
        before = (day - timedelta(days=1)) if unit is Unit.DAY else (day - timedelta(days=1)).replace(day=1)
        after = day + timedelta(days=1) if unit is Unit.DAY else (day + timedelta(days=31)).replace(day=1)
        found = Period(instant(day, 0, zone), instant(after, 0, zone))
        if found.end <= since or day.year < 2000:
            return
        if found.start < until:
            yield found
        day = before


def slot(window: Window, zone: ZoneInfo, plan: str, device_id: str, at: int) -> int:
    """The first moment from `at` on at which the plan comes to the device: its place in the window is always the same,
    and those of all devices are spread over it evenly.
    """
    share = int.from_bytes(blake2b(f"{plan} {device_id}".encode(), digest_size=8).digest(), "big") / (1 << 64)
    day = local_day(at, zone) - timedelta(days=1)  # the window that began yesterday may not be over
    while True:
        begin, end = opening(window, zone, day)
        found = begin + int(share * (end - begin))
        if found >= at:
            return found
        day += timedelta(days=1)


def opening(window: Window, zone: ZoneInfo, day: date) -> tuple[int, int]:
    """The window that begins on a day, as moments."""
    begin = instant(day, window.begin, zone)
    last = window.end if window.end > window.begin else window.end + 24 * 60
    return begin, max(begin + MINUTE, instant(day, last, zone))


def closing(window: Window, zone: ZoneInfo, at: int) -> int | None:
    """When the window that is open at a moment closes; None when none is."""
    today = local_day(at, zone)
    for day in (today - timedelta(days=1), today):
        begin, end = opening(window, zone, day)
        if begin <= at < end:
            return end
    return None
