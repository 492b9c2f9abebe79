"""What one partition of the table must be, by its log: pure. `streams/rebuild.py` reads and writes.

The log is the truth, so a value that differs from its fold is replaced, with two exceptions. A version above the log's
means that the log has lost something: going back would give invocation counters out again. And what the log cannot
tell (its beginning was deleted and no snapshot followed, or it has a hole) is not made up. Both are kept as they are
and told.

The inbox position is not in the log, but each decision names the record that caused it. Whatever lies behind the last
of those led to no decision when it was read, or was not read: reading it again repeats an answer at most.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas import topics
from schemas.codec import Unreadable
from streams.device.events import UNVERSIONED, DeviceEvents
from streams.device.evolve import fold
from streams.device.keeper import is_device_key
from streams.device.snapshot import carried
from streams.device.state import Device
from streams.device.wire import decode_device, decode_events, encode_device

EXAMPLES: Final = 20
_INBOX: Final = frozenset(topic.name for topic in topics.DEVICE_INBOX)


@dataclass(slots=True)
class Plan:
    """`changes`: values to write. `causes`: by inbox topic the last offset that led to a decision. `kept`: what is left
    as it is although the log does not explain it, by kind; up to 20 examples each, `counts` has all.
    """

    devices: int = 0
    decisions: int = 0
    missing: int = 0
    differing: int = 0
    changes: dict[bytes, bytes] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, list[str]] = field(default_factory=dict)

    def keep(self, kind: str, what: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.kept.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(what)


def plan(log: Iterable[tuple[bytes, bytes | None]], table: Mapping[bytes, bytes]) -> Plan:
    """Of (key, value) records of one partition's log, in order, and the partition's present table."""
    found = Plan()
    folded: dict[bytes, Device] = {}
    broken: dict[bytes, str] = {}  # until a snapshot comes
    for key, value in log:
        try:
            decision = decode_events(value or b"")
            found.decisions += 1
            _cause(found, decision)
            if decision.version != UNVERSIONED and decision.device_id.encode() != key:
                broken[key] = f"a decision on {decision.device_id} lies under its key"
            elif decision.version != UNVERSIONED:
                _fold(folded, broken, key, decision)
        except Unreadable as error:
            broken[key] = f"a decision cannot be read: {error.reason}"
    for key, why in broken.items():
        found.keep("not told by the log", f"{_text(key)}: {why}")
    found.devices = len(folded.keys() - broken.keys())
    for key, device in folded.items():
        if key not in broken:
            _compare(found, key, device, table.get(key))
    for key in table.keys() - folded.keys() - broken.keys():
        if is_device_key(key):
            found.keep("not in the log", _text(key))
    return found


def _cause(found: Plan, decision: DeviceEvents) -> None:
    topic, _, offset = decision.cause.rpartition("@")
    if topic in _INBOX and offset.isdecimal():
        found.causes[topic] = max(found.causes.get(topic, -1), int(offset))


def _fold(folded: dict[bytes, Device], broken: dict[bytes, str], key: bytes, decision: DeviceEvents) -> None:
    device = folded.get(key, Device())
    if decision.version <= device.version:
        return  # told twice: `verify-state` says so
    if carried(decision) is not None:
        broken.pop(key, None)
    elif decision.version != device.version + 1:
        before = f"version {decision.version} follows version {device.version}"
        broken.setdefault(key, before if device.version else f"its log begins with version {decision.version}")
    folded[key] = fold(device, decision)


def _compare(found: Plan, key: bytes, device: Device, present: bytes | None) -> None:
    value = encode_device(device)
    if present == value:
        return
    if present is None:
        found.missing += 1
    else:
        try:
            version = decode_device(present).version
        except Unreadable:
            version = 0
        if version > device.version:
            found.keep("newer than the log", f"{_text(key)}: version {version}, the log ends at {device.version}")
            return
        found.differing += 1
    found.changes[key] = value


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
