"""One partition's devices: joins reading, deciding, evolving and telling for the shell, and keeps what it has decoded.

Everything here follows from what is received: no clock, no randomness. Commands and results are decided as they come;
time is looked at once a batch, after them, so that no lease runs out whose result lies in the same batch; then the
free slots are given away.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas._quick import replace
from schemas.records import DelegatedEnded, DelegatedJob, Job, PermitAsked, PermitReturned, Tick
from schemas.topics import COMMANDS, DEVICE_MESSAGES, JOB_RESULTS, PERMITS, TICKS
from streams import envelope
from streams.device import faults, outbox
from streams.device.decide import changes, decide
from streams.device.dispatch import Index, dispatch
from streams.device.doubt import begun_unread
from streams.device.events import (
    UNVERSIONED,
    CommandAccepted,
    CommandDoubted,
    CommandReceived,
    CommandRefused,
    CounterDoubted,
    DeviceEvents,
    Event,
    JobDispatched,
    Message,
    ReturnReceived,
    TimePassed,
)
from streams.device.evolve import evolve, fold
from streams.device.inbox import DeadLetter, Refusal, read_command, read_message, read_permit, read_result, read_tick
from streams.device.limits import Limits
from streams.device.react import Told, react
from streams.device.snapshot import with_state
from streams.device.state import Device, at_rest, is_idle
from streams.device.wire import decode_device, encode_device
from streams.keeper import Outgoing, Received

_CACHED: Final = 20_000  # decoded idle devices kept, to spare decoding those that are asked often
_END: Final = struct.Struct(">q")
ROLE: Final = "streams/device"
_RESERVED: Final = b"\x00"  # no device identification begins with it


@dataclass(slots=True)
class Counts:
    """What one partition counted since it was loaded; the app sums them up for the metrics."""

    forwarded: int = 0
    refused: int = 0
    dead_lettered: int = 0
    accepted: int = 0
    dispatched: int = 0
    delegated: int = 0
    doubted: int = 0
    decisions: int = 0
    late: int = 0
    counters_doubted: int = 0


_ANSWERS: Final = {JOB_RESULTS.name: b"results/%d", DEVICE_MESSAGES.name: b"messages/%d"}
ENDED: Final = tuple(_ANSWERS)


def end_key(topic: str, partition: int) -> bytes:
    """Where the partition keeps the end of what it has decided of `job-results` or `device-messages`: leases are
    judged by it.
    """
    return _RESERVED + _ANSWERS[topic] % partition


def end_entry(topic: str, partition: int, end: int) -> tuple[bytes, bytes]:
    """Key and value of that end."""
    return end_key(topic, partition), _END.pack(end)


def is_device_key(key: bytes) -> bool:
    """Whether a key of the table is a device's, and not bookkeeping of the shell or of a keeper."""
    return not key.startswith(_RESERVED)


class Partition:
    """The `Keeper` of one partition.

    `partition_of`: key -> partition it belongs to. `since`: ms; ticks before it are passed over, and nothing is
    dispatched before the first one after it, because deadlines set by a tick left over from a former owner would have
    passed before a worker saw them.
    """

    def __init__(
        self,
        partition: int,
        values: Mapping[bytes, bytes],
        partition_of: Callable[[bytes], int],
        limits: Limits | None = None,
        since: int = 0,
        counts: Counts | None = None,
    ) -> None:
        self.partition = partition
        self.counts = counts or Counts()
        self.index = Index(limits or Limits())
        self._limits = limits or Limits()
        self._values = values
        self._partition_of = partition_of
        self._since = since
        self._devices: dict[bytes, Device] = {}
        self._changed: dict[bytes, None] = {}  # in order
        self._out: list[Outgoing] = []
        self._tick = Tick(0, 0, 0)
        self._ticked = False
        self._traces: dict[str, bytes] = {}
        self._ends: dict[str, int] = {}  # {topic of answers: offset after the last decided}
        self._moved: set[str] = set()
        for topic in ENDED:
            end = values.get(end_key(topic, partition))
            self._ends[topic] = _END.unpack(end)[0] if end is not None else 0
        for key, value in values.items():
            if is_device_key(key) and not is_idle(value):
                device = self._devices[key] = decode_device(value)
                self.index.update(key, device, 0)

    def device(self, key: bytes) -> Device | None:
        """The device as it stands, None when there is none."""
        found = self._devices.get(key)
        if found is None:
            value = self._values.get(key) if is_device_key(key) else None
            if value is None:
                return None
            found = self._devices[key] = decode_device(value)
        return found

    @property
    def wake(self) -> int:
        """When the first of its devices is to be looked at without any message."""
        return self.index.wake

    # --- receiving

    def receive(self, received: Received) -> None:
        """Decide what one record of the inbox asks for."""
        topic = received.topic
        unfit = envelope.unbearable(received)
        if unfit:
            if topic in self._ends:
                self._answered(received)
            self._set_aside(received, unfit)
        elif topic == COMMANDS.name:
            self._receive_command(received)
        elif topic == JOB_RESULTS.name:
            self._receive_result(received)
        elif topic == DEVICE_MESSAGES.name:
            self._receive_message(received)
        elif topic == PERMITS.name:
            self._receive_permit(received)
        elif topic == TICKS.name:
            tick = read_tick(received)
            if isinstance(tick, DeadLetter):
                self._set_aside(received, tick.reason)
            elif tick.at >= self._since:  # the last one counts: clocks differ, and a former owner's may be ahead
                self._tick, self._ticked = tick, True
        else:
            self._set_aside(received, f"no record of {topic} is expected here")

    def _receive_command(self, received: Received) -> None:
        if received.key and received.key not in self._values:  # a device that is known is in its partition
            belongs = self._partition_of(received.key)
            if belongs != self.partition and len(received.value) <= self._limits.record_bytes:
                if not outbox.was_forwarded(received):
                    self.counts.forwarded += 1
                    self._out.append(outbox.forwarded(received, belongs))
                    return
                message = read_command(received, self._limits)
                fault = faults.invalid("key", f"belongs to partition {belongs}, but was sent on to {self.partition}")
                if isinstance(message, CommandReceived):
                    header = message.header
                    refused = CommandRefused(
                        header.correlation_id, message.operation, fault, header.created_at, message.at
                    )
                    self._refuse(received, header.device_id, refused)
                elif isinstance(message, Refusal):
                    self._refuse(received, message.device_id, replace(message.refused, fault=fault))
                else:
                    self._set_aside(received, message.reason)
                return
        message = read_command(received, self._limits)
        if isinstance(message, CommandReceived):
            trace = envelope.traceparent_of(received)
            if trace is not None:
                self._traces[message.header.correlation_id] = trace
            self._decide(received.key, message, f"{received.topic}@{received.offset}", received.timestamp, trace)
        elif isinstance(message, Refusal):
            self._refuse(received, message.device_id, message.refused)
        else:
            self._set_aside(received, message.reason)

    def _receive_result(self, received: Received) -> None:
        self._answered(received)
        message = read_result(received, self._tick.seed)
        if isinstance(message, DeadLetter):
            self._set_aside(received, message.reason)
        elif self.device(received.key) is None:
            self._set_aside(received, "a result of a device that nobody knows")
        else:
            cause = f"{received.topic}@{received.offset}"
            self._decide(received.key, message, cause, received.timestamp, envelope.traceparent_of(received))

    def _receive_message(self, received: Received) -> None:
        self._answered(received)
        message = read_message(received, self._tick.seed)
        if isinstance(message, DeadLetter):
            self._set_aside(received, message.reason)
        elif self._partition_of(received.key) != self.partition:
            self._set_aside(received, f"a message to a device of partition {self._partition_of(received.key)}")
        elif isinstance(message, ReturnReceived) and self.device(received.key) is None:
            self._set_aside(received, "an answer to a device that nobody knows")
        else:
            cause = f"{received.topic}@{received.offset}"
            self._decide(received.key, message, cause, received.timestamp, envelope.traceparent_of(received))

    def _receive_permit(self, received: Received) -> None:
        message = read_permit(received)
        if isinstance(message, DeadLetter):
            self._set_aside(received, message.reason)
        elif self._partition_of(received.key) != self.partition:
            self._set_aside(received, f"a permit of a device of partition {self._partition_of(received.key)}")
        else:
            self._decide(received.key, message, f"{received.topic}@{received.offset}", received.timestamp)

    def _answered(self, received: Received) -> None:
        self._ends[received.topic] = received.offset + 1
        self._moved.add(received.topic)

    def _refuse(self, received: Received, device_id: str, refused: CommandRefused) -> None:
        self._apply(
            received.key or device_id.encode(errors="replace"),
            Device(device_id=device_id),
            [refused],
            None,
            f"{received.topic}@{received.offset}",
            received.timestamp,
            envelope.traceparent_of(received),
        )

    def _set_aside(self, received: Received, reason: str) -> None:
        self.counts.dead_lettered += 1
        self._out.append(envelope.dead_letter(received, reason, ROLE))

    def pass_over(self, topic: str, last: int, at: int) -> None:
        """Records that nobody read were deleted. Among results there may have been the beginning of any attempt that
        is out: what may not be repeated counts as begun.
        """
        if topic not in _ANSWERS:
            return
        self._ends[topic] = last + 1
        self._moved.add(topic)
        for key, device in list(self._devices.items()) if topic == JOB_RESULTS.name else ():
            events: list[Event] = [*begun_unread(device)]
            if events:
                self._apply(key, device, events, None, f"{topic}@{last}", at, None)

    # --- deciding

    def _decide(self, key: bytes, message: Message, cause: str, at: int, trace: bytes | None = None) -> None:
        device = self.device(key) or Device(device_id=key.decode())
        events = decide(device, message, self._limits)
        if events:
            self._apply(key, device, events, message, cause, at, trace)
        elif isinstance(message, TimePassed):
            self.index.update(key, device, self._tick.at)
        else:
            self.counts.late += 1

    def _apply(
        self,
        key: bytes,
        device: Device,
        events: list[Event],
        message: Message | None,
        cause: str,
        at: int,
        trace: bytes | None,
    ) -> None:
        """Evolve, log and tell one decision."""
        self.counts.decisions += 1
        version = device.version + 1 if changes(events) else UNVERSIONED
        if device.device_id == "":
            device = replace(device, device_id=key.decode())
        decision = DeviceEvents(device.device_id, version, at, cause, tuple(events))
        if version and version % self._limits.snapshot_every == 0:
            decision = with_state(decision, fold(device, decision))
        self._out.append(outbox.logged(key, decision, self.partition, trace))
        after = device
        for event in events:
            after = evolve(after, event)
            for record in react(after, event, message):
                self._out.append(self._outgoing(key, record, at, self._trace(event, record) or trace))
            self._count(event)
        if version:
            self._devices[key] = replace(
                after,
                idle=at_rest(after),
                version=version,
            )
            self._changed[key] = None

    def _outgoing(self, key: bytes, record: Told, at: int, trace: bytes | None) -> Outgoing:
        if isinstance(record, DelegatedJob | DelegatedEnded):
            return outbox.said(key, record, self._partition_of(record.device_id.encode()), at, trace)
        if isinstance(record, PermitAsked | PermitReturned):
            return outbox.asked(key, record, self._partition_of(record.cell_id.encode()), at)
        return outbox.told(key, record, at, trace)

    def _trace(self, event: Event, record: object) -> bytes | None:
        """The trace a job belongs to: of its first command that came with one. Kept in memory only: tracing may lose,
        state may not.
        """
        if not self._traces or not isinstance(event, JobDispatched) or not isinstance(record, Job | DelegatedJob):
            return None
        found = [self._traces.pop(name) for name in event.correlation_ids if name in self._traces]
        return found[0] if found else None

    def _count(self, event: Event) -> None:
        if isinstance(event, CommandAccepted):
            self.counts.accepted += 1
        elif isinstance(event, JobDispatched):
            if event.gateway_id is None:
                self.counts.dispatched += 1
            else:
                self.counts.delegated += 1
        elif isinstance(event, CommandDoubted):
            self.counts.doubted += 1
        elif isinstance(event, CommandRefused):
            self.counts.refused += 1
        elif isinstance(event, CounterDoubted):
            self.counts.counters_doubted += 1

    # --- settling

    def settle(self) -> tuple[list[Outgoing], dict[bytes, bytes | None]]:
        """Let time pass if it was told, give the free slots away, and return records and changed values."""
        now = self._tick.at
        for key in self._changed:
            self.index.update(key, self._devices[key], now)
        if self._ticked:
            self._ticked = False
            self._pass_time(now)
        if now and self.index.open:
            self._dispatch(now)
        values: dict[bytes, bytes | None] = {key: encode_device(self._devices[key]) for key in self._changed}
        for topic in sorted(self._moved):
            key, value = end_entry(topic, self.partition, self._ends[topic])
            values[key] = value
        self._moved.clear()
        records, self._out = self._out, []
        self._forget()
        return records, values

    def _pass_time(self, now: int) -> None:
        tick = self._tick
        message = TimePassed(
            now,
            tick.seed,
            results_decided=self._ends[JOB_RESULTS.name] >= tick.results_end,
            messages_decided=self._ends[DEVICE_MESSAGES.name] >= tick.messages_end,
        )
        for key in self.index.due(now):
            self._decide(key, message, "tick", now)
            self.index.update(key, self._devices[key], now)

    def _dispatch(self, now: int) -> None:
        for key, events in dispatch(self.index, self._devices.__getitem__, now, self._limits):
            device = self._devices[key]
            if events:
                self._apply(key, device, events, None, "dispatch", now, None)
            self.index.update(key, self._devices[key], now)

    def _forget(self) -> None:
        """Drop decoded devices that are idle, but those of this batch: their values are not committed yet."""
        if len(self._devices) > _CACHED + len(self.index) + len(self._changed):
            self._devices = {
                key: device for key, device in self._devices.items() if not device.idle or key in self._changed
            }
        if len(self._traces) > _CACHED:
            self._traces.clear()
        self._changed = {}
