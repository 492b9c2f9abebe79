"""Read the long power failures that the meter remembers.

Reference operations-reading 14.1, meter-model 10.5. The whole buffer is read: it has ten entries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from operations import Meter, operation
from operations._cosem_time import instant_of, millis_of, moment_of
from operations._errors import MeterUnusable
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, ReadRows, Steps
from schemas.records import CommandHeader, MeterOutage, MeterOutages

LOG: Final = "LONG_POWER_FAILURE_LOG"


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say: all of them are read."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One long power failure."""

    end_time: datetime  # by the meter's clock
    duration: int  # seconds


@dataclass(frozen=True, slots=True)
class Result:
    """The failures in the meter's order, oldest first."""

    outages: tuple[Outage, ...]


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[MeterOutages]:
    """The failures as one record; none when there are none."""
    if result.outages:
        found = tuple(MeterOutage(millis_of(each.end_time), each.duration) for each in result.outages)
        yield MeterOutages(header.device_id, header.correlation_id, received_at, found)


@operation(
    "GetOutages",
    needs=(LOG,),
    repeatable=True,
    seconds=30,
    frames=ASSOCIATION + 8,  # ten entries of 21 bytes in blocks of 90 bytes; some makes keep more
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when the log is refused, MeterUnusable for an entry nobody can use."""
    rows: Sequence[tuple[Any, ...]] = yield ReadRows(meter.profile[LOG].at(2), None)
    return Answer(Result(tuple(map(_outage, rows))))


def _outage(row: tuple[Any, ...]) -> Outage:
    if len(row) != 2:
        raise MeterUnusable(f"{LOG}: an entry of {len(row)} elements, 2 are wanted: end and duration")
    end = instant_of(row[0], f"{LOG}: end of an entry")
    if end is None:
        raise MeterUnusable(f"{LOG}: an entry does not say when the failure ended")
    duration = row[1]
    if not isinstance(duration, int) or isinstance(duration, bool) or duration < 0:
        raise MeterUnusable(f"{LOG}: duration of an entry: {duration!r} is no number of seconds")
    return Outage(moment_of(end), duration)
