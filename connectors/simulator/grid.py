"""The grid at a meter: voltage, current and power, in step with its energy registers and the time of day.

Pure functions of the premises and an instant, as `curves` is: power is what the registers rose in the quarter of an
hour before, current what that power draws at the voltage of the phase.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from math import hypot, pi, sin
from typing import Final

from connectors.simulator.curves import DAY, HOUR, LIVING, QUARTER, STANDARD_TIME, SUNNY_HOURS, mix
from connectors.simulator.premises import Premises, phase_of

VOLTS: Final = 230.0
MINUTE: Final = 60
_IMPORT, _EXPORT = (0, 1), (2, 3)  # parts of Household.energy
_QUANTITY: Final = re.compile(
    r"(INSTANTANEOUS|AVERAGE)_(VOLTAGE|CURRENT|(?:RE)?ACTIVE_POWER(?:_IMPORT|_EXPORT)?)_(L[123]|TOTAL)"
)
_HOURLY_PEAK: Final = max(LIVING[0])


def is_measured(tag: str) -> bool:
    """Whether the tag names a voltage, a current or a power."""
    return _QUANTITY.fullmatch(tag) is not None


class Measured:
    """What a meter measures at some instants in rising order, in volt, ampere, watt and var."""

    def __init__(self, premises: Premises, at: Sequence[int]) -> None:
        self._premises = premises
        self._at = at
        self._seed = premises.seed

    def of(self, tag: str) -> list[float]:
        """The values of one quantity. Raises KeyError for a tag that `is_measured` denies."""
        found = _QUANTITY.fullmatch(tag)
        if found is None:
            raise KeyError(tag)
        average, quantity, place = found[1] == "AVERAGE", found[2], found[3]
        series: Callable[[int, bool], list[float]] = {
            "VOLTAGE": self._voltage,
            "CURRENT": self._current,
            "ACTIVE_POWER": lambda phase, average: _sum(
                self._power(phase, average, self._imported), self._power(phase, average, self._exported)
            ),
            "ACTIVE_POWER_IMPORT": lambda phase, average: self._power(phase, average, self._imported),
            "ACTIVE_POWER_EXPORT": lambda phase, average: self._power(phase, average, self._exported),
            "REACTIVE_POWER_IMPORT": lambda phase, average: self._reactive(phase, average, self._imported, 20.0),
            "REACTIVE_POWER_EXPORT": lambda phase, average: self._reactive(phase, average, self._exported, 10.0),
        }[quantity]
        if place != "TOTAL":
            return series(phase_of(tag), average)
        return [sum(phases) for phases in zip(*(series(k, average) for k in range(self._premises.phases)), strict=True)]

    @cached_property
    def _imported(self) -> list[float]:
        return self._rise(_IMPORT)

    @cached_property
    def _exported(self) -> list[float]:
        return self._rise(_EXPORT)

    def _rise(self, parts: Sequence[int]) -> list[float]:
        """Watt: what the registers rose in the quarter before each instant, all phases together."""
        household = self._premises.household
        before = household.series(parts, [second - QUARTER for second in self._at])
        after = household.series(parts, self._at)
        return [(high - low) * HOUR / QUARTER for low, high in zip(before, after, strict=True)]

    def _power(self, phase: int, average: bool, watts: list[float]) -> list[float]:
        """A phase's part of it; at an instant, a tenth more or less than the quarter's mean."""
        weights = [0.2 + mix(self._seed, 72, k) for k in range(self._premises.phases)]
        share = weights[phase] / sum(weights)
        if average:
            return [share * watt for watt in watts]
        return [
            share * watt * (0.9 + 0.2 * mix(self._seed, 71, phase, second // MINUTE))
            for watt, second in zip(watts, self._at, strict=True)
        ]

    def _reactive(self, phase: int, average: bool, watts: list[float], idle: float) -> list[float]:
        """Motors and power supplies: some of the active power, and what they take when idle."""
        ratio = 0.1 + 0.2 * mix(self._seed, 76, phase)
        return [idle + ratio * watt for watt in self._power(phase, average, watts)]

    def _voltage(self, phase: int, average: bool) -> list[float]:
        """Each phase has its own offset; the evening draws the street down, its roofs lift it at noon."""
        own = VOLTS + 3.0 * (mix(self._seed, 73, phase) - 0.5)
        ripple = 1.0 if average else 1.5
        return [
            own
            + _street(second)
            + ripple * (2.0 * mix(self._seed, 74, phase, second // (QUARTER if average else MINUTE)) - 1.0)
            for second in self._at
        ]

    def _current(self, phase: int, average: bool) -> list[float]:
        active = _sum(self._power(phase, average, self._imported), self._power(phase, average, self._exported))
        reactive = self._reactive(phase, average, self._imported, 20.0)
        volts = self._voltage(phase, average)
        return [hypot(p, q) / v for p, q, v in zip(active, reactive, volts, strict=True)]


def _sum(first: list[float], second: list[float]) -> list[float]:
    return [a + b for a, b in zip(first, second, strict=True)]


def _street(second: float) -> float:
    """What a street's use and sun do to its voltage at that time of day, in volt."""
    hour = (second + STANDARD_TIME) % DAY / HOUR
    use = LIVING[0][int(hour)] / _HOURLY_PEAK
    sun = max(0.0, sin(pi * (hour - SUNNY_HOURS.start) / (SUNNY_HOURS.stop - SUNNY_HOURS.start)))
    return 2.0 * sun - 3.0 * use
