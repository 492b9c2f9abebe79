"""One ordinary night of a utility: every meter's clock set, its registers, profiles and alarms read.

What the demo sends, and how it is watched while it runs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.faces.upstream import Response, Upstream
from schemas.records import Status

ZONE: Final = ZoneInfo("Europe/Amsterdam")
RATE_WINDOW: Final = 5.0  # seconds


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


def requests(day: Day) -> list[tuple[str, dict[str, Any]]]:
    """What is asked of each meter, in the order it is sent."""
    start, end = day.start.astimezone(UTC), day.end.astimezone(UTC)
    year, month = (end - timedelta(days=366)), (end - timedelta(days=31))
    return [
        ("SynchronizeTime", {"time_zone": ZONE.key}),
        ("GetActualMeterReads", {}),
        ("GetPeriodicMeterReads", {"period_type": "INTERVAL", "begin_date": start, "end_date": end}),
        ("GetPeriodicMeterReads", {"period_type": "DAILY", "begin_date": month, "end_date": end}),
        ("GetPeriodicMeterReads", {"period_type": "MONTHLY", "begin_date": year, "end_date": end}),
        ("ReadAlarmRegister", {}),
    ]


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


def send_all(upstream: Upstream, devices: Sequence[str], day: Day) -> set[str]:
    """Ask everything of every device; gives the correlation ids."""
    asked = {
        upstream.send(operation, device_id, request) for operation, request in requests(day) for device_id in devices
    }
    upstream.flush()
    return asked


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
