"""Proof that the log is the truth: replaying `device-events` through `evolve` gives exactly the table.

`verify` is pure: records in, findings out. `read` brings the records from Kafka, committed ones only. What it reports:
versions that are missing (gaps), versions there twice with other content (conflicts: two owners decided) or the same
(doubles), states in the log that its events do not lead to (snapshots), values of the table that differ, and bytes that
cannot be read.

The log of a device may begin anywhere: what lies before its first snapshot is passed over then, counted as `headless`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas import topics
from schemas.codec import Unreadable
from streams.device.committed import records, table
from streams.device.events import UNVERSIONED, DeviceEvents
from streams.device.evolve import fold
from streams.device.keeper import is_device_key
from streams.device.snapshot import carried, without_state
from streams.device.state import Device
from streams.device.wire import decode_device, decode_events, encode_device

_EXAMPLES: Final = 20  # of each kind of finding


@dataclass(slots=True)
class Verdict:
    """What was found. Each list holds up to 20 examples, the counts hold all."""

    devices: int = 0
    decisions: int = 0
    unversioned: int = 0
    headless: int = 0  # decisions before the first snapshot of a log whose beginning was deleted
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Doubles of the same content change nothing, but no healthy run has them: they count as well."""
        return not self.counts

    def note(self, kind: str, what: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(what)


def verify(log: Iterable[tuple[bytes, bytes]], table: Mapping[bytes, bytes]) -> Verdict:
    """Fold (key, value) records of the log, each key's in order, and compare with the table's values.

    A log that begins later than a device's first decision (retention) is complete from its first snapshot on; one
    that has none is a gap, and proves nothing for that device.
    """
    verdict = Verdict()
    folded: dict[bytes, Device] = {}
    latest: dict[bytes, bytes] = {}  # value of the last decision folded, to tell a double from a conflict
    headless: dict[bytes, int] = {}  # version their log begins with, until a snapshot comes
    for key, value in log:
        try:
            decision = decode_events(value)
        except Unreadable as error:
            verdict.note("unreadable", f"{_text(key)}: {error.reason}")
            continue
        verdict.decisions += 1
        if decision.device_id.encode() != key and decision.version != UNVERSIONED:
            verdict.note("misplaced", f"{_text(key)}: a decision on {decision.device_id}")
        elif decision.version == UNVERSIONED:
            verdict.unversioned += 1
        elif key not in folded and decision.version > 1 and carried(decision) is None:
            headless.setdefault(key, decision.version)
            verdict.headless += 1
        else:
            headless.pop(key, None)
            _fold(verdict, folded, latest, key, value, decision)
    verdict.devices = len(folded)
    for key, version in headless.items():
        verdict.note("gaps", f"{_text(key)}: begins with version {version}, and no snapshot follows")
    _compare(verdict, folded, table, headless)
    return verdict


def table_value(decisions: Iterable[DeviceEvents]) -> bytes | None:
    """The table value that a device's log leads to, None when nothing of it changed the device."""
    device = Device()
    for decision in decisions:
        device = fold(device, decision)
    return encode_device(device) if device.version else None


def _fold(
    verdict: Verdict,
    folded: dict[bytes, Device],
    latest: dict[bytes, bytes],
    key: bytes,
    value: bytes,
    decision: DeviceEvents,
) -> None:
    device = folded.get(key, Device())
    if decision.version == device.version and value == latest.get(key):
        verdict.note("doubles", f"{_text(key)}: version {decision.version}")
    elif decision.version <= device.version:
        verdict.note("conflicts", f"{_text(key)}: version {decision.version} after version {device.version}")
    else:
        if device.version and decision.version > device.version + 1:
            verdict.note("gaps", f"{_text(key)}: version {decision.version} after version {device.version}")
        led_to = fold(device, without_state(decision))
        if carried(decision) is not None:
            led_to = _taken(verdict, key, device, decision, led_to)
        folded[key] = led_to
        latest[key] = value


def _taken(verdict: Verdict, key: bytes, before: Device, decision: DeviceEvents, led_to: Device) -> Device:
    """The state that a decision carries, held against what its events lead to where they can be replayed."""
    what = f"{_text(key)}: version {decision.version}"
    try:
        state = fold(before, decision)
    except Unreadable as error:
        verdict.note("snapshots", f"{what} cannot be read: {error.reason}")
        return led_to
    if before.version and decision.version == before.version + 1 and state != led_to:
        verdict.note("snapshots", f"{what} is not what its events lead to")
    return state


def _compare(
    verdict: Verdict, folded: Mapping[bytes, Device], table: Mapping[bytes, bytes], headless: Mapping[bytes, int]
) -> None:
    for key, device in folded.items():
        found = table.get(key)
        if found is None:
            verdict.note("missing", f"{_text(key)}: version {device.version} in the log, nothing in the table")
        elif found != encode_device(device):
            verdict.note("differences", f"{_text(key)}: {_difference(device, found)}")
    for key in table.keys() - folded.keys() - headless.keys():
        if is_device_key(key):
            verdict.note("unexplained", f"{_text(key)}: in the table, nothing in the log")


def _difference(device: Device, found: bytes) -> str:
    try:
        other = decode_device(found)
    except Unreadable as error:
        return f"the table's value cannot be read: {error.reason}"
    names = [name for name in Device.__slots__ if getattr(device, name) != getattr(other, name)]
    shown = ", ".join(names) if names else "encoded otherwise"
    return f"log says version {device.version}, table version {other.version}; they differ in {shown}"


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def read(bootstrap: str, config: Mapping[str, str] | None = None, timeout: float = 60.0) -> Verdict:
    """Verify what lies on the broker now. The system should be at rest: decisions taken while it is read show as
    differences.

    Raises KafkaException, and TimeoutError when nothing arrives for `timeout` seconds.
    """
    given = dict(config or {})
    values = table(bootstrap, given, topics.DEVICES.name, timeout)
    log = ((key, value or b"") for key, value in records(bootstrap, given, topics.DEVICE_EVENTS.name, timeout))
    return verify(log, values)
