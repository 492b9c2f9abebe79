"""COSEM date-time: 12 bytes that may leave anything open, and the instant they stand for (meter-model 7.2).

Deviation is minutes from local time to UTC: UTC = local + deviation; Amsterdam is -60 in winter and -120 in summer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntFlag
from functools import lru_cache
from struct import Struct
from struct import error as StructError

from .errors import LocalProtocolError, RemoteProtocolError

_LAYOUT = Struct(">HBBBBBBBhB")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
NOT_SPECIFIED = bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")
DEVIATIONS = range(-720, 721)


class ClockStatus(IntFlag):
    """Last byte of a date-time; 0xFF there means not specified, and no bit is set."""

    INVALID_VALUE = 0x01
    DOUBTFUL_VALUE = 0x02
    DIFFERENT_CLOCK_BASE = 0x04
    INVALID_CLOCK_STATUS = 0x08
    RESERVED_1 = 0x10
    RESERVED_2 = 0x20
    RESERVED_3 = 0x40
    DAYLIGHT_SAVING_ACTIVE = 0x80


@dataclass(frozen=True, slots=True)
class CosemDateTime:
    """The fields as sent; None is "not specified".

    `month` may be 0xFD (DST end) or 0xFE (DST begin), `day` 0xFD (last but one of the month) or 0xFE (last); `weekday`
    1 is Monday; `deviation` in minutes; `status` the clock status byte.
    """

    year: int | None = None
    month: int | None = None
    day: int | None = None
    weekday: int | None = None
    hour: int | None = None
    minute: int | None = None
    second: int | None = None
    hundredths: int | None = None
    deviation: int | None = None
    status: int | None = None

    @classmethod
    def from_bytes(cls, raw: bytes) -> CosemDateTime:
        """The 12 bytes of a date-time, without tag and length.

        Raises RemoteProtocolError when they are not 12, or the deviation is neither not specified nor in -720..720
        minutes.
        """
        if len(raw) != 12:
            raise RemoteProtocolError(f"a date-time is 12 bytes, not {len(raw)}")
        year, month, day, weekday, hour, minute, second, hundredths, deviation, status = _LAYOUT.unpack(raw)
        if deviation not in DEVIATIONS and deviation != -0x8000:
            raise RemoteProtocolError(f"deviation of {deviation} minutes lies outside -720..720")
        return cls(
            None if year == 0xFFFF else year,
            _specified(month),
            _specified(day),
            _specified(weekday),
            _specified(hour),
            _specified(minute),
            _specified(second),
            _specified(hundredths),
            None if deviation == -0x8000 else deviation,
            _specified(status),
        )

    @classmethod
    def from_datetime(cls, moment: datetime) -> CosemDateTime:
        """An aware datetime in the zone the meter lives in: deviation and DST bit are that zone's; weekday stays not
        specified.

        Raises LocalProtocolError for a naive datetime, or an offset that is not whole minutes within 720.
        """
        offset = moment.utcoffset()
        if offset is None:
            raise LocalProtocolError("a date-time needs a zone: the datetime is naive")
        deviation, rest = divmod(-offset, timedelta(minutes=1))
        if rest or deviation not in DEVIATIONS:
            raise LocalProtocolError(f"offset {offset} cannot be sent as a deviation")
        return cls(
            moment.year,
            moment.month,
            moment.day,
            None,
            moment.hour,
            moment.minute,
            moment.second,
            moment.microsecond // 10_000,
            deviation,
            ClockStatus.DAYLIGHT_SAVING_ACTIVE.value if moment.dst() else 0,
        )

    def to_bytes(self) -> bytes:
        """The 12 bytes, without tag and length. Raises LocalProtocolError when a field does not fit."""
        fields = (self.month, self.day, self.weekday, self.hour, self.minute, self.second, self.hundredths)
        try:
            return _LAYOUT.pack(
                0xFFFF if self.year is None else self.year,
                *[0xFF if field is None else field for field in fields],
                -0x8000 if self.deviation is None else self.deviation,
                0xFF if self.status is None else self.status,
            )
        except StructError as error:
            raise LocalProtocolError(f"date-time field out of range: {error}") from None

    @property
    def flags(self) -> ClockStatus:
        """The clock status bits; none when the status is not specified."""
        return ClockStatus(self.status or 0)

    def instant(self) -> datetime | None:
        """The UTC datetime, or None unless date, hour, minute and deviation are all specified.

        Seconds and hundredths not specified count as 0; the weekday is ignored. None also for a date that does not
        exist.
        """
        if self.deviation is None:
            return None
        local = self.local()
        try:
            return None if local is None else (local + timedelta(minutes=self.deviation)).replace(tzinfo=UTC)
        except OverflowError:
            return None

    def local(self) -> datetime | None:
        """The naive local datetime, or None unless date, hour and minute are specified and exist."""
        if self.year is None or self.month is None or self.day is None or self.hour is None or self.minute is None:
            return None
        try:
            return datetime(  # noqa: DTZ001 - local time of a zone the bytes do not name
                self.year,
                self.month,
                self.day,
                self.hour,
                self.minute,
                self.second or 0,
                (self.hundredths or 0) * 10_000,
            )
        except ValueError:
            return None


def _specified(field: int) -> int | None:
    return None if field == 0xFF else field


def epoch_seconds(raw: bytes) -> int | None:
    """Seconds since 1970 of a 12-byte date-time: `CosemDateTime.from_bytes(raw).instant()` for many rows, hundredths
    cut off.

    None when it stands for no instant. Raises RemoteProtocolError as `from_bytes` does.
    """
    if len(raw) != 12:
        raise RemoteProtocolError(f"a date-time is 12 bytes, not {len(raw)}")
    year, month, day, _, hour, minute, second, hundredths, deviation, _ = _LAYOUT.unpack(raw)
    if not -720 <= deviation <= 720:
        if deviation != -0x8000:
            raise RemoteProtocolError(f"deviation of {deviation} minutes lies outside -720..720")
        return None
    midnight = _midnight(year, month, day)
    if second == 0xFF:
        second = 0
    if midnight is None or hour > 23 or minute > 59 or second > 59 or (hundredths > 99 and hundredths != 0xFF):
        return None
    moment: int = midnight + hour * 3600 + (minute + deviation) * 60 + second
    return moment


@lru_cache(maxsize=4096)
def _midnight(year: int, month: int, day: int) -> int | None:
    try:
        return (date(year, month, day).toordinal() - _EPOCH_DAY) * 86_400
    except ValueError:
        return None
