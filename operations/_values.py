"""Numbers and scalers out of meters' answers: what is not of the expected type is unusable, never guessed."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any, Final

from operations._data import Data, Tag
from operations._errors import MeterUnusable
from operations._profile import ScalerUnit

MILLIONTHS: Final = 6
UNITS: Final = {
    7: "s",
    13: "m3",
    14: "m3",
    27: "W",
    29: "var",
    30: "Wh",
    32: "varh",
    33: "A",
    35: "V",
    56: "%",
    255: "",
}
"""DLMS unit codes as answers and read records write them (operations-reading 1.5); a count has no unit."""
KILO: Final = 3
KILO_UNITS: Final = {30: "kWh", 32: "kvarh"}
"""Units that results and read records hold in thousands."""
ENERGY: Final = (30,)
VOLUME: Final = (13, 14)
LARGEST: Final = (1 << 63) - 1
_ONLY_INT: Final = {int}

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


def scaled(raw: int, scaling: ScalerUnit) -> Decimal:
    """raw x 10^scaler, exact, in the unit that `scaling` says."""
    return Decimal(raw).scaleb(scaling.scaler)


def millionths(value: Decimal | None) -> int | None:
    """What read records hold of a value; None stays None. For values of at most six decimals."""
    return None if value is None else int(value.scaleb(MILLIONTHS))


def kilowatt_hours(raw: int, scaling: ScalerUnit, what: str) -> Decimal:
    """raw x 10^scaler watt-hours, exact, in kWh. Raises MeterUnusable as `Millionths` does."""
    return Decimal(Millionths(scaling, what, ENERGY).of(raw)).scaleb(-MILLIONTHS)


def cubic_metres(raw: int, scaling: ScalerUnit, what: str) -> Decimal:
    """raw x 10^scaler m3, exact. Raises MeterUnusable as `Millionths` does."""
    return Decimal(Millionths(scaling, what, VOLUME).of(raw)).scaleb(-MILLIONTHS)


def exact(raw: int, scaling: ScalerUnit) -> Decimal:
    """raw x 10^scaler in the unit of `unit_name`, however fine or large."""
    return scaled(raw, scaling).scaleb(-KILO if scaling.unit in KILO_UNITS else 0)


def unit_name(code: int) -> str:
    """The unit that results and read records hold values in; a code this domain does not use keeps its number."""
    return KILO_UNITS.get(code) or UNITS.get(code, f"unit {code}")


class Millionths:
    """From a register's raw values to millionths of our unit: what results and read records hold, exactly.

    `wanted`: the DLMS units that will do; any when it is empty. Raises MeterUnusable for another unit
    (operations-reading 1.5), for a value that is no whole number of millionths, and for one beyond 63 bits.
    """

    __slots__ = ("_divisor", "_multiplier", "_unit", "_what")

    def __init__(self, scaling: ScalerUnit, what: str, wanted: Collection[int] = ()) -> None:
        if wanted and scaling.unit not in wanted:
            asked = " or ".join(f"{code} ({unit_name(code)})" for code in wanted)
            raise MeterUnusable(f"{what}: unit {scaling.unit} is not supported in this read, {asked} is wanted")
        exponent = scaling.scaler + MILLIONTHS - (KILO if scaling.unit in KILO_UNITS else 0)
        self._multiplier: int = 10 ** max(exponent, 0)
        self._divisor: int = 10 ** max(-exponent, 0)
        self._unit, self._what = unit_name(scaling.unit), what

    def of(self, raw: object) -> int:
        """One value."""
        if not isinstance(raw, int) or isinstance(raw, bool):
            raise MeterUnusable(f"{self._what}: {raw!r} is no number")
        scaled, rest = divmod(raw * self._multiplier, self._divisor)
        if rest:
            raise MeterUnusable(f"{self._what}: {raw} is finer than a millionth of a {self._unit}")
        if not -LARGEST <= scaled <= LARGEST:
            raise MeterUnusable(f"{self._what}: {raw} is more than 63 bits of millionths of a {self._unit}")
        return scaled

    def column(self, raw: Sequence[Any]) -> list[int | None]:
        """Many values; None stays None."""
        if self._divisor == 1 and set(map(type, raw)) == _ONLY_INT:
            multiplier = self._multiplier
            if max(raw) * multiplier <= LARGEST and min(raw) * multiplier >= -LARGEST:
                return [value * multiplier for value in raw]
        return [None if value is None else self.of(value) for value in raw]
