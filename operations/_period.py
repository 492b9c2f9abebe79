"""What the reads of periods have in common: which profile, and from when to when (operations-reading 7.1)."""

from datetime import datetime
from enum import StrEnum

from operations._errors import Rejected


class PeriodType(StrEnum):
    """Which profile: intervals (quarter-hours of electricity, hours of gas), days, months."""

    INTERVAL = "INTERVAL"
    DAILY = "DAILY"
    MONTHLY = "MONTHLY"


def months(period: PeriodType) -> int:
    """How many calendar months lie between two rows."""
    return 1 if period is PeriodType.MONTHLY else 0


def check_range(begin: datetime, end: datetime) -> None:
    """Both moments belong to the range; they may be equal. Raises Rejected when begin is after end (7.1, Advice)."""
    for name, moment in (("begin_date", begin), ("end_date", end)):
        if moment.tzinfo is None:
            raise Rejected("has no time zone", field=name)
        if not 2 <= moment.year <= 9998:  # a zone moves it by hours
            raise Rejected(f"{moment.year} is no year a meter knows", field=name)
    if begin > end:
        raise Rejected("lies after end_date", field="begin_date")
