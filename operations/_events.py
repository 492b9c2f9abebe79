"""What an event code of a meter's logs means (operations-reading 9.2): the one table of names, for answers and for
ClickHouse alike.

A code has one meaning whatever the log, as the standards number them through; only 80 to 85 mean one thing on DSMR and
another on SMR. Codes of more than a byte are those of the auxiliary log.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from operations._profile import CHANNELS

UNKNOWN: Final = "UNKNOWN_EVENT_HEADEND"
"""The name of a code that nobody named; the code itself is always told beside it."""

PHASES: Final = ("L1", "L2", "L3")

_STANDARD: Final = (
    "POWER_FAILURE", "POWER_RETURNED", "CLOCK_UPDATE", "CLOCK_ADJUSTED_OLD_TIME", "CLOCK_ADJUSTED_NEW_TIME",
    "CLOCK_INVALID", "REPLACE_BATTERY", "BATTERY_VOLTAGE_LOW", "TARIFF_ACTIVATED", "ERROR_REGISTER_CLEARED",
    "ALARM_REGISTER_CLEARED", "HARDWARE_ERROR_PROGRAM_MEMORY", "HARDWARE_ERROR_RAM", "HARDWARE_ERROR_NV_MEMORY",
    "WATCHDOG_ERROR", "HARDWARE_ERROR_MEASUREMENT_SYSTEM", "FIRMWARE_READY_FOR_ACTIVATION", "FIRMWARE_ACTIVATED",
    "PASSIVE_TARIFF_UPDATED", "SUCCESSFUL_SELFCHECK_AFTER_FIRMWARE_UPDATE", "COMMUNICATION_MODULE_REMOVED",
    "COMMUNICATION_MODULE_INSERTED", "ERROR_REGISTER_2_CLEARED", "ALARM_REGISTER_2_CLEARED", "LAST_GASP_TEST",
)  # fmt: skip
_FRAUD: Final = (
    "TERMINAL_COVER_REMOVED", "TERMINAL_COVER_CLOSED", "STRONG_DC_FIELD_DETECTED", "NO_STRONG_DC_FIELD_ANYMORE",
    "METER_COVER_REMOVED", "METER_COVER_CLOSED", "FAILED_LOGIN_ATTEMPT", "CONFIGURATION_CHANGE",
    "MODULE_COVER_OPENED", "MODULE_COVER_CLOSED",
)  # fmt: skip
_SESSIONS: Final = (
    "METROLOGICAL_MAINTENANCE", "TECHNICAL_MAINTENANCE", "RETRIEVE_METER_READINGS_E", "RETRIEVE_METER_READINGS_G",
    "RETRIEVE_INTERVAL_DATA_E", "RETRIEVE_INTERVAL_DATA_G",
)  # fmt: skip
_MBUS: Final = (  # of channel {}
    "COMMUNICATION_ERROR_M_BUS_CHANNEL_{}", "COMMUNICATION_OK_M_BUS_CHANNEL_{}", "REPLACE_BATTERY_M_BUS_CHANNEL_{}",
    "FRAUD_ATTEMPT_M_BUS_CHANNEL_{}", "CLOCK_ADJUSTED_M_BUS_CHANNEL_{}", "NEW_M_BUS_DEVICE_DISCOVERED_CHANNEL_{}",
    "PERMANENT_ERROR_FROM_M_BUS_DEVICE_CHANNEL_{}", "DEAD_BATTERY_ERROR_M_BUS_DEVICE_CHANNEL_{}",
)  # fmt: skip
_UPGRADE: Final = (
    "SUCCESSFUL", "BLOCK_SIZE_NOT_SUPPORTED", "IMAGE_SIZE_TOO_BIG", "INVALID_BLOCK_NUMBER", "DATA_RECEIVE_ERROR",
    "IMAGE_NOT_COMPLETE_ERROR", "INVALID_SECURITY_ERROR", "INVALID_FIRMWARE_FOR_THIS_DEVICE",
)  # fmt: skip
_MBUS_STATUS: Final = (
    "BATTERY_LOW", "BATTERY_CONSUMPTION_TOO_HIGH", "REVERSE_FLOW", "TAMPER_P2", "TAMPER_P0", "TAMPER_CASE",
    "TAMPER_MAGNETIC", "TEMP_OUT_OF_RANGE", "CLOCK_SYNC_ERROR", "SW_ERROR", "WATCHDOG_ERROR", "SYSTEM_HW_ERROR",
    "CFG_CALIBRATION_ERROR", "HIGH_FLOW_GREATER_THAN_QMAX", "TEMP_SENSOR_ERROR", "RESERVED", "P0_ENABLED",
    "NEW_KEY_ACCEPTED", "NEW_KEY_REJECTED", "RESERVED", *("MANUFACTURER_SPECIFIC",) * 12,
)  # fmt: skip


def _run(first: int, names: Iterable[str]) -> dict[int, str]:
    return dict(enumerate(names, first))


def _phases(first: int, stem: str) -> dict[int, str]:
    return _run(first, (stem.format(phase) for phase in PHASES))


def _auxiliary(channel: int) -> dict[int, str]:
    page, at = 0x100 * (channel - 1), f"_CHANNEL_{channel}"
    return {
        **_run(0x1000 + page, (f"MBUS_FW_UPGRADE_{name}{at}" for name in _UPGRADE)),
        **_run(0x8080 + page, (f"MBUS_STATUS_BIT_{bit}_{name}{at}" for bit, name in enumerate(_MBUS_STATUS))),
        0x80A0 + page: f"KEY_SENT_TO_MBUS_DEVICE_ON{at}",
        0x80A1 + page: f"KEY_ACKNOWLEDGED_BY_MBUS_DEVICE_ON{at}",
    }


_COMMON: Final[Mapping[int, str]] = {
    **_run(1, _STANDARD),
    **_run(40, _FRAUD),
    **_phases(51, "THD_OVER_LIMIT_{}"),
    **_phases(54, "THD_NORMAL_{}"),
    **_phases(57, "THD_LONG_OVER_LIMIT_{}"),
    **_run(71, _SESSIONS),
    **_phases(77, "UNDER_VOLTAGE_{}"),
    **_phases(86, "PHASE_OUTAGE_{}"),
    89: "PHASE_OUTAGE_TEST",
    **_phases(90, "PHASE_RETURNED_{}"),
    **_phases(93, "VOLTAGE_SAG_IN_PHASE_{}"),
    **_phases(96, "VOLTAGE_SWELL_IN_PHASE_{}"),
    99: "LAST_GASP",
    **{code: name for c in CHANNELS for code, name in _run(90 + 10 * c, (each.format(c) for each in _MBUS)).items()},
    **_run(230, (f"MANUFACTURER_SPECIFIC_{code}" for code in range(230, 250))),
    255: "EVENTLOG_CLEARED",
    **{code: name for channel in CHANNELS for code, name in _auxiliary(channel).items()},
    0xFFFF: "AUXILIARY_EVENTLOG_CLEARED",
}
NAMES: Final[Mapping[str, Mapping[int, str]]] = MappingProxyType(
    {
        "DSMR": {**_COMMON, **_phases(80, "PV_VOLTAGE_SAG_{}"), **_phases(83, "PV_VOLTAGE_SWELL_{}")},
        "SMR": {**_COMMON, **_phases(80, "OVER_VOLTAGE_{}"), **_phases(83, "VOLTAGE_{}_NORMAL")},
    }
)
"""Protocol -> code -> name."""


def name_of(code: int, protocol: str) -> str:
    """What an event code means on meters of a protocol, DSMR or SMR; UNKNOWN for one that nobody named."""
    return NAMES.get(protocol, _COMMON).get(code, UNKNOWN)
