"""The bits of the alarm registers and filters, and their names (operations-reading 10.1). A name belongs to one
register.
"""

from collections.abc import Generator
from enum import StrEnum
from typing import Any, Final

from operations._errors import MeterUnusable
from operations._meter import Meter
from operations._steps import Get
from operations._values import number

REGISTERS: Final = (1, 2, 3)


class Alarm(StrEnum):
    """Everything a meter can alarm about. A reader of an earlier version reads what came later as UNKNOWN."""

    __default__ = "UNKNOWN"

    UNKNOWN = "UNKNOWN"
    CLOCK_INVALID = "CLOCK_INVALID"
    REPLACE_BATTERY = "REPLACE_BATTERY"
    POWER_UP = "POWER_UP"
    AUXILIARY_EVENT = "AUXILIARY_EVENT"
    CONFIGURATION_CHANGED = "CONFIGURATION_CHANGED"
    PROGRAM_MEMORY_ERROR = "PROGRAM_MEMORY_ERROR"
    RAM_ERROR = "RAM_ERROR"
    NV_MEMORY_ERROR = "NV_MEMORY_ERROR"
    MEASUREMENT_SYSTEM_ERROR = "MEASUREMENT_SYSTEM_ERROR"
    WATCHDOG_ERROR = "WATCHDOG_ERROR"
    FRAUD_ATTEMPT = "FRAUD_ATTEMPT"
    COMMUNICATION_ERROR_M_BUS_CHANNEL_1 = "COMMUNICATION_ERROR_M_BUS_CHANNEL_1"
    COMMUNICATION_ERROR_M_BUS_CHANNEL_2 = "COMMUNICATION_ERROR_M_BUS_CHANNEL_2"
    COMMUNICATION_ERROR_M_BUS_CHANNEL_3 = "COMMUNICATION_ERROR_M_BUS_CHANNEL_3"
    COMMUNICATION_ERROR_M_BUS_CHANNEL_4 = "COMMUNICATION_ERROR_M_BUS_CHANNEL_4"
    FRAUD_ATTEMPT_M_BUS_CHANNEL_1 = "FRAUD_ATTEMPT_M_BUS_CHANNEL_1"
    FRAUD_ATTEMPT_M_BUS_CHANNEL_2 = "FRAUD_ATTEMPT_M_BUS_CHANNEL_2"
    FRAUD_ATTEMPT_M_BUS_CHANNEL_3 = "FRAUD_ATTEMPT_M_BUS_CHANNEL_3"
    FRAUD_ATTEMPT_M_BUS_CHANNEL_4 = "FRAUD_ATTEMPT_M_BUS_CHANNEL_4"
    NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_1 = "NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_1"
    NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_2 = "NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_2"
    NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_3 = "NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_3"
    NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_4 = "NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_4"
    PHASE_OUTAGE_DETECTED_L1 = "PHASE_OUTAGE_DETECTED_L1"
    PHASE_OUTAGE_DETECTED_L2 = "PHASE_OUTAGE_DETECTED_L2"
    PHASE_OUTAGE_DETECTED_L3 = "PHASE_OUTAGE_DETECTED_L3"
    PHASE_OUTAGE_TEST_INDICATION = "PHASE_OUTAGE_TEST_INDICATION"
    VOLTAGE_SAG_IN_PHASE_DETECTED_L1 = "VOLTAGE_SAG_IN_PHASE_DETECTED_L1"
    VOLTAGE_SAG_IN_PHASE_DETECTED_L2 = "VOLTAGE_SAG_IN_PHASE_DETECTED_L2"
    VOLTAGE_SAG_IN_PHASE_DETECTED_L3 = "VOLTAGE_SAG_IN_PHASE_DETECTED_L3"
    VOLTAGE_SWELL_IN_PHASE_DETECTED_L1 = "VOLTAGE_SWELL_IN_PHASE_DETECTED_L1"
    VOLTAGE_SWELL_IN_PHASE_DETECTED_L2 = "VOLTAGE_SWELL_IN_PHASE_DETECTED_L2"
    VOLTAGE_SWELL_IN_PHASE_DETECTED_L3 = "VOLTAGE_SWELL_IN_PHASE_DETECTED_L3"
    THD_OVERLIMIT_IN_PHASE_L1 = "THD_OVERLIMIT_IN_PHASE_L1"
    THD_OVERLIMIT_IN_PHASE_L2 = "THD_OVERLIMIT_IN_PHASE_L2"
    THD_OVERLIMIT_IN_PHASE_L3 = "THD_OVERLIMIT_IN_PHASE_L3"
    THD_LONG_OVERLIMIT_IN_PHASE_L1 = "THD_LONG_OVERLIMIT_IN_PHASE_L1"
    THD_LONG_OVERLIMIT_IN_PHASE_L2 = "THD_LONG_OVERLIMIT_IN_PHASE_L2"
    THD_LONG_OVERLIMIT_IN_PHASE_L3 = "THD_LONG_OVERLIMIT_IN_PHASE_L3"
    LAST_GASP = "LAST_GASP"
    LAST_GASP_TEST = "LAST_GASP_TEST"


def _run(*alarms: tuple[int, Alarm, int]) -> dict[int, Alarm]:
    """Bits from (first bit, first alarm, how many in the order of the enum)."""
    order = list(Alarm)
    return {bit + i: order[order.index(first) + i] for bit, first, count in alarms for i in range(count)}


BITS: Final = {  # register -> bit, 0 = least significant -> alarm; bits that are not here are unused
    1: _run(
        (0, Alarm.CLOCK_INVALID, 5),
        (8, Alarm.PROGRAM_MEMORY_ERROR, 6),
        (16, Alarm.COMMUNICATION_ERROR_M_BUS_CHANNEL_1, 16),
    ),
    2: _run((0, Alarm.VOLTAGE_SAG_IN_PHASE_DETECTED_L1, 6), (8, Alarm.THD_OVERLIMIT_IN_PHASE_L1, 6)),
    3: _run((0, Alarm.LAST_GASP, 2)),
}


def alarms_of(register: int, value: int) -> tuple[Alarm, ...]:
    """The alarms whose bits are set, lowest bit first; unused bits are passed over."""
    return tuple(alarm for bit, alarm in BITS[register].items() if value >> bit & 1)


def read_registers(meter: Meter) -> Generator[Get, Any, dict[int, int]]:
    """Register -> its 32 bits, for those the profile has, in order: part of a conversation.

    All or nothing: MeterRefused when one is refused, MeterUnusable when one is no number of 32 bits.
    """
    values: dict[int, int] = {}
    for register in REGISTERS:
        tag = f"ALARM_REGISTER_{register}"
        if tag not in meter.profile:
            continue
        data = yield Get(meter.profile[tag].at(2))
        value = number(data, tag)
        if value is None or not 0 <= value < 1 << 32:
            raise MeterUnusable(f"{tag}: {value} is no value of 32 bits")
        values[register] = value
    return values
