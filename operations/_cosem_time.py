"""COSEM date-time, 12 bytes, to and from moments (operations-reading 3.1, meter-model 7.2).

Bytes: year (2), month, day, weekday, hour, minute, second, hundredths, deviation (2, signed: UTC minus local, minutes),
clock status. Operations may not import the engine (`connectors/dlms/cosem`), which has its own for what it sends
itself.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from operations._data import Data, Tag
from operations._errors import MeterUnusable, Rejected

LENGTH: Final = 12
NO_DEVIATION: Final = -0x8000
MAX_DEVIATION: Final = 720
ANY: Final = 0xFF
ANY_YEAR: Final = 0xFFFF
YEARS: Final = range(1900, 9999)  # a deviation must not lead out of what datetime knows
DAYLIGHT_SAVING: Final = 0x80  # clock status

_PARTS: Final = Struct(">HBBBBBBBhB")
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def encode_local(moment: datetime) -> bytes:
    """The 12 bytes of an aware datetime, in its own zone: weekday unspecified, deviation and DST status of that
    instant.

    Raises Rejected when the zone is more than 12 hours from UTC, which a deviation cannot say.
    """
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError(f"{moment} has no time zone")
    deviation = -(offset // timedelta(minutes=1))
    if abs(deviation) > MAX_DEVIATION:
        raise Rejected(f"{moment.tzinfo} is {-deviation} minutes from UTC; a meter knows 720", field="time_zone")
    return _PARTS.pack(
        moment.year,
        moment.month,
        moment.day,
        ANY,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond // 10_000,
        deviation,
        DAYLIGHT_SAVING if moment.dst() else 0,
    )


def parts_of(octets: bytes) -> tuple[int, ...]:
    """Year, month, day, weekday, hour, minute, second, hundredths, deviation, clock status, as they stand."""
    if len(octets) != LENGTH:
        raise MeterUnusable(f"a date-time of {len(octets)} bytes: {octets.hex()}")
    return _PARTS.unpack(octets)


@lru_cache(maxsize=16_384)  # rows of a fleet are stamped alike: the quarter-hours of a day come again with every meter
def instant(octets: bytes) -> int | None:
    """Milliseconds since 1970 UTC, or None when date, hour, minute or deviation is not specified.

    Unspecified second and hundredths count as 0; the weekday is ignored. Raises MeterUnusable for what is no date-time.
    """
    year, month, day, _, hour, minute, second, hundredths, deviation, _ = parts_of(octets)
    if deviation != NO_DEVIATION and abs(deviation) > MAX_DEVIATION:
        raise MeterUnusable(f"date-time {octets.hex()}: deviation {deviation} is outside -720 to 720")
    if year == ANY_YEAR or month >= 0xFD or day >= 0xFD or hour == ANY or minute == ANY or deviation == NO_DEVIATION:
        return None
    second, hundredths = (0 if part == ANY else part for part in (second, hundredths))
    if hour > 23 or minute > 59 or second > 59 or hundredths > 99:
        raise MeterUnusable(f"date-time {octets.hex()}: no such time of day")
    try:
        if year not in YEARS:
            raise ValueError(year)
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise MeterUnusable(f"date-time {octets.hex()}: no such day") from None
    return days * _DAY_MS + ((hour * 60 + minute + deviation) * 60 + second) * 1000 + hundredths * 10


def instant_of(value: Any, what: str) -> int | None:
    """`instant` of a cell of a row or a `Data`: octet-string, date-time, or null-data (None). Raises MeterUnusable."""
    if isinstance(value, Data):
        if value.tag not in (Tag.OCTET_STRING, Tag.DATE_TIME, Tag.NULL_DATA):
            raise MeterUnusable(f"{what}: a date-time came as type {value.tag}")
        value = value.value
    if value is None:
        return None
    if not isinstance(value, bytes):
        raise MeterUnusable(f"{what}: a date-time came as {type(value).__name__}")
    return instant(value)


def moment_of(millis: int) -> datetime:
    """The instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=millis)


def millis_of(moment: datetime) -> int:
    """The aware datetime as milliseconds since 1970 UTC."""
    return (moment - _EPOCH) // _MILLISECOND
