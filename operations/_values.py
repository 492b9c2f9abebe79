"""Numbers and scalers out of meters' answers: what is not of the expected type is unusable, never guessed."""

from decimal import Decimal
from typing import Final

from operations._data import Data, Tag
from operations._errors import MeterUnusable
from operations._profile import ScalerUnit

WATT_HOUR: Final = 30
CUBIC_METRE: Final = (13, 14)
MILLIONTHS: Final = 6
KILO: Final = 3

_NUMBERS: Final = frozenset(
    {
        Tag.DOUBLE_LONG,
        Tag.DOUBLE_LONG_UNSIGNED,
        Tag.INTEGER,
        Tag.LONG_INTEGER,
        Tag.UNSIGNED,
        Tag.LONG_UNSIGNED,
        Tag.LONG64,
        Tag.LONG64_UNSIGNED,
        Tag.ENUMERATE,
    }
)


def number(data: Data, what: str) -> int | None:
    """The integer of any integer type (a register may come wider than its profile says); None for null-data."""
    if data.tag == Tag.NULL_DATA:
        return None
    if data.tag not in _NUMBERS or not isinstance(data.value, int):
        raise MeterUnusable(f"{what}: a number is wanted, type {data.tag} came")
    return data.value


def scaler_unit(data: Data, what: str) -> ScalerUnit:
    """The structure of scaler and unit (meter-model 7.3). Raises MeterUnusable for anything else, or an undefined
    unit.
    """
    if data.tag == Tag.STRUCTURE and len(data.value) == 2:
        scaler, unit = data.value
        if scaler.tag == Tag.INTEGER and unit.tag == Tag.ENUMERATE:
            if unit.value == 0:
                raise MeterUnusable(f"{what}: the unit of the scaler_unit is undefined")
            return ScalerUnit(scaler.value, unit.value)
    raise MeterUnusable(f"{what}: a scaler_unit is a structure of integer and enum")


def kilowatt_hours(raw: int, scaling: ScalerUnit, what: str) -> Decimal:
    """raw x 10^scaler watt-hours, exact, in kWh. Raises MeterUnusable for another unit (operations-reading 1.5)."""
    check_watt_hours(scaling, what)
    return Decimal(raw).scaleb(scaling.scaler - KILO)


def check_watt_hours(scaling: ScalerUnit, what: str) -> None:
    if scaling.unit != WATT_HOUR:
        raise MeterUnusable(f"{what}: unit {scaling.unit} is not supported in a meter read, 30 (Wh) is wanted")
