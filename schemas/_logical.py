"""Avro's logical types as Python values: moments, days and exact decimals.

fastavro's own conversions are left aside: they would also be made where plain ints are wanted (`_convert`), and its
decimals round where ours refuse.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
DECIMAL_PRECISION, DECIMAL_SCALE = 24, 6
_EXACT = Context(prec=DECIMAL_PRECISION, traps=[Inexact, InvalidOperation])
_DECIMAL_BYTES = 11  # 24 digits and a sign


def millis_of(moment: Any) -> int:
    """Milliseconds since 1970 of an aware datetime; an int is taken to be that already. Raises ValueError for a naive
    one.
    """
    if isinstance(moment, int):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return int((moment - EPOCH) // MILLISECOND)


def moment_of(millis: int) -> datetime:
    """The datetime, in UTC. Raises OverflowError outside the years 1 to 9999."""
    return EPOCH + timedelta(milliseconds=millis)


def bytes_of(number: Decimal | int) -> bytes:
    """A decimal of scale 6 as the two's-complement big-endian bytes of Avro. Raises ValueError when it does not fit
    exactly.
    """
    try:
        unscaled = _EXACT.quantize(Decimal(number), Decimal(1).scaleb(-DECIMAL_SCALE))
        count = int(unscaled.scaleb(DECIMAL_SCALE, _EXACT))
    except (Inexact, InvalidOperation, ValueError):  # ValueError: not a number
        raise ValueError(f"{number} has more than {DECIMAL_PRECISION} digits, or {DECIMAL_SCALE} decimals") from None
    return count.to_bytes((count + (count < 0)).bit_length() // 8 + 1, "big", signed=True)


def decimal_of(data: bytes) -> Decimal:
    """The Decimal of Avro's bytes, scale 6. Raises ValueError when it has more digits than the schema says."""
    if not 0 < len(data) <= _DECIMAL_BYTES:
        raise ValueError(f"a decimal of {len(data)} bytes")
    return _EXACT.scaleb(Decimal(int.from_bytes(data, "big", signed=True)), -DECIMAL_SCALE)


def _days(day: date) -> int:
    return (day - EPOCH.date()).days


def _day(days: int) -> date:
    return EPOCH.date() + timedelta(days=days)


TYPES: dict[str, type] = {"timestamp-millis": datetime, "date": date, "decimal": Decimal}
WRITERS: dict[str, Callable[[Any], Any]] = {"timestamp-millis": millis_of, "date": _days, "decimal": bytes_of}
READERS: dict[str, Callable[[Any], Any]] = {"timestamp-millis": moment_of, "date": _day, "decimal": decimal_of}
