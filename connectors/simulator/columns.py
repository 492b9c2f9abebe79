"""Columns of profile buffers: encoded values of one capture object at the instants of the rows (meter-model 10)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from struct import Struct
from typing import Final

from connectors.dlms.cosem.axdr import Tag
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED
from connectors.simulator.buffers import ZONE, encode_time
from connectors.simulator.curves import HOUR, Household
from operations._profile import Column

ENERGY: Final[Mapping[str, tuple[int, ...]]] = {  # parts of Household.energy
    "ACTIVE_ENERGY_IMPORT_RATE_1": (0,),
    "ACTIVE_ENERGY_IMPORT_RATE_2": (1,),
    "ACTIVE_ENERGY_IMPORT_TOTAL": (0, 1),
    "ACTIVE_ENERGY_EXPORT_RATE_1": (2,),
    "ACTIVE_ENERGY_EXPORT_RATE_2": (3,),
    "ACTIVE_ENERGY_EXPORT_TOTAL": (2, 3),
}
REGISTER_MASK: Final = 0xFFFFFFFF  # registers have 32 bits and run over (meter-model 9.1)
DAYLIGHT_SAVING: Final = 0x08  # of a status column (meter-model 10.6)
NOT_VALID: Final = 0x04
_U32 = Struct(">BI")
_NULL = b"\x00"


def status(second: float, *, valid: bool = True) -> int:
    """The status of a row at an instant."""
    summer = DAYLIGHT_SAVING if datetime.fromtimestamp(second, ZONE).dst() else 0
    return summer | (0 if valid else NOT_VALID)


def encode(column: Column, at: Sequence[int], household: Household, gas_meters: int) -> list[bytes]:
    """The column's values at instants in rising order; channels 1 to `gas_meters` have a gas meter."""
    if column.class_id == 8:
        return [encode_time(second, ZONE) for second in at]
    energy = ENERGY.get(column.tag)
    if energy is not None:
        values = household.series(energy, at)
        return [_U32.pack(Tag.DOUBLE_LONG_UNSIGNED, value & REGISTER_MASK) for value in values]
    if column.class_id == 4:
        return _gas(column, at, household, gas_meters)
    if "STATUS" in column.tag:
        valid = not column.tag.startswith("MBUS_") or column.obis[1] <= gas_meters
        return [bytes((Tag.UNSIGNED, status(second, valid=valid))) for second in at]
    return [_NULL] * len(at)


def _gas(column: Column, at: Sequence[int], household: Household, gas_meters: int) -> list[bytes]:
    channel = column.obis[1]
    if channel > gas_meters:
        nothing = bytes((Tag.OCTET_STRING, 12)) + NOT_SPECIFIED if column.attribute == 5 else _U32.pack(6, 0)
        return [nothing] * len(at)
    taken = [second - HOUR for second in at]  # the last hourly telegram is an hour older than the row
    if column.attribute == 5:
        return [encode_time(second, ZONE) for second in taken]
    values = household.gas(channel).series(taken)
    return [_U32.pack(Tag.DOUBLE_LONG_UNSIGNED, value & REGISTER_MASK) for value in values]
