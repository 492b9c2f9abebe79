"""A plan at work over simulated days: meters with buffers that answer when they can be reached, a store, and what was
asked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.planner.calendar import DAY, HOUR, MINUTE, Period
from connectors.planner.due import (
    Ask,
    Decision,
    Known,
    Outcome,
    Target,
    candidates,
    decide,
    wanted,
)
from connectors.planner.plan import Plan, plan_of, read_plan
from operations._profile import profile
from schemas.records import Status

SMR = profile("SMR", "5.0.0")
FILE = """
name = "nightly"
zone = "{zone}"
window = {{ from = "01:00", to = "05:00" }}
catch_up = {{ days = {days}, retry = "1h", expires = "1h", outside_window = {outside} }}
reads = [{reads}]
"""
BY_PERIOD = '{{ operation = "GetPeriodicMeterReads", profile = "{}" }}'


def plan(*profiles: str, zone: str = "Europe/Amsterdam", days: int = 10, outside: bool = True, since: int = 0) -> Plan:
    reads = ", ".join(BY_PERIOD.format(each) for each in profiles or ("INTERVAL",))
    record = read_plan(FILE.format(zone=zone, days=days, outside=str(outside).lower(), reads=reads))
    found = plan_of(record)
    return Plan(**{name: getattr(found, name) for name in found.__slots__} | {"since": since, "version": 1})


@dataclass
class Simulated:
    """One device. `reachable(at)`: whether the meter answers. Every command has its outcome `takes` ms after it was
    asked, or at its expiry; rows are stored with it. A row is in the buffer for as long as the profile has room.
    """

    plan: Plan
    reachable: Callable[[int], bool] = lambda at: True
    takes: int = MINUTE
    target: Target = field(default_factory=lambda: Target("TEST1024000000001", 0, SMR))
    asked: list[tuple[int, Ask]] = field(default_factory=list)
    rows: dict[tuple[str, int], int] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    answered_at: int | None = None
    unreached_at: int | None = None
    failures: int = 0
    lacking: Mapping[int, int] = field(default_factory=dict)  # start of a period -> rows the meter never had
    in_work: dict[str, int] = field(default_factory=dict)
    _ends: list[tuple[int, Ask]] = field(default_factory=list)

    @property
    def known(self) -> Known:
        return Known(dict(self.rows), dict(self.outcomes), self.answered_at, self.unreached_at, self.failures)

    def decide(self, now: int) -> Decision:
        return decide(self.plan, self.target, self.known, self.in_work, now)

    def run(self, begin: int, end: int, *, restart_at: int | None = None) -> "Simulated":
        """From look to look; a restart forgets what is in work."""
        now = begin
        while now < end:
            for at, ask in [each for each in self._ends if each[0] <= now]:
                self._end(ask, at)
            if restart_at is not None and now >= restart_at:
                self.in_work, restart_at = {}, None
            decision = self.decide(now)
            for ask in decision.asks:
                self._send(ask, now)
            ends = min((at for at, _ in self._ends), default=end)
            now = max(now + 1, min(decision.look_at, ends))
        return self

    def _send(self, ask: Ask, now: int) -> None:
        self.in_work[ask.correlation_id] = ask.expires_at
        if any(ask.correlation_id == other.correlation_id for _, other in self.asked):
            return  # the device knows it again
        self.asked.append((now, ask))
        self._ends.append((now + self.takes, ask))

    def _end(self, ask: Ask, at: int) -> None:
        self._ends = [each for each in self._ends if each[1] is not ask]
        self.in_work.pop(ask.correlation_id, None)
        if self.reachable(at):
            self.answered_at, self.failures = at, 0
            self.outcomes[ask.correlation_id] = Outcome(Status.SUCCESSFUL, at)
            self._store(ask, at)
        else:
            self.unreached_at, self.failures = at, self.failures + 1
            self.outcomes[ask.correlation_id] = Outcome(Status.ERROR, at, unreached=True)

    def _store(self, ask: Ask, at: int) -> None:
        kind = str(ask.request["period_type"])
        read = next(read for read in self.plan.reads if read.profile == kind)
        period = self.period_of(ask)
        kept = at - {"INTERVAL": 960 * 15 * MINUTE, "DAILY": 40 * DAY, "MONTHLY": 13 * 31 * DAY}[kind]
        whole = wanted(read, period)
        if kind == "INTERVAL":
            whole = max(0, (period.end - max(period.start, kept)) // (15 * MINUTE))
        self.rows[kind, period.start] = whole - self.lacking.get(period.start, 0)

    def period_of(self, ask: Ask) -> Period:
        kind, begin, end = (ask.request[name] for name in ("period_type", "begin_date", "end_date"))
        last = int(end.timestamp() * 1000) + (0 if kind == "INTERVAL" else 1000)
        return Period(int(begin.timestamp() * 1000), last)

    def asked_of(self, kind: str = "INTERVAL") -> list[Period]:
        return [self.period_of(ask) for _, ask in self.asked if ask.request["period_type"] == kind]

    def missing(self, now: int) -> list[tuple[str, Period]]:
        """What is not whole of what could be asked for now."""
        found: list[tuple[str, Period]] = []
        for read in self.plan.reads:
            for period in candidates(self.plan, read, self.target, now):
                assert read.profile is not None
                if self.rows.get((read.profile, period.start), 0) < wanted(read, period):
                    found.append((read.profile, period))
        return found


def request(ask: Ask) -> dict[str, Any]:
    return dict(ask.request)


__all__ = ["DAY", "HOUR", "MINUTE", "Simulated", "plan", "request"]
