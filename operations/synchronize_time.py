"""Set the meter's clock to now in a time zone, and remember the zone for the device.

Reference operations-reading 4.1. The zone is remembered when the meter took the time, not before. A meter logs the
step itself (event 4 with the old time, 5 with the new) when it exceeds its limit.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from operations import Meter, operation
from operations._cosem_time import encode_local
from operations._data import Data, Tag
from operations._rules import ASSOCIATION, check_zone, electricity_meter
from operations._steps import Answer, Now, Set, Steps
from schemas.records import TimeZoneSet


@dataclass(frozen=True, slots=True)
class Request:
    """`time_zone`: IANA id. Raises Rejected for any other."""

    time_zone: str

    def __post_init__(self) -> None:
        check_zone(self.time_zone)


@dataclass(frozen=True, slots=True)
class Result:
    """Nothing to tell: that there is a result says the clock is set."""


@operation(
    "SynchronizeTime",
    needs=("CLOCK",),
    repeatable=True,  # a repeat sets the time of the repeat
    seconds=30,
    frames=ASSOCIATION + 1,
    decide=electricity_meter,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """The refusal of the set (MeterRefused) passes through."""
    now = yield Now()
    moment = encode_local(now.astimezone(ZoneInfo(request.time_zone)))
    yield Set(meter.profile["CLOCK"].at(2), Data(Tag.OCTET_STRING, moment))
    return Answer(Result(), facts=(TimeZoneSet(request.time_zone),))
