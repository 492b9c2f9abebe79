"""What a meter measures, encoded: one attribute at the instants of a buffer's rows, or now (meter-model 9, 10, 15)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from struct import Struct
from typing import Final

from connectors.dlms.cosem.axdr import Tag
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED
from connectors.simulator import diagnostics, history
from connectors.simulator.buffers import ZONE, encode_time
from connectors.simulator.curves import HOUR
from connectors.simulator.grid import Measured, is_measured
from connectors.simulator.premises import Premises
from operations._profile import Column

ENERGY: Final[Mapping[str, tuple[int, ...]]] = {  # parts of Household.energy
    "ACTIVE_ENERGY_IMPORT_RATE_1": (0,),
    "ACTIVE_ENERGY_IMPORT_RATE_2": (1,),
    "ACTIVE_ENERGY_IMPORT_TOTAL": (0, 1),
    "ACTIVE_ENERGY_EXPORT_RATE_1": (2,),
    "ACTIVE_ENERGY_EXPORT_RATE_2": (3,),
    "ACTIVE_ENERGY_EXPORT_TOTAL": (2, 3),
}
GAS_VALUES: Final = ("MBUS_VALUE_", "MBUS_HOURLY_VALUE_")
REGISTER_MASK: Final = 0xFFFFFFFF  # registers have 32 bits and run over (meter-model 9.1)
MOST: Final = 0xFFFF  # of a long-unsigned, which measured values and counters are
DAYLIGHT_SAVING: Final = 0x08  # of a status column (meter-model 10.6)
NOT_VALID: Final = 0x04
_U32, _U16 = Struct(">BI"), Struct(">BH")


class Columns:
    """The columns of one reading of a buffer: all at the same instants, in rising order."""

    def __init__(self, premises: Premises, at: Sequence[int]) -> None:
        self._premises = premises
        self._at = at
        self._measured = Measured(premises, at)

    def encode(self, column: Column, scaler: int) -> list[bytes] | None:
        """The column's values; `scaler`: of the object it is captured from. None: not measured, but what the meter
        holds."""
        premises, at = self._premises, self._at
        match column.class_id, column.attribute:
            case 8, 2:
                return [encode_time(second, ZONE) for second in at]
            case 4, (2 | 5) if column.tag.startswith(GAS_VALUES):
                return self._gas(column)
            case 1, 2 if is_status(column.tag):
                valid = not column.tag.startswith("MBUS_") or premises.has_gas(column.obis[1])
                return [bytes((Tag.UNSIGNED, status(second, valid=valid))) for second in at]
            case 3, 2 if column.tag in ENERGY:
                values = premises.household.series(ENERGY[column.tag], at)
                return [_U32.pack(Tag.DOUBLE_LONG_UNSIGNED, value & REGISTER_MASK) for value in values]
            case 3, 2 if is_measured(column.tag):
                units = 10.0**-scaler
                return [_word(value * units) for value in self._measured.of(column.tag)]
            case ((1 | 3), 2):
                return self._counted(column.tag)
            case (47, 6) | (72, 11) | (77, 2) | (77, 8):
                return diagnostics.captured(column, at, premises)
        return None

    def _counted(self, tag: str) -> list[bytes] | None:
        premises = self._premises
        for told in (history.counter, history.last_of, diagnostics.distortion):
            if told(tag, premises, 0) is not None:
                return [_word(told(tag, premises, second) or 0) for second in self._at]
        return None

    def _gas(self, column: Column) -> list[bytes]:
        channel = column.obis[1]
        if not self._premises.has_gas(channel):
            nothing = bytes((Tag.OCTET_STRING, 12)) + NOT_SPECIFIED if column.attribute == 5 else _U32.pack(6, 0)
            return [nothing] * len(self._at)
        taken = [second - HOUR for second in self._at]  # the last hourly telegram is an hour older than the row
        if column.attribute == 5:
            return [encode_time(second, ZONE) for second in taken]
        values = self._premises.household.gas(channel).series(taken)
        return [_U32.pack(Tag.DOUBLE_LONG_UNSIGNED, value & REGISTER_MASK) for value in values]


def is_status(tag: str) -> bool:
    """A status column of a profile, which the meter makes for each row (meter-model 10.6)."""
    return tag.startswith(("AMR_STATUS", "MBUS_STATUS_INTERVAL", "MBUS_STATUS_DAILY", "MBUS_STATUS_MONTHLY"))


def status(second: float, *, valid: bool = True) -> int:
    """The status of a row at an instant."""
    summer = DAYLIGHT_SAVING if datetime.fromtimestamp(second, ZONE).dst() else 0
    return summer | (0 if valid else NOT_VALID)


def _word(value: float) -> bytes:
    return _U16.pack(Tag.LONG_UNSIGNED, min(max(round(value), 0), MOST))
