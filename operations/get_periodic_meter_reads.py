"""Read a stretch of the meter's electricity profile: quarter-hours, days or months.

Reference operations-reading 7.1 to 7.7 (electricity). A daily or monthly profile may be combined with the columns of
the M-Bus meters; then only the electricity columns are asked for, unless the device cannot select columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from operations import Meter, _buffer, operation
from operations._cosem_time import millis_of
from operations._errors import MeterRefused
from operations._period import PeriodType, check_range, months
from operations._profile import Column
from operations._profile_rows import is_clock, is_status, packed, stepper, table
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Get, Steps
from operations._values import ENERGY, Millionths, scaler_unit
from schemas.records import CommandHeader, EnergyReads

_PROFILES = {period: f"{period}_PROFILE" for period in PeriodType}
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
        check_range(self.begin_date, self.end_date)


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
        times=packed(result.log_times),
        statuses=bytes(status or 0 for status in statuses),
        **{column: packed(getattr(result, name)) for name, (_, column) in _COLUMNS.items()},
    )


@operation(
    "GetPeriodicMeterReads",
    needs=tuple(_PROFILES.values()),
    repeatable=True,
    seconds=300,
    frames=ASSOCIATION + _buffer.FALLBACKS + 392,  # 960 rows (some 27 kB) in blocks of 90 bytes, 8 scalers
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when buffer or scaler are refused, MeterUnusable for cells and scalers nobody can use."""
    profile = meter.profile[_PROFILES[request.period_type]]
    electricity = tuple([column for column in profile.columns if is_electricity(column)])
    begin, end = request.begin_date, request.end_date
    rows, columns = yield from _buffer.read(meter, profile.at(2), profile.columns, electricity, begin, end)
    scales: dict[Column, Millionths] = {}
    for column in columns:  # one at a time: some meters cannot answer a list here (7.2)
        if is_clock(column) or is_status(column) or column.attribute != 2:
            continue
        try:
            scaling = scaler_unit((yield Get(meter.profile[column.tag].at(3))), column.tag)
        except MeterRefused:
            if column in electricity:
                raise
            continue  # no M-Bus meter on that channel, and nothing of it is reported
        if column in electricity:
            scales[column] = Millionths(scaling, column.tag, ENERGY)
    step = stepper(profile.capture_period, months(request.period_type), meter.time_zone)
    repeats = meter.profile.traits.null_data_compression
    found = table(rows, columns, step, millis_of(begin), millis_of(end), repeats=repeats)
    by_tag = {column.tag: tuple(scale.column(found.cells[column])) for column, scale in scales.items()}
    values = {name: by_tag[tag] for name, (tag, _) in _COLUMNS.items() if tag in by_tag}
    return Answer(Result(request.period_type, found.times, found.statuses, **values))


def is_electricity(column: Column) -> bool:
    """Clock, status, and registers of the medium electricity (value group A): not the M-Bus columns of a combined
    profile.
    """
    return is_clock(column) or is_status(column) or column.obis[0] == 1
