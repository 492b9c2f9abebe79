"""A state in the log: a replay can start from it, so that what lies before it need not be kept.

Every so many versions of a device (`Limits.snapshot_every`) the decision carries, as its last event, the state it leads
to. A log that begins with such a record is complete; so is one that begins anywhere before, from there on.
"""

from schemas._quick import replace
from streams.device.events import DeviceEvents, Snapshotted
from streams.device.state import Device
from streams.device.wire import decode_device, encode_device


def with_state(decision: DeviceEvents, after: Device) -> DeviceEvents:
    """The decision with the state it leads to."""
    return replace(decision, events=(*decision.events, Snapshotted(encode_device(after))))


def without_state(decision: DeviceEvents) -> DeviceEvents:
    """The decision as it would be without a snapshot: what leads to the state."""
    if carried(decision) is None:
        return decision
    return replace(decision, events=decision.events[:-1])


def carried(decision: DeviceEvents) -> Snapshotted | None:
    last = decision.events[-1] if decision.events else None
    return last if isinstance(last, Snapshotted) else None


def state_in(decision: DeviceEvents) -> Device | None:
    """The state a decision carries, None when it carries none. Raises Unreadable."""
    snapshot = carried(decision)
    return decode_device(snapshot.state) if snapshot is not None else None
