"""What several operations refuse alike, before anything is sent."""

from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from operations._errors import Rejected
from operations._meter import Device, Meter

ELECTRICITY: Final = "SMART_METER_E"
NO_CHANNEL: Final = "Meter for gas reads should have a channel configured."
ASSOCIATION: Final = 8
"""Invocation counters that opening and leaving may use: AARQ, GMAC of the challenge, the action that carries it,
release; twice, as the first may be refused for a stale counter (operations-managing 2.11).
"""


def electricity_meter(request: Any, device: Device) -> None:
    """Only an electricity meter has an association; M-Bus meters hang on one (operations-reading 6.1)."""
    if device.device_type and device.device_type != ELECTRICITY:
        raise Rejected(f"{device.device_type} has no association of its own; ask its gateway", field="device_id")


def mbus_meter(request: Any, device: Device) -> None:
    """Only an M-Bus meter is read through a gateway (operations-reading 6.1, 6.2)."""
    if device.device_type == ELECTRICITY:
        raise Rejected(f"{ELECTRICITY} hangs on no gateway; this is asked of an M-Bus meter", field="device_id")


def gas_meter(request: Any, device: Device) -> None:
    """A gas or hydrogen meter on a channel of a gateway. Raises Rejected 401 as operations-reading 6.2 says, in its
    words.
    """
    mbus_meter(request, device)
    if device.device_type and device.channel is None:
        raise Rejected(NO_CHANNEL, field="device_id")
    if device.device_type and device.gateway_id is None:
        raise Rejected("Meter for gas reads should have an energy meter as gateway device.", field="device_id")


def needed_channel(meter: Meter) -> int:
    """The channel of the M-Bus meter a conversation is about. Raises Rejected 401."""
    if meter.channel is None:
        raise Rejected(NO_CHANNEL, field="device_id")
    return meter.channel


def check_zone(time_zone: str, field: str = "time_zone") -> None:
    """Raises Rejected for what is not an IANA zone (operations-reading 4.1, Advice)."""
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Rejected(f"{time_zone!r} is not an IANA time zone", field=field) from None
