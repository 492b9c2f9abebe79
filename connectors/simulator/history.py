"""What has happened to a meter since it left the factory: failures, sags, distortion, covers opened, M-Bus meters out
of reach, sessions. Nothing of it is stored.

Time is cut into cells, and in each cell a thing happens once, at an instant and for as long as a hash says. So the
number of times it has happened by an instant is the number of the cell, and the last times are found without a look at
the first (counters: meter-model 9.3; logs: its section 12).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from connectors.simulator.curves import DAY, EPOCH, HOUR, mix
from connectors.simulator.logs import Event
from connectors.simulator.premises import Premises, phase_of


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happens again and again, once in so many days; for a phase or an M-Bus channel of its own."""

    number: int  # of the hash
    days: float
    shortest: float  # seconds
    longest: float

    def times(self, seed: int, second: float, place: int = 0) -> int:
        """How often it has begun by an instant."""
        cell = int((second - EPOCH) // self._length)
        return max(0, cell + (self._begin(seed, place, cell) <= second))

    def last(self, seed: int, second: float, count: int, place: int = 0) -> list["Incident"]:
        """The last so many times it began, oldest first."""
        done = self.times(seed, second, place)
        return [self._incident(seed, place, cell) for cell in range(max(0, done - count), done)]

    @property
    def _length(self) -> float:
        return self.days * DAY

    def _begin(self, seed: int, place: int, cell: int) -> float:
        return EPOCH + (cell + 0.9 * mix(seed, 80, self.number, place, cell)) * self._length

    def _incident(self, seed: int, place: int, cell: int) -> "Incident":
        luck = mix(seed, 81, self.number, place, cell)
        begin = float(int(self._begin(seed, place, cell)))
        seconds = self.shortest + luck**3 * (self.longest - self.shortest)
        return Incident(begin, seconds, mix(seed, 82, self.number, place, cell))


@dataclass(frozen=True, slots=True)
class Incident:
    """One time it happened: when it began, for how long (seconds), and how bad it was, from 0 to 1."""

    begin: float
    seconds: float
    severity: float

    @property
    def end(self) -> float:
        return self.begin + self.seconds

    @property
    def tenths(self) -> int:
        """The duration as sags and swells have it, in tenths of a second."""
        return round(10 * self.seconds)


SHORT_FAILURE: Final = Happening(1, 150, 2, 150)
LONG_FAILURE: Final = Happening(2, 450, 190, 4 * HOUR)
SAG: Final = Happening(3, 45, 0.1, 3)
SWELL: Final = Happening(4, 120, 0.1, 3)
DISTORTION: Final = Happening(5, 60, 1_000, 2 * HOUR)
PHASE_OUTAGE: Final = Happening(6, 900, 60, HOUR)
COVER: Final = Happening(7, 1_200, 60, 600)
SILENCE: Final = Happening(8, 90, HOUR, 6 * HOUR)  # an M-Bus meter out of reach
SESSION: Final = Happening(9, 1, 5, 40)


def sag_volts(incident: Incident) -> int:
    """The lowest voltage of a sag, in tenths of a volt: 65 to 90 % of 230 V."""
    return int(1_500 + 570 * incident.severity)


def swell_volts(incident: Incident) -> int:
    """The highest voltage of a swell, in tenths of a volt: 110 to 117 % of 230 V."""
    return int(2_530 + 160 * incident.severity)


def distortion_percent(incident: Incident) -> int:
    """Total harmonic distortion of the current over the limit, in per cent."""
    return int(21 + 20 * incident.severity)


def counter(tag: str, premises: Premises, second: float) -> int | None:
    """A counter of the supply (meter-model 9.3, 9.4) at an instant; None when the tag names none."""
    seed = premises.seed
    match tag:
        case "NUMBER_OF_POWER_FAILURES":
            return SHORT_FAILURE.times(seed, second) + LONG_FAILURE.times(seed, second)
        case "NUMBER_OF_LONG_POWER_FAILURES":
            return LONG_FAILURE.times(seed, second)
    for prefix, happening in _COUNTED.items():
        if tag.startswith(prefix):
            return happening.times(seed, second, phase_of(tag))
    return None


_COUNTED: Final = {
    "NUMBER_OF_VOLTAGE_SAGS_L": SAG,
    "NUMBER_OF_VOLTAGE_SWELLS_L": SWELL,
    "THD_OVER_LIMIT_COUNTER_L": DISTORTION,
}
_LAST: Final[dict[str, tuple[Happening, Callable[[Incident], int]]]] = {
    "MAGNITUDE_OF_LAST_VOLTAGE_SAG_L": (SAG, sag_volts),
    "DURATION_OF_LAST_VOLTAGE_SAG_L": (SAG, lambda incident: incident.tenths),
    "MAGNITUDE_OF_LAST_VOLTAGE_SWELL_L": (SWELL, swell_volts),
    "DURATION_OF_LAST_VOLTAGE_SWELL_L": (SWELL, lambda incident: incident.tenths),
    "MAGNITUDE_OF_LAST_THD_OVER_LIMIT_L": (DISTORTION, distortion_percent),
}


def last_of(tag: str, premises: Premises, second: float) -> int | None:
    """Magnitude or duration of the last sag, swell or distortion; None when the tag names none."""
    for prefix, (happening, told) in _LAST.items():
        if tag.startswith(prefix):
            found = happening.last(premises.seed, second, 1, phase_of(tag))
            return told(found[0]) if found else 0
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """What one happening writes into a log: a row when it begins, one when it ends. Codes of a phase or a channel are
    `step` apart.
    """

    happening: Happening
    begins: int | None
    ends: int | None = None
    places: str = ""  # "phases", "channels", or none
    step: int = 1
    told: Callable[[Incident], tuple[int, ...]] = lambda _: ()

    def rows(self, premises: Premises, now: float, count: int) -> Iterator[Event]:
        places = {"phases": premises.phases, "channels": premises.gas_meters}.get(self.places, 1)
        for place in range(places):
            for incident in self.happening.last(premises.seed, now, count, place):
                if self.begins is not None:
                    yield Event(incident.begin, (self.begins + self.step * place, *self.told(incident)))
                if self.ends is not None and incident.end <= now:
                    yield Event(incident.end, (self.ends + self.step * place, *self.told(incident)))


LOGS: Final[dict[str, tuple[Source, ...]]] = {  # event codes of meter-model 12
    "STANDARD_EVENT_LOG": (Source(SHORT_FAILURE, 1, 2), Source(LONG_FAILURE, 1, 2)),
    "FRAUD_DETECTION_EVENT_LOG": (Source(COVER, 40, 41),),
    "MBUS_EVENT_LOG": (Source(SILENCE, 100, 101, "channels", 10),),
    "POWER_QUALITY_EVENT_LOG": (
        Source(SAG, 77, 83, "phases"),
        Source(SWELL, 80, 83, "phases"),
        Source(PHASE_OUTAGE, 86, 90, "phases"),
    ),
    "AUXILIARY_EVENT_LOG": (Source(SILENCE, 0x8080 + 8, None, "channels", 0x100),),  # clock not synchronised
    "POWER_QUALITY_EXTENDED_EVENT_LOG": (
        Source(SAG, 93, None, "phases", told=lambda incident: (sag_volts(incident), incident.tenths)),
        Source(SWELL, 96, None, "phases", told=lambda incident: (swell_volts(incident), incident.tenths)),
    ),
    "POWER_QUALITY_THD_EVENT_LOG": (
        Source(DISTORTION, 51, 54, "phases", told=lambda incident: (distortion_percent(incident),)),
    ),
}
CLOCK_UPDATE: Final = 3  # daylight saving began or ended
READ_INTERVALS: Final = 75  # why another head-end opened a session each night


def rows(log: str, premises: Premises, now: float, count: int) -> list[Event]:
    """The last `count` rows of a log at an instant, oldest first; sessions are in `sessions`."""
    if log == "LONG_POWER_FAILURE_LOG":  # stamped with the end (meter-model 10.5)
        failures = LONG_FAILURE.last(premises.seed, now, count + 1)
        found = [Event(each.end, (int(each.seconds),)) for each in failures if each.end <= now]
    else:
        found = [row for source in LOGS.get(log, ()) for row in source.rows(premises, now, count)]
    if log == "STANDARD_EVENT_LOG":
        found += [Event(at, (CLOCK_UPDATE,)) for at in _clock_updates(now, count)]
    return sorted(found, key=lambda row: row.at)[-count:]


def sessions(premises: Premises, until: float, count: int) -> list[Event]:
    """Rows of the communication session log before somebody watched: one session a night, with its counter."""
    done = SESSION.times(premises.seed, until)
    found = SESSION.last(premises.seed, until, count)
    return [Event(each.begin, (READ_INTERVALS, done - len(found) + place + 1)) for place, each in enumerate(found)]


def session_count(premises: Premises, until: float) -> int:
    return SESSION.times(premises.seed, until)


def _clock_updates(now: float, count: int) -> Iterator[float]:
    """The last Sundays of March and October at 01:00 UTC, since the factory."""
    year = datetime.fromtimestamp(now, UTC).year
    for each in range(max(2010, year - count // 2), year + 1):
        for month in (3, 10):
            day = datetime(each, month, 31, 1, tzinfo=UTC)
            at = (day - timedelta(days=(day.weekday() + 1) % 7)).timestamp()
            if EPOCH <= at <= now:
                yield at
