"""The log's and the table's records in bytes: binds the Avro records of `schemas/avro/shared/` to the classes of this
folder.
"""

from schemas import codec
from streams.device import events, state
from streams.device.events import DeviceEvents
from streams.device.state import Device

codec.bind("meterlog.DeviceState", Device)
for _part in (state.Flight, state.Pending, state.AttemptedAction, state.Served, state.Claim):
    codec.bind(f"meterlog.{_part.__name__}", _part)
for _event in (
    events.DeviceEvents,
    events.CommandAccepted,
    events.CommandRefused,
    events.CommandRepeated,
    events.JobDispatched,
    events.AttemptBegun,
    events.JobReported,
    events.JobLost,
    events.CommandPostponed,
    events.CommandDoubted,
    events.VerifyPostponed,
    events.AttemptDisproved,
    events.CommandSettled,
    events.CancelNoted,
    events.CounterRaised,
    events.CounterDoubted,
    events.Snapshotted,
    events.JobTaken,
    events.JobRefused,
    events.CommandReturned,
    events.PermitRequested,
    events.PermitTaken,
    events.PermitPostponed,
    events.PermitDropped,
    events.PermitDeclined,
):
    codec.bind(f"meterlog.{_event.__name__}", _event)


def encode_device(device: Device) -> bytes:
    """The table value: the same bytes for the same device, so that a replay can be compared with it."""
    return codec.encode(device)


def decode_device(value: bytes) -> Device:
    """Raises Unreadable."""
    device = codec.decode(value)
    if not isinstance(device, Device):
        raise codec.Unreadable(f"{type(device).__name__} is not a device")
    return device


def encode_events(decision: DeviceEvents) -> bytes:
    return codec.encode(decision)


def decode_events(value: bytes) -> DeviceEvents:
    """Raises Unreadable."""
    decision = codec.decode(value)
    if not isinstance(decision, DeviceEvents):
        raise codec.Unreadable(f"{type(decision).__name__} is not a record of the log")
    return decision
