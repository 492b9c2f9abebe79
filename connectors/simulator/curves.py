"""What a household uses: energy registers as pure functions of a seed and an instant, so that nothing is stored and a
profile buffer of any length is computed when it is asked for.

A register must never fall, yet days and quarters of an hour must differ. Both hold by one trick: time is cut into
cells (weeks, days in a week, quarters in a day), a smooth rising function gives the register at each cell's border,
and a hash moves that border's value up within its own cell. A border thus stays below the next one, whatever the hash
says, and no sum over the past is needed. Shapes follow standard time all year, as a household that never changes its
clocks: local time would repeat an hour each October, and a register would fall.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import pi, sin
from typing import Final

QUARTER: Final = 900
HOUR: Final = 3_600
DAY: Final = 86_400
SPARSE: Final = 6 * HOUR  # instants further apart than this do not repay a whole day's frame
WEEK: Final = 7 * DAY
YEAR: Final = 365.2425 * DAY
STANDARD_TIME: Final = 3_600  # seconds east of UTC, Amsterdam's winter
MONDAY: Final = -3 * DAY  # 1969-12-29, the Monday before the epoch
EPOCH: Final = 1_262_304_000  # 2010-01-01: registers count from the day the meter left the factory
MASK: Final = (1 << 64) - 1
NIGHT_RATE_HOURS: Final = (*range(7), 23)  # rate 1 (low) from 23:00 to 07:00 and at weekends
SUNNY_HOURS: Final = range(6, 21)

# Share of a day's use by hour, measured by nobody: the evening peak and the small morning one of any Dutch street.
LIVING: Final = (
    (22, 18, 16, 15, 15, 17, 26, 44, 48, 42, 38, 37, 40, 38, 35, 36, 43, 62, 84, 88, 82, 72, 55, 36),
    (26, 20, 17, 16, 15, 16, 20, 28, 42, 54, 58, 56, 58, 54, 50, 48, 52, 66, 80, 82, 78, 70, 58, 40),
)  # weekday, weekend
HEATING: Final = (12, 10, 10, 12, 18, 40, 95, 90, 60, 42, 36, 34, 34, 34, 36, 42, 60, 78, 80, 74, 66, 52, 30, 16)


def mix(seed: int, *parts: int) -> float:
    """A number in [0, 1) that depends on all of its arguments (splitmix64)."""
    value = seed & MASK
    for part in parts:
        value = (value + 0x9E3779B97F4A7C15 + (part & MASK)) & MASK
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
        value ^= value >> 31
    return (value >> 11) / (1 << 53)


Share = Callable[[int, int], float]  # (weekday 0-6, quarter 0-95) -> weight


@dataclass(frozen=True, slots=True)
class Shape:
    """How a week's use falls over its days and quarters: running shares from 0 to 1."""

    days: tuple[float, ...]  # 8 borders
    quarters: tuple[tuple[float, ...], ...]  # 7 times 97 borders


@cache
def _shape(name: str) -> Shape:
    weights = [[_WEIGHTS[name](weekday, quarter) for quarter in range(96)] for weekday in range(7)]
    totals = [sum(day) for day in weights]
    whole = sum(totals)
    return Shape(
        days=(0.0, *(part / whole for part in accumulate(totals))),
        quarters=tuple(
            (0.0, *(part / (total or 1.0) for part in accumulate(day)))
            for day, total in zip(weights, totals, strict=True)
        ),
    )


def _living(weekday: int, quarter: int) -> float:
    hours = LIVING[weekday >= 5]
    hour, part = divmod(quarter, 4)
    return hours[hour] + (hours[(hour + 1) % 24] - hours[hour]) * part / 4


def is_night_rate(weekday: int, hour: int) -> bool:
    """Whether rate 1 (low) runs: the Dutch double rate."""
    return weekday >= 5 or hour in NIGHT_RATE_HOURS


def _sun(quarter: int) -> float:
    hour = quarter / 4
    return max(0.0, sin(pi * (hour - SUNNY_HOURS.start) / (SUNNY_HOURS.stop - SUNNY_HOURS.start)))


_WEIGHTS: Final[dict[str, Share]] = {
    "rate1": lambda weekday, quarter: _living(weekday, quarter) * is_night_rate(weekday, quarter // 4),
    "rate2": lambda weekday, quarter: _living(weekday, quarter) * (not is_night_rate(weekday, quarter // 4)),
    "sun1": lambda weekday, quarter: _sun(quarter) * is_night_rate(weekday, quarter // 4),
    "sun2": lambda weekday, quarter: _sun(quarter) * (not is_night_rate(weekday, quarter // 4)),
    "heat": lambda _, quarter: float(HEATING[quarter // 4]),
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One register: `yearly` units a year, more (`season` > 0) or less in winter, falling over the week as `shape`
    says."""

    seed: int
    shape: str
    yearly: float
    season: float

    def at(self, second: float) -> int:
        """The register at an instant (seconds since 1970 UTC), in whole units; never falls."""
        day, rest = divmod(second + STANDARD_TIME - MONDAY, DAY)
        quarter, rest = divmod(rest, QUARTER)
        borders = self._borders(int(day), int(quarter), int(quarter) + 2)
        return int(borders[0] + (borders[1] - borders[0]) * rest / QUARTER)

    def series(self, seconds: Sequence[int]) -> list[int]:
        """`at` for many instants in rising order: a day's frame is worked out once, so a profile row costs a
        microsecond or two a register."""
        if seconds and seconds[-1] - seconds[0] > len(seconds) * SPARSE:
            return [self.at(second) for second in seconds]
        found: list[int] = []
        here, borders = -1, [0.0]
        for second in seconds:
            day, rest = divmod(second + STANDARD_TIME - MONDAY, DAY)
            if day != here:
                here, borders = day, self._borders(day, 0, 97)
            quarter, rest = divmod(rest, QUARTER)
            low = borders[quarter]
            found.append(int(low + (borders[quarter + 1] - low) * rest / QUARTER))
        return found

    def _borders(self, day: int, first: int, last: int) -> list[float]:
        """The register at the borders `first` to `last` - 1 of the day's 96 quarters."""
        week, weekday = divmod(day, 7)
        shape = _shape(self.shape)
        low, high = self._cell(shape.days, weekday, self._week(week), self._week(week + 1), week)
        span, seed, shares = high - low, self.seed, shape.quarters[weekday]
        found = []
        for index in range(first, last):
            if 0 < index < 96:
                here = shares[index]
                if here > shares[index - 1]:  # a rate that has not run yet must not begin before its hour
                    here += 0.9 * mix(seed, day, index) * (shares[index + 1] - here)
                found.append(low + span * here)
            else:
                found.append(high if index else low)
        return found

    def _week(self, k: int) -> float:
        """The register at the beginning of week k: a smooth year, moved up by a hash within its own week."""
        here, following = self._smooth(k), self._smooth(k + 1)
        return here + 0.5 * mix(self.seed, k) * (following - here)

    def _smooth(self, k: int) -> float:
        years = (k * WEEK + MONDAY - EPOCH) / YEAR
        return self.yearly * max(0.0, years + self.season * sin(2 * pi * years) / (2 * pi))

    def _cell(self, borders: tuple[float, ...], index: int, low: float, high: float, place: int) -> tuple[float, float]:
        """The register at both borders of a cell within [low, high], each moved up within its own cell; the outer
        borders stay where they are."""
        span = high - low
        return (
            low if index == 0 else low + span * self._border(borders, index, place),
            high if index == len(borders) - 2 else low + span * self._border(borders, index + 1, place),
        )

    def _border(self, borders: tuple[float, ...], index: int, place: int) -> float:
        here = borders[index]
        return here + 0.9 * mix(self.seed, place, index) * (borders[index + 1] - here)


@dataclass(frozen=True, slots=True)
class Household:
    """The registers behind one meter: Wh of import and export per rate, and litres (dm3) of gas per channel."""

    seed: int
    import_rate1: Curve
    import_rate2: Curve
    export_rate1: Curve | None
    export_rate2: Curve | None

    def energy(self, second: float) -> tuple[int, int, int, int]:
        """Import rate 1 and 2, export rate 1 and 2, in Wh."""
        return (
            self.import_rate1.at(second),
            self.import_rate2.at(second),
            self.export_rate1.at(second) if self.export_rate1 else 0,
            self.export_rate2.at(second) if self.export_rate2 else 0,
        )

    def series(self, parts: Sequence[int], seconds: Sequence[int]) -> list[int]:
        """The sum of some registers of `energy` (by index) at many instants in rising order."""
        curves = (self.import_rate1, self.import_rate2, self.export_rate1, self.export_rate2)
        rows = [curve.series(seconds) for part in parts if (curve := curves[part]) is not None]
        return [sum(row) for row in zip(*rows, strict=True)] if rows else [0] * len(seconds)

    def gas(self, channel: int) -> Curve:
        """The gas meter on a channel, in dm3."""
        seed = _of(self.seed, 20 + channel)
        return Curve(seed, "heat", 1_000_000 + 900_000 * mix(seed, 1), 0.75)


def household(seed: int, *, sun: bool | None = None) -> Household:
    """A household: 1.5 to 5.5 MWh a year, three of ten with panels on the roof (`sun` decides it)."""
    yearly = 1_500_000 + 4_000_000 * mix(seed, 1) ** 1.5
    panels = mix(seed, 2) < 0.3 if sun is None else sun
    made = (1_500_000 + 3_500_000 * mix(seed, 3)) if panels else 0.0
    night = _night_share("rate1", "rate2")
    sunny_night = _night_share("sun1", "sun2")
    draws = yearly - 0.3 * made if made < yearly else 0.7 * yearly
    return Household(
        seed=seed,
        import_rate1=Curve(_of(seed, 11), "rate1", draws * night, 0.25),
        import_rate2=Curve(_of(seed, 12), "rate2", draws * (1 - night), 0.25),
        export_rate1=Curve(_of(seed, 13), "sun1", 0.7 * made * sunny_night, -0.8) if panels else None,
        export_rate2=Curve(_of(seed, 14), "sun2", 0.7 * made * (1 - sunny_night), -0.8) if panels else None,
    )


def _of(seed: int, part: int) -> int:
    return int(mix(seed, part) * (1 << 60))


@cache
def _night_share(low: str, normal: str) -> float:
    sums = [
        sum(_WEIGHTS[name](weekday, quarter) for weekday in range(7) for quarter in range(96)) for name in (low, normal)
    ]
    return sums[0] / sum(sums)
