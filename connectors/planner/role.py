"""The planner as a role: plans in, commands out, as long as it runs.

    python -m connectors.planner.role

It may be killed at any time and started again, or run twice: what is asked follows from what is stored, and has the
same correlation ids whoever asks. Several processes share a fleet by METERLOG_PLANNER_SHARE.

Settings are the sink's, and:

METERLOG_PLANNER_SHARE    such as 1/4: the first of four processes, each of which has a quarter of the devices; 1/1
METERLOG_PLANNER_SECONDS  between two looks at what is due; 1
METERLOG_PLANNER_REFRESH  seconds between two looks at which devices there are; 60
METERLOG_PLANNER_LAG      seconds after an outcome until its rows are taken to be stored; 30
"""

import os
import re
import signal
import sys
import time
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import Final

import structlog
from confluent_kafka import KafkaException
from prometheus_client import REGISTRY, Counter, Gauge

from connectors.clickhouse.plan_queries import PlanQueries
from connectors.clickhouse.queries import QueryFailed
from connectors.clickhouse.role import Settings
from connectors.faces.upstream import NotDelivered, Upstream
from connectors.planner.plan import PlanWrong, plan_of
from connectors.planner.plans import Plans
from connectors.planner.watching import CHUNK, Watched
from operations._errors import OperationError
from roles.guards import guards
from roles.logs import start_logs
from roles.memory import keep_little
from roles.settings import SettingsWrong, number
from roles.steps import arm, passing
from roles.stuck import Broker, Standstill
from schemas.records import ReadingPlan

log = structlog.get_logger()

ROLE: Final = "planner"
PAUSE_MS: Final = 10_000  # after ClickHouse or Kafka could not be reached
HEARD_AT_ONCE: Final = 20_000  # responses taken in one turn
_SHARE: Final = re.compile(r"(\d{1,4})/(\d{1,4})")

ASKED: Final = Counter("meterlog_planner_commands_total", "Commands sent.", ["plan"])
LOOKS: Final = Counter("meterlog_planner_looks_total", "Devices looked at.", ["plan"])
FAILED: Final = Counter("meterlog_planner_failed_turns_total", "Turns that found ClickHouse or Kafka away.")
DEVICES: Final = Gauge("meterlog_planner_devices", "Devices of a plan, of this process.", ["plan"])
BEHIND: Final = Gauge(
    "meterlog_planner_behind_seconds", "How long the oldest device due waits to be looked at.", ["plan"]
)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, and which part of the devices is this process's: number from 0, and of how many."""

    turn: float = 1.0
    refresh: float = 60.0
    lag: float = 30.0
    share: int = 0
    shares: int = 1

    @classmethod
    def read(cls, said: Mapping[str, str] = os.environ) -> "Pace":
        """Raises SettingsWrong."""
        text = said.get("METERLOG_PLANNER_SHARE") or "1/1"
        found = _SHARE.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise SettingsWrong(f"METERLOG_PLANNER_SHARE: {text!r} is not such as 1/4")
        return cls(
            turn=number(said, "METERLOG_PLANNER_SECONDS", 1.0, 0.05, 60.0),
            refresh=number(said, "METERLOG_PLANNER_REFRESH", 60.0, 0.1, 3_600.0),
            lag=number(said, "METERLOG_PLANNER_LAG", 30.0, 0.1, 3_600.0),
            share=int(found[1]) - 1,
            shares=int(found[2]),
        )

    def has(self, device_id: str) -> bool:
        """Whether the device is this process's."""
        return self.shares == 1 or zlib.crc32(device_id.encode()) % self.shares == self.share


@dataclass(slots=True)
class Planner:
    """Turns until `stop` is set. `waiting_for` says why it cannot do anything, empty when it can."""

    plans: Plans
    store: PlanQueries
    upstream: Upstream
    pace: Pace
    stop: Event = field(default_factory=Event)
    waiting_for: str = "not begun"
    turned_at: float = field(default_factory=time.monotonic)
    _watched: dict[str, Watched] = field(default_factory=dict)
    _refresh_at: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Raises KafkaException when the Kafka client is lost: the role starts anew."""
        while not self.stop.is_set():
            self.turned_at = time.monotonic()
            try:
                self.turn()
                self.waiting_for = ""
                passing("due looked at")
            except (QueryFailed, NotDelivered) as error:
                FAILED.inc()
                self.waiting_for = str(error)
                log.warning("waiting", reason=self.waiting_for)
                self.stop.wait(self.pace.turn)
            self.stop.wait(self.pace.turn)

    def standstill(self, now: float) -> Standstill | None:
        """A loop that does not turn. `now`: seconds of the monotonic clock."""
        if now - self.turned_at <= 2 * self.pace.turn + 1:
            return None
        return Standstill(self.turned_at, "what is due is not looked at")

    def turn(self) -> None:
        """One look at everything that is due. Raises QueryFailed, NotDelivered."""
        self._take_plans()
        self._listen()
        for name, watched in self._watched.items():
            now = Upstream.now()
            if time.monotonic() >= self._refresh_at.get(name, 0.0):
                rows = [row for row in self.store.plan_devices(name) if self.pace.has(row["device_id"])]
                known = self.store.plan_version(name) >= watched.plan.version  # else the sink has not stored it yet
                watched.refresh(rows if known else [], now)
                DEVICES.labels(name).set(len(watched.targets))
                self._refresh_at[name] = time.monotonic() + (self.pace.refresh if known else self.pace.turn)
            while devices := watched.due(now):
                self._look(name, watched, devices, now)
                self.turned_at = time.monotonic()
                if self.stop.is_set() or len(devices) < CHUNK:
                    break

    def _take_plans(self) -> None:
        self.plans.read(0.05)
        present = self.plans.present
        for name in self._watched.keys() - present.keys():
            del self._watched[name]
            DEVICES.remove(name)
            log.info("plan ended", plan=name)
        for name, record in present.items():
            watched = self._watched.get(name)
            if watched is None or watched.plan.version != record.version:
                self._begin(name, record)

    def _begin(self, name: str, record: ReadingPlan) -> None:
        try:
            plan = plan_of(record)
        except PlanWrong as error:
            log.error("plan cannot be used", plan=name, version=record.version, reason=str(error))
            return
        before = self._watched.get(name)
        self._watched[name] = Watched(plan, in_work=before.in_work if before is not None else {})
        self._refresh_at[name] = 0.0
        log.info("plan taken", plan=name, version=record.version)

    def _listen(self) -> None:
        """An outcome may be of a meter that answers again: look at it when its rows are stored."""
        heard = {
            response.header.device_id
            for response in islice(self.upstream.responses(0.05), HEARD_AT_ONCE)
            if self.pace.has(response.header.device_id)
        }
        at = Upstream.now() + int(self.pace.lag * 1000)
        for watched in self._watched.values():
            for device_id in heard & watched.targets.keys():
                watched.wake(device_id, at)

    def _look(self, name: str, watched: Watched, devices: list[str], now: int) -> None:
        try:
            asks = watched.look(devices, self.store, now)
            sent = []
            for ask in asks:
                try:
                    self.upstream.send(
                        ask.operation,
                        ask.device_id,
                        ask.request,
                        correlation_id=ask.correlation_id,
                        expires_at=ask.expires_at,
                        priority=watched.plan.priority,
                        requester=f"plan/{name}",
                    )
                    sent.append(ask)
                except OperationError as refused:  # a plan that is checked cannot ask so: a release may differ
                    log.error("not asked", plan=name, operation=ask.operation, reason=str(refused))
            self.upstream.flush()
            passing("command asked", len(sent))
        except BaseException:
            watched.again(devices, now + PAUSE_MS)
            raise
        watched.sent(sent)
        LOOKS.labels(name).inc(len(devices))
        ASKED.labels(name).inc(len(sent))
        BEHIND.labels(name).set((Upstream.now() - now) / 1000)
        if sent:
            log.info("asked", plan=name, devices=len(devices), commands=len(sent))


def main() -> None:
    """Run the role with settings from the environment until TERM or INT."""
    try:
        arm()
        settings, pace = Settings.read(), Pace.read()
    except SettingsWrong as error:
        sys.exit(f"{ROLE}: {error}")
    keep_little()
    start_logs(ROLE, level=settings.role.log_level, form=settings.role.log_format)
    store = PlanQueries(
        settings.host,
        settings.port,
        database=settings.database,
        **settings.credentials,
        send_receive_timeout=60,
        settings={"max_execution_time": 60},
    )
    stop = Event()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_, lambda *_: stop.set())
    with ExitStack() as ending:
        try:
            upstream = ending.enter_context(Upstream(settings.role.kafka, requester=ROLE, timeout=60.0))
            plans = Plans(settings.role.kafka, timeout=60.0)
        except KafkaException as error:
            sys.exit(f"{ROLE}: {error.args[0].str()}")
        ending.callback(plans.close)
        planner = Planner(plans, store, upstream, pace, stop)
        broker = Broker(settings.role.kafka, dict(settings.role.kafka_config))
        for guard in guards(
            settings.role,
            REGISTRY,
            standstill=lambda: planner.standstill(time.monotonic()),
            waits=lambda: broker.away() or store.away(),
            ready=lambda: (not planner.waiting_for, planner.waiting_for),
        ):
            ending.enter_context(guard)
        log.info(
            "started", clickhouse=f"{settings.host}:{settings.port}/{settings.database}", kafka=settings.role.kafka
        )
        planner.run()
    log.info("stopped")


if __name__ == "__main__":
    main()
