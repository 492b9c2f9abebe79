"""One partition's cells: joins reading, deciding, evolving and telling for the shell.

Everything here follows from what is received: no clock, no randomness. Requests are decided as they come; once a batch
the time is looked at, and then permits are granted, so that of what came together the first in rank goes first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.records import PermitAsked, PermitReturned
from schemas.topics import CELL_TICKS, PERMIT_REQUESTS
from streams import envelope
from streams.cell.decide import decide, grant
from streams.cell.events import (
    Event,
    PermitExpired,
    PermitFreed,
    PermitGiven,
    RequestQueued,
    RequestRefused,
    TimePassed,
)
from streams.cell.evolve import evolve
from streams.cell.limits import CellLimits
from streams.cell.react import react
from streams.cell.state import Cell, decode_cell, encode_cell, is_busy
from streams.cell.wire import ROLE, read_request, read_tick, told
from streams.keeper import NEVER, Outgoing, Received


@dataclass(slots=True)
class Counts:
    """What one partition counted since it was loaded; the app sums them up for the metrics."""

    asked: int = 0
    granted: int = 0
    returned: int = 0
    expired: int = 0
    refused: int = 0
    late: int = 0
    dead_lettered: int = 0


_COUNTED: Final[dict[type[Event], str]] = {
    RequestQueued: "asked",
    PermitGiven: "granted",
    PermitFreed: "returned",
    PermitExpired: "expired",
    RequestRefused: "refused",
}


class Partition:
    """The `Keeper` of one partition.

    `partition_of`: key -> partition it belongs to, cells and devices alike. `since`: ms; ticks before it are passed
    over, and nothing is granted before the first one after it: a tick left over from a former owner is no time to
    reckon with.
    """

    def __init__(
        self,
        partition: int,
        values: Mapping[bytes, bytes],
        partition_of: Callable[[bytes], int],
        limits: CellLimits,
        since: int = 0,
        counts: Counts | None = None,
    ) -> None:
        self.partition = partition
        self.counts = counts or Counts()
        self._values = values
        self._partition_of = partition_of
        self._limits = limits
        self._since = since
        self._now = 0
        self._ticked = False
        self._out: list[Outgoing] = []
        self._changed: dict[bytes, Cell] = {}  # in this batch
        self._busy: dict[bytes, Cell] = {key: decode_cell(value) for key, value in values.items() if is_busy(value)}

    @property
    def waiting(self) -> int:
        """Devices that wait for a permit."""
        return sum(len(cell.waiting) for cell in self._busy.values())

    @property
    def open(self) -> int:
        """Permits that are out."""
        return sum(len(cell.open) for cell in self._busy.values())

    def cell(self, key: bytes) -> Cell:
        """The cell as it stands; one that was never heard of is as good as any."""
        found = self._changed.get(key) or self._busy.get(key)
        if found is None:
            value = self._values.get(key)
            found = decode_cell(value) if value is not None else Cell(cell_id=key.decode())
        return found

    @property
    def wake(self) -> int:
        """Permits are given ahead of their times, at each tick."""
        return NEVER

    def receive(self, received: Received) -> None:
        """Decide what one record of the inbox asks for."""
        unfit = envelope.unbearable(received)
        if unfit:
            self._set_aside(received, unfit)
        elif received.topic == PERMIT_REQUESTS.name:
            request = read_request(received)
            belongs = self._partition_of(received.key)
            if isinstance(request, str):
                self._set_aside(received, request)
            elif belongs != self.partition:
                self._set_aside(received, f"a request to a cell of partition {belongs}")
            else:
                self._receive_request(received, request)
        elif received.topic == CELL_TICKS.name:
            tick = read_tick(received)
            if isinstance(tick, str):
                self._set_aside(received, tick)
            elif tick.at >= self._since:  # the last one counts: clocks differ, and a former owner's may be ahead
                self._now, self._ticked = tick.at, True
        else:
            self._set_aside(received, f"no record of {received.topic} is expected here")

    def _receive_request(self, received: Received, request: PermitAsked | PermitReturned) -> None:
        if self._now:  # on a busy machine ticks are late, and so would be the times that are reckoned from them
            self._now = max(self._now, received.timestamp)
        events = decide(self.cell(received.key), request, self._limits)
        if events:
            self._apply(received.key, events, received.timestamp)
        else:
            self.counts.late += 1

    def pass_over(self, topic: str, last: int, at: int) -> None:
        """Nothing: a request that was deleted unread is made again, and a permit that was not given back runs out."""

    def settle(self) -> tuple[list[Outgoing], dict[bytes, bytes | None]]:
        """Let time pass if it was told, grant permits, and return records and changed values."""
        now = self._now
        if self._ticked:
            for key, cell in list(self._busy.items()):
                self._apply(key, decide(cell, TimePassed(now), self._limits), now)
        if now:
            for key in list(self._busy if self._ticked else self._changed):
                self._apply(key, grant(self.cell(key), now, self._limits), now)
        self._ticked = False
        values: dict[bytes, bytes | None] = {key: encode_cell(cell) for key, cell in self._changed.items()}
        records, self._out, self._changed = self._out, [], {}
        return records, values

    def _apply(self, key: bytes, events: list[Event], at: int) -> None:
        if not events:
            return
        cell = self.cell(key)
        for event in events:
            cell = evolve(cell, event)
            for record in react(cell.cell_id, event):
                self._out.append(told(key, record, self._partition_of(record.device_id.encode()), at))
            name = _COUNTED.get(type(event))
            if name is not None:
                setattr(self.counts, name, getattr(self.counts, name) + 1)
        self._changed[key] = cell
        if cell.busy:
            self._busy[key] = cell
        else:
            self._busy.pop(key, None)

    def _set_aside(self, received: Received, reason: str) -> None:
        self.counts.dead_lettered += 1
        self._out.append(envelope.dead_letter(received, reason, ROLE))
