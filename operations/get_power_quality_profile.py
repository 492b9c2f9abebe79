"""Read what an electricity meter recorded of power quality: grid data, or what shows how a household lives.

Reference operations-reading 14.3. Which objects belong to which of the two, and to meters of one or three phases, the
profile says; which of them the meter records, the meter says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final

from operations import Meter, _buffer, operation
from operations._any_profile import read_profile
from operations._period import check_range
from operations._profile import Audience, Column, CosemObject, not_supported
from operations._profile_rows import is_clock
from operations._quantities import GSM_DIAGNOSTIC
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Steps
from operations._supply import supply_of
from operations._typed_columns import Kind, ProfileRows, TypedColumn, reads_of
from operations._values import MILLIONTHS
from schemas.records import CommandHeader, ProfileReads

PROFILES: Final = ("DEFINABLE_LOAD_PROFILE", "POWER_QUALITY_PROFILE_1", "POWER_QUALITY_PROFILE_2")
_NOT_KNOWN: Final = 99 * 10**MILLIONTHS  # signal quality and bit error rate that the modem does not know


class ProfileType(StrEnum):
    """Whom it is for."""

    PUBLIC = "PUBLIC"  # voltages, sags, swells, failures, reception
    PRIVATE = "PRIVATE"  # currents and powers


_AUDIENCES: Final = {ProfileType.PUBLIC: Audience.PUBLIC, ProfileType.PRIVATE: Audience.PRIVATE}


@dataclass(frozen=True, slots=True)
class Request:
    """Both moments belong to the range; they may be equal. Raises Rejected when begin is after end."""

    profile_type: ProfileType
    begin_date: datetime
    end_date: datetime

    def __post_init__(self) -> None:
        check_range(self.begin_date, self.end_date)


@dataclass(frozen=True, slots=True)
class Result:
    """One entry a profile that records something of this type, with its columns, also when there are no rows."""

    profile_type: ProfileType
    profiles: tuple[ProfileRows, ...]


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[ProfileReads]:
    """A record a profile."""
    for rows in result.profiles:
        yield from reads_of(header, rows, received_at)


@operation(
    "GetPowerQualityProfile",
    needs=PROFILES[:1],
    repeatable=True,
    seconds=600,
    frames=ASSOCIATION + 3 * (_buffer.FALLBACKS + 1_100),  # 1,440 rows of 16 columns (some 90 kB) in blocks of 90 bytes
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when a buffer is refused, Rejected 416 when no profile records anything of this type,
    MeterUnusable for answers nobody can use.
    """
    audience, supply = _AUDIENCES[request.profile_type], (yield from supply_of(meter))
    profiles = []
    for tag in PROFILES:
        if tag not in meter.profile:
            continue
        buffer = meter.profile[tag]
        choose = partial(_chosen, meter.profile.periodic_power_quality(buffer, audience, supply))
        rows = yield from read_profile(meter, buffer.obis, choose, request.begin_date, request.end_date)
        if rows is not None:
            profiles.append(replace(rows, columns=tuple([_known(each) for each in rows.columns])))
    if not profiles:
        reason = f"No PQ profile found in profile {meter.profile.protocol} version {meter.profile.version}"
        raise not_supported(reason)
    return Answer(Result(request.profile_type, tuple(profiles)))


def _chosen(selectable: Sequence[CosemObject], captured: Sequence[Column]) -> Sequence[Column]:
    """The clock and what may be taken; nothing when the clock alone is left."""
    names = {(each.class_id, each.obis) for each in selectable}
    chosen = [column for column in captured if (column.class_id, column.obis) in names]
    return [column for column in captured if is_clock(column) or column in chosen] if chosen else ()


def _known(column: TypedColumn) -> TypedColumn:
    """Of a modem's signal, what it does not know under the code that says so (operations-reading 14.3)."""
    if column.class_id != GSM_DIAGNOSTIC or column.kind is not Kind.NUMBER:
        return column
    return replace(column, numbers=tuple([_NOT_KNOWN if each is None else each for each in column.numbers]))
