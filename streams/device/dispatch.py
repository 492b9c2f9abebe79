"""Who gets the next free slot: the index of one partition, and the choice. One job a device, highest priority first,
then oldest.

The index is a cache of the states: it is rebuilt from them, holds no truth, and forgets by stamp. A device that
changed is put in anew (`update`), and what its older entries in the heaps say is passed over when it comes up.

An M-Bus meter's job takes no slot: it goes to the gateway at once, whose own job waits for one, in the order of
priority and age that its commands bring along. So does what a device and its radio cell have to say to each other.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from operations import catalogue
from schemas._quick import quick
from schemas.records import CommandHeader, Status
from streams.device import faults, permits
from streams.device.decided import carried_out_here, may_be_decided
from streams.device.events import Event, JobDispatched
from streams.device.leases import NEVER, cost_of, lease_end, seconds_of
from streams.device.limits import Limits
from streams.device.outcome import orphans, settled, settled_in
from streams.device.possible import REGISTERS, gateway_of, inactive, is_mbus
from streams.device.state import LAST_COUNTER, Device, Pending, due_since

_ORDINARY: Final = CommandHeader("", "", 0).priority
_SLACK: Final = 1_024  # stale heap entries that are not worth a compaction

_Ready = tuple[int, int, int, bytes]  # minus priority, received at, stamp, key
_Timed = tuple[int, int, bytes]  # time, stamp, key


@quick
@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: int
    flying: bool
    silent: bool


class Index:
    """Devices of one partition that have something to do. O(log n) a change, and O(its queue) for the device itself."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._stamp = 0
        self._entries: dict[bytes, _Entry] = {}
        self._answering: list[_Ready] = []
        self._silent: list[_Ready] = []
        self._timed: list[_Timed] = []
        self._at_once: dict[bytes, None] = {}  # in order: a job for a gateway, a word to a cell
        self.flying = 0
        self.silent_flying = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def open(self) -> bool:
        """Whether a job could be given to anybody."""
        return self.free > 0 or bool(self._at_once)

    @property
    def free(self) -> int:
        return max(0, self._limits.slots - self.flying)

    def update(self, key: bytes, device: Device, now: int) -> None:
        """Take note of a device as it stands."""
        self._at_once.pop(key, None)
        old = self._entries.pop(key, None)
        if old is not None and old.flying:
            self.flying -= 1
            self.silent_flying -= old.silent
        if device.idle:
            return
        self._stamp += 1
        out = device.flight is not None
        silent = device.failures > 0 and _next_calls_a_meter(device, now, self._limits)
        flying = device.flight is not None and device.flight.gateway_id is None
        if flying:
            self.flying += 1
            self.silent_flying += silent
        # Before any heap is compacted: what is not among the entries is taken for stale, and would be forgotten.
        self._entries[key] = _Entry(self._stamp, flying, silent)
        best, wake = (None, _wake_flying(device, self._limits)) if out else _rank(device, now, self._limits)
        turn = permits.Turn.GO
        if not out and (device.claim is not None or permits.cell_of(device.registration) is not None):
            turn, look = permits.turn(device, best if _calls_a_meter(_due(device.queue, device, now)) else None, now)
            wake = min(wake, look)
        if turn is permits.Turn.ACT or (best is not None and _delegates(device, now)):
            self._at_once[key] = None
        elif best is not None and turn is permits.Turn.GO:
            heap = self._silent if silent else self._answering
            heappush(heap, (*best, self._stamp, key))
            self._compact(heap)
        if wake < NEVER:
            heappush(self._timed, (wake, self._stamp, key))
            if len(self._timed) > 2 * len(self._entries) + _SLACK:
                self._timed = [entry for entry in self._timed if self._current(entry[1], entry[2])]
                heapify(self._timed)

    @property
    def wake(self) -> int:
        """When the first of them is due; NEVER when nobody waits for a time."""
        timed = self._timed
        while timed and not self._current(timed[0][1], timed[0][2]):
            heappop(timed)
        return timed[0][0] if timed else NEVER

    def due(self, now: int) -> list[bytes]:
        """Devices whose time came: a back-off or a lease ran out, a command expired or rose a step. Each must be
        `update`d.
        """
        found = []
        while self._timed and self._timed[0][0] <= now:
            _, stamp, key = heappop(self._timed)
            if self._current(stamp, key):
                found.append(key)
        return found

    def take(self) -> bytes | None:
        """The device that gets the next job: an M-Bus meter at once, others while a slot is free; None when nobody is
        ready. It must be `update`d.
        """
        if self._at_once:
            key = next(iter(self._at_once))
            del self._at_once[key]
            return key
        if self.free < 1:
            return None
        heaps = [self._answering]
        if self.silent_flying < self._limits.silent_slots:
            heaps.append(self._silent)
        ready = [heap for heap in heaps if self._top(heap)]
        if not ready:
            return None
        return heappop(min(ready, key=lambda heap: heap[0]))[3]

    def _top(self, heap: list[_Ready]) -> bool:
        while heap and not self._current(heap[0][2], heap[0][3]):
            heappop(heap)
        return bool(heap)

    def _current(self, stamp: int, key: bytes) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.stamp == stamp

    def _compact(self, heap: list[_Ready]) -> None:
        if len(heap) > 2 * len(self._entries) + _SLACK:
            heap[:] = [entry for entry in heap if self._current(entry[2], entry[3])]
            heapify(heap)


def dispatch(
    index: Index, device_of: Callable[[bytes], Device], now: int, limits: Limits
) -> Iterator[tuple[bytes, list[Event]]]:
    """The next jobs, one decision a device, while slots are free. The caller evolves and `update`s before it asks for
    the next.
    """
    while (key := index.take()) is not None:
        yield key, next_job(device_of(key), now, limits)


def next_job(device: Device, now: int, limits: Limits) -> list[Event]:
    """The job of one device: its due commands in order of priority and age, as many as fit, those in doubt first.
    Before, what is too late is settled.
    """
    if device.flight is not None:
        return []
    events: list[Event] = [
        outcome for held in device.queue if (outcome := _given_up(device, held, now, limits)) is not None
    ]
    if events:
        events += orphans(device, events, device.registration, now)
        gone = settled_in(events)
        queue = [held for held in device.queue if held.correlation_id not in gone]
    else:
        queue = list(device.queue)
    due = _due(queue, device, now)
    if not due and device.claim is None:
        return events
    due.sort(key=lambda held: _order(held, now, limits))
    if device.claim is not None or permits.cell_of(device.registration) is not None:
        ranks = ((-priority(held, now, limits), held.received_at) for held in due)
        first = min(ranks) if _calls_a_meter(due) else None
        turn, _ = permits.turn(device, first, now)
        if turn is permits.Turn.ACT:
            return [*events, permits.act(device, due, first, now, limits)]
        if turn is permits.Turn.WAIT:
            return events
    registration = device.registration
    gateway = gateway_of(registration) if registration is not None else None
    if registration is not None and is_mbus(registration) and (through := [held for held in due if _connects(held)]):
        if gateway is None:
            fault = faults.no_gateway(device.device_id)
            return events + [settled(held, Status.REJECTED, fault, now) for held in through]
        due = through
    else:
        gateway = None
    commands = _together(due, limits)
    frames = sum(_frames(held) for held in commands) if gateway is None else 0
    frames += limits.association_frames if frames else 0
    if device.counter + frames - 1 > LAST_COUNTER:
        return events + [settled(held, Status.ERROR, faults.counters_used_up(), now) for held in commands]
    start = permits.start_of(device, now)
    deadline = start + _span(commands, limits) if gateway is None else now + limits.delegation
    if not permits.usable(device, deadline, limits):
        return [*events, *permits.dropped(device)]  # what came after it was asked takes longer: it is asked anew
    events.append(
        JobDispatched(
            number=device.jobs + 1,
            correlation_ids=tuple([held.correlation_id for held in commands]),
            dispatched_at=now,
            deadline=deadline,
            counter_from=device.counter,
            counter_to=device.counter + frames - 1,
            gateway_id=gateway,
        )
    )
    return events


def _given_up(device: Device, held: Pending, now: int, limits: Limits) -> Event | None:
    """The outcome of a command that has had its last chance of a job."""
    if held.expires_at is not None and held.expires_at <= now:
        return settled(held, Status.EXPIRED, faults.too_late(held.expires_at, held.fault), now)
    fault = inactive(device, held.operation, limits) if held.not_before <= now else None
    return settled(held, Status.REJECTED, fault, now) if fault is not None else None


def priority(held: Pending, now: int, limits: Limits) -> int:
    """As given, and a step lower after each second retry but the first two attempts (reference 2.3, 2.5).

    Below the default it rises a step every `ageing_step` that it is due, up to the default, so that nobody waits for
    ever.
    """
    base = held.priority
    if held.attempts > limits.decay_every:
        base = max(0, base - (held.attempts - 1) // limits.decay_every)
    if base >= _ORDINARY:
        return base
    return min(_ORDINARY, base + max(0, now - due_since(held)) // limits.ageing_step)


def _span(commands: list[Pending], limits: Limits) -> int:
    return limits.connect + 1_000 * sum(seconds_of(held, limits) for held in commands)


def _connects(held: Pending) -> bool:
    found = catalogue().get(held.operation)
    return found is not None and found.connects


def _due(queue: Iterable[Pending], device: Device, now: int) -> list[Pending]:
    return [held for held in queue if held.not_before <= now and _for_a_worker(device, held)]


def _calls_a_meter(due: list[Pending]) -> bool:
    """Whether a job of these needs the permit of a cell: one that asks the store alone, or registers, does not."""
    return any(_connects(held) for held in due)


def _next_calls_a_meter(device: Device, now: int, limits: Limits) -> bool:
    """Whether the job that is out, or the next one, does: of a meter that does not answer, only those have a quota."""
    flight = device.flight
    if flight is not None:
        return _calls_a_meter([held for held in device.queue if held.correlation_id in flight.correlation_ids])
    due = _due(device.queue, device, now)
    return bool(due) and _connects(min(due, key=lambda held: _order(held, now, limits)))


def _order(held: Pending, now: int, limits: Limits) -> tuple[bool, int, int]:
    """The order within a device. Looks come first: what they look for must not be changed by the others of a job."""
    return held.doubt is None, -priority(held, now, limits), held.received_at


def _delegates(device: Device, now: int) -> bool:
    registration = device.registration
    if registration is None or not is_mbus(registration):
        return False
    return any(held.not_before <= now and _connects(held) for held in device.queue)


def _for_a_worker(device: Device, held: Pending) -> bool:
    if carried_out_here(held.operation):
        return False
    return device.registration is not None or held.operation == REGISTERS


def _rank(device: Device, now: int, limits: Limits) -> tuple[tuple[int, int] | None, int]:
    """Rank of the best due command, and the time at which the device is to be looked at again without any message."""
    best: tuple[int, int] | None = None
    wake = NEVER
    for held in device.queue:
        if held.expires_at is not None:
            wake = min(wake, held.expires_at)
        if not _for_a_worker(device, held):
            if may_be_decided(device, held.operation):
                wake = min(wake, held.not_before)
            continue
        if held.not_before > now:
            wake = min(wake, held.not_before)
            continue
        effective = priority(held, now, limits)
        if effective < _ORDINARY:
            since = due_since(held)
            wake = min(wake, since + (max(0, now - since) // limits.ageing_step + 1) * limits.ageing_step)
        rank = (-effective, held.received_at)
        if best is None or rank < best:
            best = rank
    return best, wake


def _wake_flying(device: Device, limits: Limits) -> int:
    flight = device.flight
    if flight is None:
        return NEVER
    wake = lease_end(device, limits)
    for held in device.queue:
        if held.correlation_id in flight.correlation_ids:
            continue
        if held.expires_at is not None:
            wake = min(wake, held.expires_at)
        if may_be_decided(device, held.operation):
            wake = min(wake, held.not_before)
    return wake


def _together(due: list[Pending], limits: Limits) -> list[Pending]:
    """The first command, and those after it that fit into one association.

    One that calls no meter goes alone, and so does a long one: what went with it would wait for it, or be lost with it.
    """
    first = due[0]
    if _alone(first, limits):
        return [first]
    chosen, seconds = [first], seconds_of(first, limits)
    for held in due[1:]:
        if len(chosen) == limits.commands_a_job:
            break
        if _alone(held, limits):
            continue
        seconds += seconds_of(held, limits)
        if seconds > limits.seconds_a_job:
            break
        chosen.append(held)
    return chosen


def _alone(held: Pending, limits: Limits) -> bool:
    found = catalogue().get(held.operation)
    return found is None or found.alone or cost_of(held).seconds > limits.seconds_a_job


def _frames(held: Pending) -> int:
    return cost_of(held).frames
