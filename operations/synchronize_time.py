"""Set the meter's clock to now in a time zone, and remember the zone for the device (reference operations-reading
4.1).
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from operations import Meter, operation
from operations._cosem_time import encode_local
from operations._data import Data, Tag
from operations._errors import Rejected
from operations._steps import Answer, Now, Set, Steps
from schemas.records import TimeZoneSet


@dataclass(frozen=True, slots=True)
class Request:
    time_zone: str = "UTC"  # IANA zone id

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Rejected(f"{self.time_zone!r} is not an IANA time zone", field="time_zone") from None


@dataclass(frozen=True, slots=True)
class Result:
    pass


@operation("SynchronizeTime", needs=("CLOCK",), repeatable=True, seconds=30, frames=4)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    now = yield Now()
    moment = encode_local(now.astimezone(ZoneInfo(request.time_zone)))
    yield Set(meter.profile["CLOCK"].at(2), Data(Tag.OCTET_STRING, moment))
    return Answer(Result(), facts=(TimeZoneSet(request.time_zone),))
