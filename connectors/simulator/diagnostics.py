"""What a meter says of its modem, its M-Bus, and the distortion of its current (meter-model 9.4, 15.3, 20)."""

from collections.abc import Sequence
from typing import Final

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.axdr import Data, Tag
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED
from connectors.simulator.buffers import ZONE, encode_time
from connectors.simulator.curves import DAY, EPOCH, HOUR, QUARTER, mix
from connectors.simulator.history import SILENCE
from connectors.simulator.premises import Premises, phase_of
from operations._profile import Column, CosemObject

SIGNAL, ERRORS = 3, 4  # data index of a captured cell_info (meter-model 10.4)
STRENGTH, NOT_OK = 2, 8  # attributes of the M-Bus diagnostic
HARMONICS: Final = 15
# The cell of operations-reading 14.4: -87 dBm (13), error rate 6; its neighbours at -91 and -89 dBm.
OPERATOR: Final = "Utility Connect"
CELL, LOCATION, QUALITY, BIT_ERRORS, COUNTRY, NETWORK, CHANNEL_NUMBER = 77, 2230, 13, 6, 66, 204, 107
NEIGHBOURS: Final = ((93, 11), (94, 12))
ROAMING: Final = 5
PACKET: Final = {"GPRS_DIAGNOSTIC": 1, "CDMA_DIAGNOSTIC": 6, "LTE_DIAGNOSTIC": 5}
LINK_NORMAL: Final = 1


def modem(found: CosemObject, index: int, now: float) -> Data | None:
    """Attribute `index` of a modem diagnostic (class 47)."""
    match index:
        case 2:
            return axdr.visible_string(OPERATOR)
        case 3:
            return axdr.enum(ROAMING)
        case 5:
            return axdr.enum(PACKET.get(found.tag, 0))
        case 6:
            return axdr.structure(
                axdr.double_long_unsigned(CELL),
                axdr.long_unsigned(LOCATION),
                axdr.unsigned(QUALITY),
                axdr.unsigned(BIT_ERRORS),
                axdr.long_unsigned(COUNTRY),
                axdr.long_unsigned(NETWORK),
                axdr.double_long_unsigned(CHANNEL_NUMBER),
            )
        case 7:
            return axdr.array(
                *(axdr.structure(axdr.double_long_unsigned(cell), axdr.unsigned(heard)) for cell, heard in NEIGHBOURS)
            )
        case 8:
            return axdr.octet_string(encode_time(now, ZONE)[2:])
    return None


def mbus(index: int, channel: int, now: float, premises: Premises) -> Data | None:
    """Attribute `index` of the M-Bus diagnostic of a channel (class 77)."""
    there = premises.has_gas(channel)
    hours = int((now - EPOCH) // HOUR) if there else 0
    lost = _lost(premises, channel, now)
    match index:
        case 2:
            return axdr.unsigned(_strength(premises, channel, now))
        case 3:
            return axdr.unsigned(channel)
        case 4:
            return axdr.enum(LINK_NORMAL if there else 0)
        case 6:
            return axdr.double_long_unsigned(hours)
        case 7:
            return axdr.double_long_unsigned(hours - lost)
        case 8:
            return axdr.double_long_unsigned(lost)
        case 9:
            taken = encode_time(now // HOUR * HOUR, ZONE)[2:] if there else NOT_SPECIFIED
            return axdr.structure(axdr.unsigned(6), axdr.octet_string(taken))
    return None


def captured(column: Column, at: Sequence[int], premises: Premises) -> list[bytes] | None:
    """Columns of a load profile: signal quality or error rate of a modem, status of an M-Bus meter, strength and bad
    frames of its channel. None for others."""
    channel = column.obis[1]
    match column.class_id, column.attribute, column.data_index:
        case 47, _, index if index in (SIGNAL, ERRORS):
            middle, spread = (QUALITY, 7) if index == SIGNAL else (BIT_ERRORS // 2, 4)
            return [
                bytes((Tag.UNSIGNED, middle + int(spread * (mix(premises.seed, 84, index, second // HOUR) - 0.5))))
                for second in at
            ]
        case 77, 2, _:
            return [bytes((Tag.UNSIGNED, _strength(premises, channel, second))) for second in at]
        case 77, 8, _:
            return [axdr.encode(axdr.double_long_unsigned(_lost(premises, channel, second))) for second in at]
        case 72, 11, _:
            return [bytes((Tag.UNSIGNED, 0))] * len(at)  # an M-Bus meter with nothing to say
    return None


def distortion(tag: str, premises: Premises, second: float) -> int | None:
    """Total harmonic distortion of the current of a phase, in per cent; None when the tag does not name it."""
    if not tag.startswith("THD_INSTANTANEOUS_CURRENT_L"):
        return None
    return 3 + int(14 * mix(premises.seed, 85, phase_of(tag), int(second // QUARTER)))


def fingerprint(tag: str, premises: Premises, second: float) -> Data:
    """Fifteen harmonics of the current of a phase, in per cent of the first: odd ones stand out."""
    phase, day = phase_of(tag), int(second // DAY)
    return axdr.array(
        *(
            axdr.long_unsigned(int((60 if k % 2 == 0 else 15) * mix(premises.seed, 86, phase, day, k) / (k + 2)))
            for k in range(HARMONICS)
        )
    )


def _strength(premises: Premises, channel: int, second: float) -> int:
    """Of a telegram, from 0 to 255; nothing is heard of an empty channel."""
    if not premises.has_gas(channel):
        return 0
    return (
        150 + int(60 * mix(premises.seed, 87, channel)) + int(8 * mix(premises.seed, 88, channel, int(second // HOUR)))
    )


def _lost(premises: Premises, channel: int, second: float) -> int:
    """Bad frames ever: some for each time the M-Bus meter fell silent."""
    return 3 * SILENCE.times(premises.seed, second, channel - 1) if premises.has_gas(channel) else 0
