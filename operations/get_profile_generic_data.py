"""Read a stretch of any profile of an electricity meter, whether anything here knows the profile or not.

Reference operations-reading 8. The meter says itself what the profile captures; the caller may name some of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from operations import Meter, _buffer, operation
from operations._any_profile import read_profile
from operations._errors import Rejected
from operations._obis import obis_of
from operations._period import check_range
from operations._profile import Column
from operations._profile_rows import CLOCK_CLASS, is_clock
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Steps
from operations._typed_columns import ProfileRows, reads_of
from schemas.records import CommandHeader, ProfileReads

MAX_SELECTED: Final = 128


@dataclass(frozen=True, slots=True)
class SelectedValue:
    """One capture object of the profile, as its capture_objects name it."""

    class_id: int
    logical_name: str  # 1-0:1.8.0.255 or 1.0.1.8.0.255
    attribute_index: int
    data_index: int = 0

    def __post_init__(self) -> None:
        for name, value, most in (
            ("class_id", self.class_id, 65_535),
            ("attribute_index", self.attribute_index, 127),
            ("data_index", self.data_index, 65_535),
        ):
            if not 0 <= value <= most:
                raise Rejected(f"{value} is not from 0 to {most}", field=name)
        if self.class_id == CLOCK_CLASS:
            raise Rejected("the clock is always in the answer and is not selected", field="class_id")
        obis_of(self.logical_name, "logical_name")

    @property
    def definition(self) -> tuple[int, bytes, int, int]:
        """As capture objects have it."""
        return self.class_id, obis_of(self.logical_name, "logical_name"), self.attribute_index, self.data_index


@dataclass(frozen=True, slots=True)
class Request:
    """`selected_values`: what of the profile is wanted besides the clock; empty: everything. Both moments belong to the
    range. Raises Rejected when begin is after end.
    """

    obis_code: str  # logical name of the profile: 1-0:99.1.0.255 or 1.0.99.1.0.255
    begin_date: datetime
    end_date: datetime
    selected_values: tuple[SelectedValue, ...] = ()

    def __post_init__(self) -> None:
        obis_of(self.obis_code, "obis_code")
        check_range(self.begin_date, self.end_date)
        if len(self.selected_values) > MAX_SELECTED:
            raise Rejected(f"{len(self.selected_values)} are more than {MAX_SELECTED}", field="selected_values")


@dataclass(frozen=True, slots=True)
class Result:
    """The columns of the profile as the meter captures them, also when there are no rows."""

    rows: ProfileRows


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[ProfileReads]:
    """Its numbers as packed columns."""
    return reads_of(header, result.rows, received_at)


@operation(
    "GetProfileGenericData",
    repeatable=True,
    seconds=300,
    frames=ASSOCIATION + _buffer.FALLBACKS + 1_200,  # 1,440 rows (some 90 kB) in blocks of 90 bytes, 128 scalers
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when the meter has no such profile or refuses it, Rejected 401 when a selected value is not
    captured, MeterUnusable for answers nobody can use.
    """

    def choose(captured: Sequence[Column]) -> Sequence[Column]:
        held = {column.definition for column in captured}
        for place, each in enumerate(request.selected_values):
            if each.definition not in held:
                raise Rejected(f"is not captured by {request.obis_code}", field=f"selected_values[{place}]")
        chosen = {each.definition for each in request.selected_values} or held
        return [column for column in captured if is_clock(column) or column.definition in chosen]

    obis = obis_of(request.obis_code, "obis_code")
    rows = yield from read_profile(meter, obis, choose, request.begin_date, request.end_date)
    if rows is None:
        raise Rejected(f"{request.obis_code} captures nothing", field="obis_code")
    return Answer(Result(rows))
