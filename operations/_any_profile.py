"""Read a profile of which only the logical name is known: the meter says what it captures, how often, and how its
registers are scaled.

Reference operations-reading 8 and 14.3; meter-model 10.1, 10.4: some profiles have columns that a client may set.
"""

from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from typing import Any, Final

from operations import Meter, _buffer
from operations._cosem_time import millis_of
from operations._data import Data, Tag
from operations._errors import MeterUnusable
from operations._obis import obis_text
from operations._profile import Column, Profile, ScalerUnit
from operations._profile_rows import EXTENDED_REGISTER_CLASS, is_capture_time, is_clock, stepper, table
from operations._quantities import quantity
from operations._steps import Attribute, Get, GetList, Refusal, Step
from operations._typed_columns import ProfileRows, typed
from operations._values import number, scaler_unit

PROFILE_GENERIC: Final = 7
_SCALED: Final = (3, EXTENDED_REGISTER_CLASS)  # classes whose attribute 3 scales attribute 2
_DEFINITION: Final = (Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED)

Choose = Callable[[Sequence[Column]], Sequence[Column]]


def read_profile(
    meter: Meter, obis: bytes, choose: Choose, begin: datetime, end: datetime
) -> Generator[Step, Any, ProfileRows | None]:
    """The rows of a profile from begin to end, both included. `choose`: what of its capture objects is wanted, the
    clock among them; when it wants nothing, nothing is read, and None is the answer.

    Raises MeterRefused when the profile is refused, MeterUnusable for answers nobody can use. A scaler that is refused
    or none leaves its column unscaled, which says so: in a combined profile that is a channel without a meter.
    """
    captured = capture_objects((yield Get(Attribute(PROFILE_GENERIC, obis, 3))), meter.profile)
    wanted = tuple(choose(captured))
    if not wanted:
        return None
    period = number((yield Get(Attribute(PROFILE_GENERIC, obis, 4))), "capture_period") or 0
    buffer = Attribute(PROFILE_GENERIC, obis, 2)
    rows, columns = yield from _buffer.read(meter, buffer, captured, wanted, begin, end)
    scalings = yield from _scalings(wanted)
    known = meter.profile.find(PROFILE_GENERIC, obis)
    step = stepper(period, 1 if known and "MONTHLY" in known.tag else 0, meter.time_zone)
    found = table(
        rows,
        columns,
        step,
        millis_of(begin),
        millis_of(end),
        repeats=meter.profile.traits.null_data_compression,
        capture_times=[column for column in wanted if is_capture_time(column)],
    )
    made = [typed(each, each.tag, found.cells[each], scalings.get(each)) for each in wanted if not is_clock(each)]
    return ProfileRows(obis_text(obis), known.tag if known else "", period, found.times, tuple(made))


def capture_objects(data: Data, profile: Profile) -> tuple[Column, ...]:
    """Attribute 3, an array of structures of four, as columns whose tags are the names of what they capture. Raises
    MeterUnusable.
    """
    if data.tag != Tag.ARRAY:
        raise MeterUnusable(f"capture_objects: an array is wanted, type {data.tag} came")
    columns = []
    for place, each in enumerate(data.value):
        parts: tuple[Data, ...] = each.value if each.tag == Tag.STRUCTURE else ()
        if tuple(part.tag for part in parts) != _DEFINITION or len(parts[1].value) != 6:
            raise MeterUnusable(f"capture_objects[{place}]: class, logical name, attribute and data index are wanted")
        class_id, obis, attribute, index = (part.value for part in parts)
        columns.append(Column(quantity(profile, class_id, obis, attribute, index), class_id, obis, attribute, index))
    return tuple(columns)


def _scalings(columns: Sequence[Column]) -> Generator[GetList, Any, dict[Column, ScalerUnit | str]]:
    """Scaler and unit of the registers among them, or why there is none."""
    scaled = [column for column in columns if column.class_id in _SCALED and column.attribute == 2]
    if not scaled:
        return {}
    asked = tuple([Attribute(column.class_id, column.obis, 3) for column in scaled])
    answers: list[Data | Refusal] = yield GetList(asked)
    if len(answers) != len(asked):
        raise MeterUnusable(f"{len(asked)} attributes were asked for, {len(answers)} came")
    found: dict[Column, ScalerUnit | str] = {}
    for column, answer in zip(scaled, answers, strict=True):
        if isinstance(answer, Refusal):
            found[column] = f"{answer.name} ({answer.result})"
            continue
        try:
            found[column] = scaler_unit(answer, column.tag)
        except MeterUnusable as unusable:
            found[column] = str(unusable)
    return found
