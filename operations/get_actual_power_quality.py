"""Read the power-quality values as they stand now: voltages, currents, powers, counters of sags, swells and failures.

Reference operations-reading 14.2. Which objects is the profile's to say, by audience (grid data is public, what shows
how a household lives is private) and number of phases.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from operations import Meter, operation
from operations._cosem_time import instant_of, millis_of, moment_of
from operations._data import Data
from operations._errors import MeterRefused, MeterUnusable
from operations._profile import Audience, CosemObject, ScalerUnit, Supply
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Attribute, GetList, Refusal, Steps
from operations._values import MILLIONTHS, UNITS, millionths, number, scaled, scaler_unit
from schemas.records import CommandHeader, RegisterRead, RegisterReads

REGISTER: Final = 3
DATA: Final = 1


class ProfileType(StrEnum):
    """Whom the values are for."""

    PUBLIC = "PUBLIC"
    PRIVATE = "PRIVATE"


_AUDIENCES: Final = {ProfileType.PUBLIC: Audience.PUBLIC, ProfileType.PRIVATE: Audience.PRIVATE}


@dataclass(frozen=True, slots=True)
class Request:
    """Which values; the phases are those the device is registered with."""

    profile_type: ProfileType


@dataclass(frozen=True, slots=True)
class ActualValue:
    """One value, exact; null when the meter gave none. `unit`: V, A, W, var; null of a counter."""

    quantity: str  # average_voltage_l1, number_of_power_failures ...
    logical_name: str  # 1-0:32.24.0.255
    value: Decimal | None
    unit: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """The values in the order of the profile. `log_time` is the meter's clock, in UTC."""

    log_time: datetime
    values: tuple[ActualValue, ...]


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[RegisterReads]:
    """The values as one record."""
    registers = tuple(RegisterRead(each.quantity, each.unit or "", millionths(each.value)) for each in result.values)
    yield RegisterReads(header.device_id, header.correlation_id, millis_of(result.log_time), received_at, registers)


@operation(
    "GetActualPowerQuality",
    needs=("CLOCK",),
    repeatable=True,
    seconds=120,
    frames=ASSOCIATION + 64,  # 28 values, some with their scaler, one by one, or a list in blocks
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when the clock is refused, MeterUnusable when it says no time or a value is no number."""
    supply = Supply.POLY if meter.polyphase else Supply.SINGLE
    wanted = meter.profile.actual_power_quality(_AUDIENCES[request.profile_type], supply)
    asked: list[Attribute] = [meter.profile["CLOCK"].at(2)]
    for each in wanted:
        asked += [each.at(2), each.at(3)] if _scaler_is_read(each) else [each.at(2)]
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
    return Answer(Result(moment_of(log_time), tuple(_value(each, rest) for each in wanted)))


def _scaler_is_read(found: CosemObject) -> bool:
    """Whether the meter has to say the scaler (14.2). Raises MeterUnusable for an object that has no value to read."""
    if found.class_id not in (REGISTER, DATA):
        raise MeterUnusable(f"{found.tag}: values of class {found.class_id} are no power-quality values")
    return found.class_id == REGISTER and found.scaler_unit is None


def _value(found: CosemObject, rest: Iterator[Data | Refusal]) -> ActualValue:
    """One value out of the answers. A refused value or scaler is no value; the others stand."""
    answer, scaling = next(rest), found.scaler_unit
    if _scaler_is_read(found):
        read = next(rest)
        scaling = None if isinstance(read, Refusal) else scaler_unit(read, found.tag)
    raw = None if isinstance(answer, Refusal) else number(answer, found.tag)
    quantity = found.tag.lower()
    if found.class_id == DATA:
        return ActualValue(quantity, found.name, None if raw is None else Decimal(raw), None)
    if scaling is None:
        return ActualValue(quantity, found.name, None, None)
    value = None if raw is None else _scaled(raw, scaling, found.tag)
    return ActualValue(quantity, found.name, value, UNITS.get(scaling.unit) or None)


def _scaled(raw: int, scaling: ScalerUnit, what: str) -> Decimal:
    if scaling.scaler < -MILLIONTHS:
        raise MeterUnusable(f"{what}: a scaler of {scaling.scaler} is finer than a millionth")
    return scaled(raw, scaling)
