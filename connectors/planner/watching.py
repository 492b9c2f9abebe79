"""One plan at work: which of its devices are to be looked at, what is known of them, what follows. No Kafka.

A device is looked at when it may have something due: at its place in the window, when a round may be asked again, and a
while after any of its commands had an outcome. In between it costs nothing.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from connectors.clickhouse.queries import Found
from connectors.planner.calendar import DAY
from connectors.planner.due import GIVEN_UP, Ask, Known, Outcome, Target, candidates, concerns, decide
from connectors.planner.plan import Plan
from operations._profile import profiles
from schemas.records import Status

CHUNK: Final = 500  # devices asked about at once
_HEARD: Final = GIVEN_UP + 15 * DAY


class Store(Protocol):
    """What is asked; `PlanQueries` is it."""

    def plan_devices(self, plan: str) -> list[Found]: ...
    def rows_by_period(
        self, devices: list[str], profile: str, starts: list[int], end: int
    ) -> dict[tuple[str, int], int]: ...
    def gas_rows_by_period(
        self, devices: list[str], profile: str, starts: list[int], end: int
    ) -> dict[tuple[str, int], int]: ...
    def outcomes_since(self, devices: list[str], operations: list[str], since: int) -> list[Found]: ...
    def heard(self, devices: list[str], since: int) -> dict[str, tuple[int | None, int | None, int]]: ...


@dataclass(slots=True)
class Watched:
    """A plan and its devices. `in_work`: of each device what was sent and had no outcome yet, with its expiry."""

    plan: Plan
    targets: dict[str, Target] = field(default_factory=dict)
    in_work: dict[str, dict[str, int]] = field(default_factory=dict)
    _look_at: dict[str, int] = field(default_factory=dict)
    _agenda: list[tuple[int, str]] = field(default_factory=list)  # may hold what is outdated; `_look_at` decides

    def refresh(self, rows: Iterable[Found], now: int) -> None:
        """The devices of the plan as they are stored now: new ones are looked at, those that are gone no longer."""
        found = {row["device_id"]: _target(row) for row in rows}
        for device_id in self._look_at.keys() - found.keys():
            del self._look_at[device_id]
            self.in_work.pop(device_id, None)
        self.targets = found
        for device_id in found.keys() - self._look_at.keys():
            self._set(device_id, now)

    def wake(self, device_id: str, at: int) -> None:
        """Something was heard of a device: look at it then, if not sooner."""
        if self._look_at.get(device_id, at) > at:
            self._set(device_id, at)

    def due(self, now: int) -> list[str]:
        """Devices to be looked at now, a chunk of them at most."""
        found: list[str] = []
        while self._agenda and self._agenda[0][0] <= now and len(found) < CHUNK:
            at, device_id = heapq.heappop(self._agenda)
            if self._look_at.get(device_id) == at:
                found.append(device_id)
        return found

    def look(self, devices: list[str], store: Store, now: int) -> list[Ask]:
        """What to ask of these devices now. Until `sent` is called of an ask it counts as not asked. Raises
        QueryFailed: the devices are to be looked at again.
        """
        asks: list[Ask] = []
        for device_id, known in self._known(devices, store, now).items():
            waiting = self.in_work.get(device_id, {})
            self.in_work[device_id] = waiting = {
                name: expiry for name, expiry in waiting.items() if name not in known.outcomes and expiry + DAY > now
            }
            decision = decide(self.plan, self.targets[device_id], known, waiting, now)
            self._set(device_id, decision.look_at)
            if not waiting:
                del self.in_work[device_id]
            asks += decision.asks
        return asks

    def sent(self, asks: Iterable[Ask]) -> None:
        """They are with the broker."""
        for ask in asks:
            self.in_work.setdefault(ask.device_id, {})[ask.correlation_id] = ask.expires_at

    def again(self, devices: Iterable[str], at: int) -> None:
        """Look at these once more then: what should have been done could not be."""
        for device_id in devices:
            self._set(device_id, at)

    def _set(self, device_id: str, at: int) -> None:
        self._look_at[device_id] = at
        heapq.heappush(self._agenda, (at, device_id))
        if len(self._agenda) > 4 * len(self._look_at) + 1_000:
            self._agenda = [(when, which) for which, when in self._look_at.items()]
            heapq.heapify(self._agenda)

    def _known(self, devices: list[str], store: Store, now: int) -> dict[str, Known]:
        rows: dict[str, dict[tuple[str, int], int]] = {device_id: {} for device_id in devices}
        since = now - DAY
        for read in self.plan.reads:
            if read.profile is None:
                continue
            concerned = [device_id for device_id in devices if concerns(read, self.targets[device_id])]
            every = [
                period
                for target in _different(self.targets[device_id] for device_id in concerned)
                for period in candidates(self.plan, read, target, now)
            ]
            if not every:
                continue
            starts, end = sorted({period.start for period in every}), max(period.end for period in every)
            since = min(since, starts[0])
            count_rows = store.gas_rows_by_period if read.of_gas else store.rows_by_period
            for (device_id, start), count in count_rows(concerned, read.profile, starts, end).items():
                rows[device_id][read.profile, start] = count
        outcomes: dict[str, dict[str, Outcome]] = {device_id: {} for device_id in devices}
        for row in store.outcomes_since(devices, sorted({read.operation for read in self.plan.reads}), since):
            told = Outcome(Status(row["status"]), row["settled_at"], bool(row["unreached"]))
            outcomes[row["device_id"]].setdefault(row["correlation_id"], told)
        heard = store.heard(devices, now - _HEARD)
        return {
            device_id: Known(rows[device_id], outcomes[device_id], *heard.get(device_id, (None, None, 0)))
            for device_id in devices
        }


def _different(targets: Iterable[Target]) -> list[Target]:
    """One of each kind whose buffers may reach back as far."""
    return list({(id(target.profile), target.channel): target for target in targets}.values())


def _target(row: Mapping[str, object]) -> Target:
    known = profiles().get((str(row["protocol"]), str(row["protocol_version"])))
    return Target(
        str(row["device_id"]),
        int(str(row["registered_at"])),
        known,
        str(row["device_type"]),
        str(row["gateway_id"]) or None,
        None if row["channel"] is None else int(str(row["channel"])),
    )
