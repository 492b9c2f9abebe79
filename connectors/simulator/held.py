"""Values a meter has by itself: measured, counted, printed on it, or heard from its gas meters. What a client has set,
and what a session tells of itself, is the meter's own affair (`meter`).
"""

from typing import Final

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.axdr import Data
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED
from connectors.simulator import diagnostics
from connectors.simulator.buffers import ZONE, encode_time
from connectors.simulator.columns import GAS_VALUES, REGISTER_MASK, Columns
from connectors.simulator.curves import DAY, HOUR, STANDARD_TIME, is_night_rate
from connectors.simulator.nameplate import gas_meter, nameplate
from connectors.simulator.premises import Premises
from operations._profile import Column, CosemObject, Profile

FIVE_MINUTES: Final = 300
PRIVATE_NETWORK: Final = 0x0A000000  # 10.0.0.0


def value(
    found: CosemObject,
    index: int,
    *,
    now: float,
    scaler: int,
    premises: Premises,
    device_id: str,
    number: int,
    profile: Profile,
) -> Data | None:
    """Attribute `index` at an instant; None when the profile says all there is to say.

    `scaler`: of the object. `number`: of the meter in its fleet.
    """
    channel = found.channel or 0
    match found.class_id, index:
        case 4, (2 | 5) if index == 5 or found.tag.startswith(GAS_VALUES):
            return _gas(found, channel, index, now, premises, five_minutes="MBUS_HOURLY_VALUE_1" in profile)
        case 42, 3:
            return axdr.double_long_unsigned(PRIVATE_NETWORK + number)
        case 47, _:
            return diagnostics.modem(found, index, now)
        case 77, _:
            return diagnostics.mbus(index, channel, now, premises)
    if found.tag == "ACTIVE_TARIFF" and index == 2:
        day, rest = divmod(now + STANDARD_TIME, DAY)
        night = is_night_rate((int(day) + 3) % 7, int(rest) // HOUR)  # 1970-01-01 was a Thursday
        return axdr.octet_string(b"\x00\x01" if night else b"\x00\x02")
    if found.tag.startswith("THD_FINGERPRINT_") and index == 2:
        return diagnostics.fingerprint(found.tag, premises, now)
    if found.class_id in (1, 3) and index == 2:
        column = Column(found.tag, found.class_id, found.obis, index)
        measured = Columns(premises, [int(now)]).encode(column, scaler)
        if measured is not None:
            return axdr.decode(measured[0])
    if channel and premises.has_gas(channel):
        return gas_meter(found, index, number)
    return nameplate(found, index, device_id=device_id, number=number, profile=profile)


def _gas(
    found: CosemObject, channel: int, index: int, now: float, premises: Premises, *, five_minutes: bool
) -> Data | None:
    """The last telegram: of the hour, or, in a meter that knows both, of five minutes (operations-reading 2.3)."""
    there = premises.has_gas(channel)
    often = five_minutes and found.tag.startswith("MBUS_VALUE_")
    period = FIVE_MINUTES if often else HOUR
    taken = now // period * period
    if index == 5:
        return axdr.octet_string(encode_time(taken, ZONE)[2:] if there else NOT_SPECIFIED)
    return axdr.double_long_unsigned(premises.household.gas(channel).at(taken) & REGISTER_MASK if there else 0)
