"""Read one or more event logs of the meter over a stretch of time.

Reference operations-reading 9, meter-model 12. Entries that lie outside of the range are left out, whatever the meter
sends. A code nobody named is told by its number (`_events.UNKNOWN`), never an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from operations import Cost, Meter, operation
from operations._cosem_time import instant_of, millis_of, moment_of
from operations._errors import MeterUnusable, Rejected
from operations._events import name_of
from operations._profile import Profile, ScalerUnit
from operations._profile_rows import in_zone
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Range, ReadRows, Steps
from operations._values import UNITS, millionths, scaled
from schemas.records import CommandHeader, MeterEvent, MeterEvents

QUERIES: Final = range(1, 33)
"""How many. The reference sets no limit; ours bounds the time and the invocation counters of one job."""


class EventLogCategory(StrEnum):
    """The logs a meter may have; there is none at index 2."""

    STANDARD_EVENT_LOG = "STANDARD_EVENT_LOG"
    FRAUD_DETECTION_LOG = "FRAUD_DETECTION_LOG"
    COMMUNICATION_SESSION_LOG = "COMMUNICATION_SESSION_LOG"
    M_BUS_EVENT_LOG = "M_BUS_EVENT_LOG"
    POWER_QUALITY_EVENT_LOG = "POWER_QUALITY_EVENT_LOG"
    AUXILIARY_EVENT_LOG = "AUXILIARY_EVENT_LOG"
    POWER_QUALITY_EXTENDED_EVENT_LOG = "POWER_QUALITY_EXTENDED_EVENT_LOG"
    POWER_QUALITY_THD_EVENT_LOG = "POWER_QUALITY_THD_EVENT_LOG"


_OTHER_TAGS: Final = {  # three logs are called otherwise in the object model (9.1)
    EventLogCategory.FRAUD_DETECTION_LOG: "FRAUD_DETECTION_EVENT_LOG",
    EventLogCategory.COMMUNICATION_SESSION_LOG: "COMMUNICATION_SESSION_EVENT_LOG",
    EventLogCategory.M_BUS_EVENT_LOG: "MBUS_EVENT_LOG",
}
_FURTHER: Final = {  # what an entry has besides time and code
    EventLogCategory.COMMUNICATION_SESSION_LOG: ("event_counter",),
    EventLogCategory.POWER_QUALITY_EXTENDED_EVENT_LOG: ("magnitude", "duration"),
    EventLogCategory.POWER_QUALITY_THD_EVENT_LOG: ("magnitude",),
}
_COSTS: Final = {  # of the long ones; in some makes the auxiliary and the extended log hold 3,000 entries
    EventLogCategory.COMMUNICATION_SESSION_LOG: Cost(300, 513),  # 2190 entries, 46 kB, in blocks of 90 bytes
    EventLogCategory.AUXILIARY_EVENT_LOG: Cost(120, 81),
    EventLogCategory.POWER_QUALITY_EXTENDED_EVENT_LOG: Cost(120, 81),
}
_COST: Final = Cost(30, 25)  # 100 entries, 1.9 kB
_PHASES: Final = {"L1": 0, "L2": 20, "L3": 40}  # added to group C of the first phase's register
_RAW: Final = ScalerUnit(0, 255)


def tag_of(category: EventLogCategory) -> str:
    """The profile's tag of a log."""
    return _OTHER_TAGS.get(category, category.value)


@dataclass(frozen=True, slots=True)
class EventQuery:
    """One log; both moments belong to the range. Raises Rejected unless from_date lies before until_date."""

    event_log_category: EventLogCategory
    from_date: datetime  # entries of this moment belong to the answer
    until_date: datetime  # and entries of this one

    def __post_init__(self) -> None:
        for name, moment in (("from_date", self.from_date), ("until_date", self.until_date)):
            if moment.tzinfo is None:
                raise Rejected("has no time zone", field=name)
            if not 2 <= moment.year <= 9998:  # a zone moves it by hours
                raise Rejected(f"{moment.year} is no year a meter knows", field=name)
        if self.from_date >= self.until_date:
            raise Rejected("The 'from' timestamp designates a time after 'until' timestamp.", field="from_date")


@dataclass(frozen=True, slots=True)
class Request:
    """1 to 32 queries, of any logs, the same one repeatedly for several ranges. Raises Rejected for another number."""

    queries: tuple[EventQuery, ...]

    def __post_init__(self) -> None:
        if len(self.queries) not in QUERIES:
            raise Rejected(f"{len(self.queries)} is not from {QUERIES[0]} to {QUERIES[-1]}", field="queries")


@dataclass(frozen=True, slots=True)
class Event:
    """One entry. The last four are null where the log has no such column.

    Magnitude and duration are exact. Of a code that belongs to no register of the profile nobody knows the scale: they
    are the meter's raw numbers then, and magnitude_unit is null beside them.
    """

    timestamp: datetime  # by the meter's clock
    event_code: int  # as the meter wrote it
    event_type: str  # its name; UNKNOWN_EVENT_HEADEND for a code that has none
    event_log_category: EventLogCategory
    event_counter: int | None = None  # of the communication session log
    magnitude: Decimal | None = None  # of the extended and THD logs, in magnitude_unit
    magnitude_unit: str | None = None  # V, %
    duration: Decimal | None = None  # of the extended log, in seconds


@dataclass(frozen=True, slots=True)
class Result:
    """The entries of all queries one after the other, each in the meter's order; `counts` says how many each query
    gave. `protocol`: whose codes they are, DSMR or SMR.
    """

    protocol: str
    counts: tuple[int, ...]
    events: tuple[Event, ...]


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[MeterEvents]:
    """A record a query; none for a query that gave nothing."""
    left = iter(result.events)
    for count in result.counts:
        if count:
            events = tuple(islice(left, count))
            category = events[0].event_log_category.value
            told = tuple(map(_told, events))
            yield MeterEvents(header.device_id, header.correlation_id, result.protocol, category, received_at, told)


def needs_of(request: Request) -> tuple[str, ...]:
    """The logs that are asked for."""
    return tuple(dict.fromkeys(tag_of(query.event_log_category) for query in request.queries))


def cost(request: Request) -> Cost:
    """The sum of the logs': each may be full, and comes in blocks."""
    costs = [_COSTS.get(query.event_log_category, _COST) for query in request.queries]
    return Cost(30 + sum(each.seconds for each in costs), ASSOCIATION + sum(each.frames for each in costs))


@operation(
    "FindEvents",
    needs_of=needs_of,
    repeatable=True,
    seconds=30 + _COST.seconds,
    frames=ASSOCIATION + _COST.frames,
    decide=electricity_meter,
    reads=reads,
    cost=cost,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """All or nothing. Raises MeterRefused when a log is refused, MeterUnusable for an entry nobody can use, Rejected
    416 for a log that the profile lacks.
    """
    profile, counts, events = meter.profile, [], list[Event]()
    for query in request.queries:
        log = profile[tag_of(query.event_log_category)]
        first, last = (in_zone(moment, meter.time_zone) for moment in (query.from_date, query.until_date))
        selection = Range(first, last) if profile.traits.range_selection else None
        rows: Sequence[tuple[Any, ...]] = yield ReadRows(log.at(2), selection)
        made = (_event(row, query.event_log_category, profile) for row in rows)
        found = [event for event in made if query.from_date <= event.timestamp <= query.until_date]
        counts.append(len(found))
        events += found
    return Answer(Result(profile.protocol, tuple(counts), tuple(events)))


def _event(row: tuple[Any, ...], category: EventLogCategory, profile: Profile) -> Event:
    """One entry of a log (9.1). Raises MeterUnusable."""
    names = ("time", "code", *_FURTHER.get(category, ()))
    if len(row) != len(names):
        raise MeterUnusable(f"{category}: an entry of {len(row)} elements, {len(names)} are wanted: {', '.join(names)}")
    time = instant_of(row[0], f"{category}: time of an entry")
    if time is None:
        raise MeterUnusable(f"{category}: an entry does not say when it was")
    for name, cell in zip(names[1:], row[1:], strict=True):
        if not isinstance(cell, int) or isinstance(cell, bool):
            raise MeterUnusable(f"{category}: {name} of an entry: {cell!r} is no number")
    code, further = row[1], dict(zip(names[2:], row[2:], strict=True))
    values: dict[str, Any] = {}
    if "event_counter" in further:
        values["event_counter"] = further["event_counter"]
    if "magnitude" in further:
        scaling = scaling_of(code, "magnitude", profile)
        values["magnitude"] = scaled(further["magnitude"], scaling or _RAW)
        values["magnitude_unit"] = None if scaling is None else UNITS.get(scaling.unit, "")
    if "duration" in further:
        values["duration"] = scaled(further["duration"], scaling_of(code, "duration", profile) or _RAW)
    return Event(moment_of(time), code, name_of(code, profile.protocol), category, **values)


def scaling_of(code: int, what: str, profile: Profile) -> ScalerUnit | None:
    """Scaler and unit of the `magnitude` or `duration` beside a code: those of the register that holds the last of its
    kind (9.1). None for a code, or in a profile, that has none.
    """
    name = name_of(code, profile.protocol)
    phase = _PHASES.get(name[-2:])
    if phase is None:
        return None
    if name.startswith("VOLTAGE_SAG_IN_PHASE"):
        obis = (1, 0, 32 + phase, 34 if what == "magnitude" else 33, 0, 255)
    elif name.startswith("VOLTAGE_SWELL_IN_PHASE"):
        obis = (1, 0, 32 + phase, 38 if what == "magnitude" else 37, 0, 255)
    elif name.startswith("THD_") and what == "magnitude":
        obis = (1, 0, 31 + phase, 38, 124, 255)
    else:
        return None
    found = profile.find(3, bytes(obis))
    return None if found is None else found.scaler_unit


def _told(event: Event) -> MeterEvent:
    return MeterEvent(
        captured_at=millis_of(event.timestamp),
        code=event.event_code,
        counter=event.event_counter,
        magnitude=millionths(event.magnitude),
        magnitude_unit=event.magnitude_unit or "",
        duration=millionths(event.duration),
    )
