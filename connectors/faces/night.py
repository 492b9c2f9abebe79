"""One ordinary night of a utility: every meter's clock set, its registers, profiles, events and alarms read, and the
gas meters behind them.

What the demo sends, and how it is watched while it runs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.faces.upstream import Response, Upstream
from connectors.simulator.fleet import FleetSettings, gas_meter_id, identity
from operations._profile import CosemObject, Profile, profile
from schemas.records import Status

ZONE: Final = ZoneInfo("Europe/Amsterdam")
RATE_WINDOW: Final = 5.0  # seconds
LOGS: Final = ("STANDARD_EVENT_LOG", "FRAUD_DETECTION_LOG", "M_BUS_EVENT_LOG")  # every meter has these
VOLTAGE: Final = "AVERAGE_VOLTAGE_L1"


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day of the fleet's zone, as instants."""

    start: datetime
    end: datetime

    @staticmethod
    def yesterday(now: datetime) -> "Day":
        """The day before `now` in the fleet's zone."""
        today = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        return Day((today - timedelta(days=1)).replace(hour=0), today)


@dataclass(frozen=True, slots=True)
class Asked:
    """One command of the night."""

    device_id: str
    operation: str
    request: dict[str, Any]


def of_electricity(day: Day, meter: Profile) -> list[tuple[str, dict[str, Any]]]:
    """What an electricity meter is asked, in the order it is sent."""
    start, end = day.start.astimezone(UTC), day.end.astimezone(UTC)
    year, month = (end - timedelta(days=366)), (end - timedelta(days=31))
    logs = [{"event_log_category": log, "from_date": month, "until_date": end} for log in LOGS]
    generic = {"obis_code": generic_profile(meter).name, "begin_date": start, "end_date": end}
    return [
        ("SynchronizeTime", {"time_zone": ZONE.key}),
        ("GetActualMeterReads", {}),
        ("GetPeriodicMeterReads", {"period_type": "INTERVAL", "begin_date": start, "end_date": end}),
        ("GetPeriodicMeterReads", {"period_type": "DAILY", "begin_date": month, "end_date": end}),
        ("GetPeriodicMeterReads", {"period_type": "MONTHLY", "begin_date": year, "end_date": end}),
        ("GetProfileGenericData", generic),
        ("FindEvents", {"queries": logs}),
        ("ReadAlarmRegister", {}),
    ]


def of_gas(day: Day) -> list[tuple[str, dict[str, Any]]]:
    """What a gas meter is asked, through its gateway: the last hour of a day is in the row after it."""
    start, end = day.start.astimezone(UTC), day.end.astimezone(UTC) + timedelta(hours=1)
    return [
        ("GetActualMeterReadsGas", {}),
        ("GetPeriodicMeterReadsGas", {"period_type": "INTERVAL", "begin_date": start, "end_date": end}),
    ]


def generic_profile(meter: Profile) -> CosemObject:
    """A profile to be read by its logical name: the one with the average voltages, or where there is none (DSMR 2.2)
    the log of long power failures.
    """
    buffers = (each for each in meter.objects.values() if any(column.tag == VOLTAGE for column in each.columns))
    return next(buffers, meter["LONG_POWER_FAILURE_LOG"])


def commands(fleet: FleetSettings, day: Day) -> list[Asked]:
    """All of the night: of each meter and of the gas meters behind it the same, one operation after the other."""
    rounds: list[list[Asked]] = []
    for number in range(1, fleet.meters + 1):
        who = identity(fleet, number)
        behind = [gas_meter_id(number, channel) for channel in range(1, (fleet.gas_meters or 0) + 1)]
        asked = [Asked(who.device_id, *each) for each in of_electricity(day, profile(who.protocol, who.version))]
        rounds.append(asked + [Asked(gas_meter, *each) for gas_meter in behind for each in of_gas(day)])
    return [asked for one_each in zip(*rounds, strict=True) for asked in one_each]


@dataclass(slots=True)
class Watch:
    """What became of the commands so far."""

    sent: int
    began: float = field(default_factory=time.monotonic)
    outcomes: Counter[Status] = field(default_factory=Counter)
    failures: list[Response] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)

    def note(self, response: Response) -> None:
        self.outcomes[response.header.status] += 1
        self.recent.append(time.monotonic())
        if response.header.status is not Status.SUCCESSFUL:
            self.failures.append(response)

    @property
    def done(self) -> int:
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def rate(self) -> float:
        """Outcomes a second over the last seconds."""
        since = time.monotonic() - RATE_WINDOW
        while self.recent and self.recent[0] < since:
            self.recent.pop(0)
        return len(self.recent) / min(RATE_WINDOW, max(time.monotonic() - self.began, 0.1))

    @property
    def seconds_left(self) -> float | None:
        rate = self.rate
        return (self.sent - self.done) / rate if rate else None


def send_all(upstream: Upstream, asked: Iterable[Asked]) -> set[str]:
    """Send them; gives the correlation ids."""
    sent = {upstream.send(each.operation, each.device_id, each.request) for each in asked}
    upstream.flush()
    return sent


def await_all(
    upstream: Upstream, asked: set[str], seen: Callable[[Watch], None], *, timeout: float = 180.0
) -> Iterator[Response]:
    """The outcome of each command as it comes; `seen` is told after each.

    Ends when all have one, or none came for `timeout` seconds.
    """
    waiting = set(asked)
    watch = Watch(sent=len(waiting))
    seen(watch)
    for response in upstream.responses(timeout):
        if response.header.correlation_id not in waiting:
            continue
        waiting.discard(response.header.correlation_id)
        watch.note(response)
        seen(watch)
        yield response
        if not waiting:
            return
