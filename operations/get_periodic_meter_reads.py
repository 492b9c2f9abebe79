"""Read a stretch of the meter's electricity profile: quarter-hours, days or months.

Reference operations-reading 7.1 to 7.7 (electricity). A daily or monthly profile may be combined with the columns of
the M-Bus meters; then only the electricity columns are asked for, unless the device cannot select columns.
"""

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from operations import Meter, operation
from operations._cosem_time import millis_of
from operations._energy_profile import CLOCK_CLASS, STATUS_CLASS, Cell, convert, in_zone, is_electricity, stepper
from operations._errors import MeterRefused, Rejected
from operations._profile import Column, CosemObject, ScalerUnit
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Get, Range, ReadRows, Steps
from operations._values import scaler_unit
from schemas.records import NO_VALUE, CommandHeader, EnergyReads


class PeriodType(StrEnum):
    """Which profile: quarter-hours, days, months."""

    INTERVAL = "INTERVAL"
    DAILY = "DAILY"
    MONTHLY = "MONTHLY"


_PROFILES = {period: f"{period}_PROFILE" for period in PeriodType}
_CALENDAR = {PeriodType.INTERVAL: (0, 0), PeriodType.DAILY: (1, 0), PeriodType.MONTHLY: (0, 1)}  # days, months
_COLUMNS = {  # field of the result -> tag of its register; the packed record's field
    "active_energy_import": ("ACTIVE_ENERGY_IMPORT_TOTAL", "import_total"),
    "active_energy_export": ("ACTIVE_ENERGY_EXPORT_TOTAL", "export_total"),
    "active_energy_import_tariff_one": ("ACTIVE_ENERGY_IMPORT_RATE_1", "import_rate1"),
    "active_energy_import_tariff_two": ("ACTIVE_ENERGY_IMPORT_RATE_2", "import_rate2"),
    "active_energy_export_tariff_one": ("ACTIVE_ENERGY_EXPORT_RATE_1", "export_rate1"),
    "active_energy_export_tariff_two": ("ACTIVE_ENERGY_EXPORT_RATE_2", "export_rate2"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """Both moments belong to the range; they may be equal. Raises Rejected when begin is after end."""

    period_type: PeriodType
    begin_date: datetime  # rows at this moment belong to the answer
    end_date: datetime  # and rows at this one

    def __post_init__(self) -> None:
        for name, moment in (("begin_date", self.begin_date), ("end_date", self.end_date)):
            if moment.tzinfo is None:
                raise Rejected("has no time zone", field=name)
            if not 2 <= moment.year <= 9998:  # a zone moves it by hours
                raise Rejected(f"{moment.year} is no year a meter knows", field=name)
        if self.begin_date > self.end_date:
            raise Rejected("lies after end_date", field="begin_date")


@dataclass(frozen=True, slots=True)
class Result:
    """Rows in columns of one length, oldest as the meter sent them; a column its profile does not have is empty.

    Times are milliseconds since 1970 UTC, energy millionths of a kWh, exact, null for null-data. Statuses are AMR
    profile status bytes, null where the meter gave none: bit 0 critical error, 1 clock invalid, 2 data not valid, 3
    daylight saving, 5 clock adjusted, 6 recovered value, 7 power down. Columns, because a profile has hundreds of
    rows.
    """

    period_type: PeriodType
    log_times: tuple[int, ...]  # milliseconds since 1970 UTC
    amr_profile_statuses: tuple[int | None, ...] = ()
    active_energy_import: tuple[int | None, ...] = ()  # millionths of a kWh
    active_energy_export: tuple[int | None, ...] = ()  # millionths of a kWh
    active_energy_import_tariff_one: tuple[int | None, ...] = ()  # millionths of a kWh
    active_energy_import_tariff_two: tuple[int | None, ...] = ()  # millionths of a kWh
    active_energy_export_tariff_one: tuple[int | None, ...] = ()  # millionths of a kWh
    active_energy_export_tariff_two: tuple[int | None, ...] = ()  # millionths of a kWh


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[EnergyReads]:
    """The rows as packed columns; none when there are no rows."""
    if not result.log_times:
        return
    statuses = result.amr_profile_statuses or (0,) * len(result.log_times)
    yield EnergyReads(
        device_id=header.device_id,
        correlation_id=header.correlation_id,
        period=result.period_type.value,
        received_at=received_at,
        times=_packed(result.log_times),
        statuses=bytes(status or 0 for status in statuses),
        **{packed: _packed(getattr(result, name)) for name, (_, packed) in _COLUMNS.items()},
    )


@operation(
    "GetPeriodicMeterReads",
    needs=tuple(_PROFILES.values()),
    repeatable=True,
    seconds=300,
    frames=ASSOCIATION + 392,  # 960 rows (some 27 kB) in blocks of 90 bytes, 8 scalers
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when buffer or scaler are refused, MeterUnusable for cells and scalers nobody can use."""
    buffer = meter.profile[_PROFILES[request.period_type]]
    columns, selection = _selection(request, meter, buffer)
    rows: Sequence[tuple[Cell, ...]] = yield ReadRows(buffer.at(2), selection)
    scalings: dict[str, ScalerUnit] = {}
    for column in columns:  # one at a time: some meters cannot answer a list here (7.2)
        if column.class_id in (CLOCK_CLASS, STATUS_CLASS) or column.attribute != 2:
            continue
        try:
            scaling = scaler_unit((yield Get(meter.profile[column.tag].at(3))), column.tag)
        except MeterRefused:
            if is_electricity(column):
                raise
            continue  # no M-Bus meter on that channel, and nothing of it is reported
        if is_electricity(column):
            scalings[column.tag] = scaling
    days, months = _CALENDAR[request.period_type]
    step = stepper(buffer.capture_period, days, months, meter.time_zone)
    begin, end = millis_of(request.begin_date), millis_of(request.end_date)
    repeats = meter.profile.traits.null_data_compression
    found = convert(rows, columns, scalings, step, begin, end, repeats=repeats)
    values = {name: found.values[tag] for name, (tag, _) in _COLUMNS.items() if tag in found.values}
    return Answer(Result(request.period_type, found.times, found.statuses, **values))


def _selection(request: Request, meter: Meter, buffer: CosemObject) -> tuple[tuple[Column, ...], Range | None]:
    """The columns that will come, and the selection to ask for; no definitions where all columns are wanted."""
    traits = meter.profile.traits
    wanted = tuple(column for column in buffer.columns if is_electricity(column))
    some = meter.selective_access and traits.range_selection and traits.column_selection and wanted != buffer.columns
    begin, end = (in_zone(moment, meter.time_zone) for moment in (request.begin_date, request.end_date))
    definitions = tuple(column.definition for column in wanted) if some else ()
    selection = Range(begin, end, definitions) if traits.range_selection else None
    return wanted if some else buffer.columns, selection


def _packed(column: tuple[int | None, ...]) -> bytes:
    """Little-endian int64, NO_VALUE for None."""
    packed = array("q", [NO_VALUE if value is None else value for value in column])
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
