"""Read a stretch of a gas meter's profile through its gateway: hours, days or months.

Reference operations-reading 7.4, 7.5; a hydrogen meter (SMART_METER_W) is read the same way. The conversation is with
the gateway. Hours have a profile of their own everywhere; days and months only on SMR 5, older gateways keep them in
the combined profiles of the electricity meter, four channels side by side.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from operations import Meter, _buffer, _gas_models, operation
from operations._cosem_time import millis_of
from operations._period import PeriodType, check_range, months
from operations._profile import CHANNELS, Column, CosemObject, Profile, not_supported
from operations._profile_rows import (
    EXTENDED_REGISTER_CLASS,
    is_capture_time,
    is_clock,
    is_status,
    packed,
    stepper,
    table,
)
from operations._rules import ASSOCIATION, gas_meter, needed_channel
from operations._steps import Answer, Get, Steps
from operations._values import VOLUME, Millionths, scaler_unit
from schemas.records import CommandHeader, ProfileColumn, ProfileReads

PROFILES: Final = {period: f"MBUS_{period}_PROFILE" for period in PeriodType}
_COMBINED: Final = {PeriodType.DAILY: "DAILY_PROFILE", PeriodType.MONTHLY: "MONTHLY_PROFILE"}
_NO_VALUE: Final = 0xFFFF_FFFF  # what some meters store for an hour without a telegram (meter-model 11)
QUANTITY: Final = "consumption"


@dataclass(frozen=True, slots=True)
class Request:
    """Both moments belong to the range; they may be equal. Raises Rejected when begin is after end."""

    period_type: PeriodType
    begin_date: datetime  # rows at this moment belong to the answer
    end_date: datetime  # and rows at this one
    device_model_codes: str = ""  # of gateway and channels 1 to 4, commas between; not known: the meter is asked

    def __post_init__(self) -> None:
        check_range(self.begin_date, self.end_date)


@dataclass(frozen=True, slots=True)
class Result:
    """Rows in columns of one length, oldest as the meter sent them; a column its profile does not have is empty.

    `log_times` are when the gateway made the rows, `capture_times` when the gas meter took the value of each: of the
    hours usually an hour before, null where the gateway does not know it. Statuses are AMR profile status bytes, null
    where there is none: bit 0 critical error, 1 clock invalid, 2 data not valid, 3 daylight saving, 5 clock adjusted,
    6 recovered value, 7 power down; those of a combined profile are the electricity meter's.
    """

    period_type: PeriodType
    logical_name: str  # of the profile: 0-1:24.3.0.255
    log_times: tuple[int, ...]  # milliseconds since 1970 UTC
    consumption: tuple[int | None, ...]  # millionths of a m3
    capture_times: tuple[int | None, ...] = ()  # milliseconds since 1970 UTC
    amr_profile_statuses: tuple[int | None, ...] = ()


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[ProfileReads]:
    """The rows as packed columns of the gas meter; none when there are no rows.

    Days and months go by the same name whichever profile a gateway keeps them in.
    """
    if result.log_times:
        yield ProfileReads(
            device_id=header.device_id,
            correlation_id=header.correlation_id,
            received_at=received_at,
            logical_name=result.logical_name,
            profile=PROFILES[result.period_type],
            times=packed(result.log_times),
            statuses=bytes(status or 0 for status in result.amr_profile_statuses),
            columns=(ProfileColumn(QUANTITY, "m3", packed(result.consumption), packed(result.capture_times)),),
        )


@operation(
    "GetPeriodicMeterReadsGas",
    needs=tuple(f"{PROFILES[PeriodType.INTERVAL]}_{channel}" for channel in CHANNELS),
    repeatable=True,
    seconds=300,
    frames=ASSOCIATION + _buffer.FALLBACKS + 132,  # 240 rows (some 9 kB) in blocks of 90 bytes, a scaler
    decide=gas_meter,
    bundled=False,  # the action of a bundle would have to name the M-Bus meter
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when buffer or scaler are refused, MeterUnusable for cells and scalers nobody can use,
    Rejected 416 when the gateway keeps no such profile.
    """
    channel = needed_channel(meter)
    profile = kept_in(meter.profile, request.period_type, channel)
    if profile is None:
        protocol = f"{meter.profile.protocol} {meter.profile.version}"
        raise not_supported(f"Can't find profile object in {protocol} config for {request.period_type} values")
    wanted = tuple([column for column in profile.columns if _is_of(column, channel)])
    value = next(column for column in wanted if is_value(column, channel))
    begin, end = request.begin_date, request.end_date
    rows, columns = yield from _buffer.read(meter, profile.at(2), profile.columns, wanted, begin, end)
    scaling = _gas_models.scaling(request.device_model_codes, channel)
    if scaling is None:
        scaling = scaler_unit((yield Get(meter.profile[value.tag].at(3))), value.tag)
    millionths = Millionths(scaling, value.tag, VOLUME)
    step = stepper(profile.capture_period, months(request.period_type), meter.time_zone)
    taken = [column for column in columns if is_capture_time(column) and column.obis[1] == channel]
    found = table(
        rows,
        columns,
        step,
        millis_of(begin),
        millis_of(end),
        repeats=meter.profile.traits.null_data_compression,
        capture_times=taken,
        dated=True,
    )
    raw = [None if cell == _NO_VALUE else cell for cell in found.cells[value]]
    captured = tuple(found.cells[taken[0]]) if taken else ()
    consumption = tuple(millionths.column(raw))
    return Answer(Result(request.period_type, profile.name, found.times, consumption, captured, found.statuses))


def kept_in(gateway: Profile, period: PeriodType, channel: int) -> CosemObject | None:
    """The profile of the channel, or the combined one that has its columns (7.4); None when the gateway keeps none."""
    own = f"{PROFILES[period]}_{channel}"
    if own in gateway:
        return gateway[own]
    combined = _COMBINED.get(period, own)
    if combined in gateway and any(is_value(each, channel) for each in gateway[combined].columns):
        return gateway[combined]
    return None


def is_value(column: Column, channel: int) -> bool:
    """The value of the M-Bus meter on a channel, in any profile."""
    return column.class_id == EXTENDED_REGISTER_CLASS and column.attribute == 2 and column.obis[1] == channel


def _is_of(column: Column, channel: int) -> bool:
    """Clock, status, value and capture time: what the read of a channel asks for."""
    of_channel = column.class_id == EXTENDED_REGISTER_CLASS and column.obis[1] == channel
    return of_channel or is_clock(column) or is_status(column)
