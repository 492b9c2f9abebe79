"""Read the electricity registers as they stand now, with the time on the meter's own clock.

Reference operations-reading 6.1. The meter may answer null for a register, or refuse it: that register is None, the
others stand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from operations import Meter, operation
from operations._cosem_time import instant_of, millis_of, moment_of
from operations._data import Data
from operations._errors import MeterRefused, MeterUnusable
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Attribute, GetList, Refusal, Steps
from operations._values import MILLIONTHS, kilowatt_hours, number, scaler_unit
from schemas.records import CommandHeader, RegisterRead, RegisterReads

REGISTERS = {  # result field -> profile tag, in the order they are asked for
    "active_energy_import": "ACTIVE_ENERGY_IMPORT_TOTAL",
    "active_energy_import_tariff_one": "ACTIVE_ENERGY_IMPORT_RATE_1",
    "active_energy_import_tariff_two": "ACTIVE_ENERGY_IMPORT_RATE_2",
    "active_energy_export": "ACTIVE_ENERGY_EXPORT_TOTAL",
    "active_energy_export_tariff_one": "ACTIVE_ENERGY_EXPORT_RATE_1",
    "active_energy_export_tariff_two": "ACTIVE_ENERGY_EXPORT_RATE_2",
}


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say: the registers are those of the profile."""


@dataclass(frozen=True, slots=True)
class Result:
    """Registers in kWh, exact; None when the meter gave no value. `log_time` is the meter's clock, in UTC."""

    log_time: datetime
    active_energy_import: Decimal | None
    active_energy_import_tariff_one: Decimal | None
    active_energy_import_tariff_two: Decimal | None
    active_energy_export: Decimal | None
    active_energy_export_tariff_one: Decimal | None
    active_energy_export_tariff_two: Decimal | None


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[RegisterReads]:
    """The registers as one record; its quantities are the names of the result's fields."""
    registers = []
    for name in REGISTERS:
        value: Decimal | None = getattr(result, name)
        registers.append(RegisterRead(name, "kWh", None if value is None else int(value.scaleb(MILLIONTHS))))
    captured_at = millis_of(result.log_time)
    yield RegisterReads(header.device_id, header.correlation_id, captured_at, received_at, tuple(registers))


@operation(
    "GetActualMeterReads",
    needs=("CLOCK", *REGISTERS.values()),
    repeatable=True,
    seconds=60,
    frames=ASSOCIATION + 32,  # at most 13 attributes one by one, or a list in blocks
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when the clock is refused, MeterUnusable when it says no time or a value is no number."""
    asked: list[Attribute] = [meter.profile["CLOCK"].at(2)]
    for tag in REGISTERS.values():
        register = meter.profile[tag]
        asked += [register.at(2)] if register.scaler_unit else [register.at(2), register.at(3)]
    answers: list[Data | Refusal] = yield GetList(tuple(asked))
    if len(answers) != len(asked):
        raise MeterUnusable(f"{len(asked)} attributes were asked for, {len(answers)} came")
    rest = iter(answers)
    clock = next(rest)
    if isinstance(clock, Refusal):
        raise MeterRefused(clock.result, clock.name, "clock")
    log_time = instant_of(clock, "clock")
    if log_time is None:
        raise MeterUnusable("the meter's clock does not say what time it is")
    values: dict[str, Decimal | None] = {}
    for name, tag in REGISTERS.items():
        value, scaling = next(rest), meter.profile[tag].scaler_unit
        if scaling is None and not isinstance(read := next(rest), Refusal):
            scaling = scaler_unit(read, tag)
        raw = None if isinstance(value, Refusal) else number(value, tag)
        values[name] = None if raw is None or scaling is None else kilowatt_hours(raw, scaling, tag)
    return Answer(Result(log_time=moment_of(log_time), **values))
