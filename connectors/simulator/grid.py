"""What a meter records of the grid it hangs on: voltages, currents and powers by phase, counters of sags, swells and
failures, and how well its modem and M-Bus meters are heard. Pure functions of a household and an instant, as `curves`.

Powers and currents are those of the household's energy: the average of the period that ends at the instant. What is
instantaneous looks at the last minute. Poly-phase meters share the load among their phases unevenly.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from connectors.simulator.curves import EPOCH, HOUR, Household, mix
from operations._data import Tag
from operations._profile import Column, CosemObject

MINUTE: Final = 60
NOMINAL: Final = 230.0
SHARES: Final = {"L1": 0.5, "L2": 0.3, "L3": 0.2}  # of the load of a meter with three phases
REACTIVE: Final = 0.2  # var to a W
IMPORT, EXPORT = (0, 1), (2, 3)  # parts of Household.energy
_PACKED: Final = {
    Tag.UNSIGNED: Struct(">BB"),
    Tag.LONG_UNSIGNED: Struct(">BH"),
    Tag.DOUBLE_LONG_UNSIGNED: Struct(">BI"),
}
_COUNTERS: Final = {  # days between two counts, about
    "NUMBER_OF_POWER_FAILURES": 60,
    "NUMBER_OF_LONG_POWER_FAILURES": 200,
    "NUMBER_OF_VOLTAGE_SAGS": 20,
    "NUMBER_OF_VOLTAGE_SWELLS": 45,
    "FCS_NOK": 1,
}


def measured(tag: str, at: Sequence[int], household: Household, period: int, *, poly: bool) -> list[float] | None:
    """A register of power quality at instants in rising order, in V, A, W or var; None when the tag names none."""
    name, _, phase = tag.rpartition("_")
    if phase == "TOTAL":
        share = 1.0
    elif phase in SHARES:
        share = SHARES[phase] if poly else 1.0
    else:
        return None
    span = MINUTE if name.startswith("INSTANTANEOUS_") else period or HOUR
    kind = name.partition("_")[2]
    if kind == "VOLTAGE":
        return [_voltage(household.seed, phase, second, span) for second in at]
    if kind == "CURRENT":
        power = _power(household, at, span, IMPORT)
        return [watts * share / NOMINAL for watts in power]
    if kind.startswith(("ACTIVE_POWER_", "REACTIVE_POWER_")):
        parts = EXPORT if kind.endswith("EXPORT") else IMPORT
        factor = share * (REACTIVE if kind.startswith("REACTIVE") else 1.0)
        return [watts * factor for watts in _power(household, at, span, parts)]
    return None


def counted(name: str, at: Sequence[int], household: Household) -> list[int] | None:
    """A counter at instants; None when the name is none of a counter."""
    kind = name[:-3] if name[-3:] in ("_L1", "_L2", "_L3") else name
    if kind not in _COUNTERS:
        return None
    between = _COUNTERS[kind] * 86_400 * (0.5 + mix(household.seed, 81, len(name), sum(name.encode())))
    return [int((second - EPOCH) / between) & 0xFFFF for second in at]


def heard(what: int, at: Sequence[int], household: Household, low: int, high: int) -> list[int]:
    """How well something is heard, from `low` to `high`: another value each quarter of an hour."""
    return [low + int(mix(household.seed, 82, what, second // 900) * (high - low + 1)) for second in at]


def _voltage(seed: int, phase: str, second: int, span: int) -> float:
    part = SHARES[phase]
    slow = mix(seed, 71, int(part * 10), second // HOUR) - 0.5
    quick = mix(seed, 72, int(part * 10), second // span) - 0.5
    return NOMINAL + 8.0 * slow + 4.0 * quick


def _power(household: Household, at: Sequence[int], span: int, parts: tuple[int, int]) -> list[float]:
    now = household.series(parts, at)
    before = household.series(parts, [second - span for second in at])
    return [max(0, late - early) * HOUR / span for late, early in zip(now, before, strict=True)]


def encode(
    column: Column, source: CosemObject, at: Sequence[int], household: Household, period: int, *, poly: bool
) -> list[bytes] | None:
    """The column's values at instants in rising order, in the type of what it captures; None when it is none of these.

    `source`: the object it is captured from.
    """
    kind, what = source.attributes[column.attribute].type, sum(column.obis) + column.attribute
    values: Sequence[int] | None = None
    match column.class_id, column.attribute, column.data_index:
        case 1, 2, _:
            values = counted(column.tag, at, household)
        case 3, 2, _:
            exact = measured(column.tag, at, household, period, poly=poly)
            values = None if exact is None else [round(value / 10.0 ** _scaler(source)) for value in exact]
        case 47, 6, 3:
            kind, values = Tag.UNSIGNED, heard(what, at, household, 5, 28)
        case 47, 6, 4:
            kind, values = Tag.UNSIGNED, heard(what, at, household, 0, 6)
        case 72, 11, _:
            values = [0] * len(at)
        case 77, 2, _:
            values = heard(what, at, household, 30, 90)
        case 77, 8, _:
            values = counted("FCS_NOK", at, household)
    if values is None or kind not in _PACKED:
        return None
    packed = _PACKED[kind]
    return [packed.pack(kind, value) for value in values]


def _scaler(source: CosemObject) -> int:
    """Fixed by the protocol, or what the meter ships with."""
    if source.scaler_unit is not None:
        return source.scaler_unit.scaler
    shipped = source.attributes[3].value
    return 0 if shipped is None else int(shipped.value[0].value)
