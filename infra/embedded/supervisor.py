"""Start the whole system in order, keep it running, stop it in reverse order, leave nothing behind.

    with stop_on_signals(), Stack(Path("var"), announce=print) as stack:
        stack.wait()

Kafka and ClickHouse come first, then the tasks (topics, tables), then the roles. A thread watches from then on: what
dies is started again after a pause that doubles, and `announce` hears of it. Another asks each role's `/livez`: one
that is stuck, or answers nothing, is killed after a while (`liveness.py`), and so started again. Children are behind a
leash each (`leash.py`): even `kill -9` of this process ends them all.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from infra.embedded import folder
from infra.embedded.clickhouse import ClickHouse
from infra.embedded.errors import RoleFailed, StackError
from infra.embedded.kafka import HEAP_MB, Kafka
from infra.embedded.liveness import UNLIVE_SECONDS, Liveness
from infra.embedded.part import Part
from infra.embedded.process import Process, run_task
from infra.embedded.roles import ROLES, TASKS, Role, Task

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
HEALTHY_SECONDS = 60.0  # ran that long: its next death counts as the first again
TRIES_AT_START = 3  # deaths before the first readiness that end the whole start
READY_SECONDS = 90.0
WATCH_SECONDS = 0.2
ROOM_SECONDS = 10.0
PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen; 0 is any free port. `metrics` maps a role's name to the port of its probes."""

    kafka: int = 0
    clickhouse: int = 0
    clickhouse_http: int = 0
    metrics: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Watched:
    """What the supervisor remembers of a part."""

    part: Part
    started: float = 0.0
    deaths: int = 0  # in a row, without a healthy minute between them
    restarts: int = 0
    again_at: float | None = None  # monotonic time of the next start, while it is down
    liveness: Liveness = field(default_factory=lambda: Liveness(READY_SECONDS))


class Stack:
    """Everything Meterlog needs, on one data folder.

    `roles` and `tasks` say what runs on top of Kafka and ClickHouse. `announce` gets one line per event worth a
    person's attention, from more than one thread. After `start`, `kafka`, `clickhouse` and `environment` say where
    things are.
    """

    def __init__(
        self,
        data: Path,
        ports: Ports = Ports(),  # noqa: B008 - frozen
        roles: Sequence[Role] = ROLES,
        announce: Callable[[str], None] = print,
        *,
        tasks: Sequence[Task] = TASKS,
        unlive_seconds: float = UNLIVE_SECONDS,
        kafka_heap_mb: int = HEAP_MB,
    ) -> None:
        self.data = data.resolve()
        self.logs = self.data / "logs"
        self.kafka = Kafka(self.data / "kafka", self.logs, port=ports.kafka, heap_mb=kafka_heap_mb, announce=announce)
        self.clickhouse = ClickHouse(
            self.data / "clickhouse", self.logs, port=ports.clickhouse, http_port=ports.clickhouse_http
        )
        self._ports = ports
        self._roles = roles
        self._tasks = tasks
        self._unlive_seconds = unlive_seconds
        self._announce = announce
        self._watched: list[_Watched] = []
        self._lock: IO[str] | None = None
        self._change = threading.RLock()  # held while parts are started, restarted or stopped
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None
        self._prober: threading.Thread | None = None
        self._since = ""

    @property
    def environment(self) -> dict[str, str]:
        """What every role and task is told; see `roles.py`. Complete once started."""
        return {
            "METERLOG_KAFKA": self.kafka.bootstrap,
            "METERLOG_CLICKHOUSE": self.clickhouse.address,
            "METERLOG_CLICKHOUSE_HTTP": self.clickhouse.http,
            "METERLOG_DATA": str(self.data),
            "METERLOG_KEYS": str(self.data / "keys"),
        }

    def start(self) -> None:
        """Start everything and return when all of it is ready; on any failure stop what was started.

        Raises a StackError that says what is wrong and what to do.
        """
        self._lock = folder.take(self.data)
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._announce(f"starting Kafka and ClickHouse on {self.data}")
            self._bring_up([self.kafka, self.clickhouse])
            for task in self._tasks:
                self._announce(f"running {task.name}")
                run_task(task, self.environment, self.data, self.logs)
            if self._roles:
                self._announce(f"starting {', '.join(role.name for role in self._roles)}")
                self._bring_up([self._process(role) for role in self._roles])
            self._announce(f"ready: Kafka {self.kafka.bootstrap}, ClickHouse {self.clickhouse.http}")
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Block until `stop` is called from another thread, or a signal interrupts (see `stop_on_signals`)."""
        while not self._ending.wait(1.0):
            pass

    def stop(self) -> None:
        """Stop in reverse order of starting, the servers last; each within its grace period. Stopping twice is fine."""
        self._ending.set()
        with self._change:
            for watched in reversed(self._watched):
                watched.part.stop()
            self._watched.clear()
            if self._lock is not None:
                (self.data / folder.STATE).unlink(missing_ok=True)
                self._lock.close()
                self._lock = None

    def status(self) -> dict[str, Any]:
        """What `stack.json` holds: addresses, and of each part its process id, state and number of restarts."""
        with self._change:
            return {
                "since": self._since,
                "kafka": self.kafka.bootstrap,
                "clickhouse": self.clickhouse.address,
                "clickhouse_http": self.clickhouse.http,
                "environment": self.environment,
                "parts": [
                    {
                        "name": watched.part.name,
                        "pid": watched.part.pid,
                        "state": "running" if watched.again_at is None else "waiting to be started again",
                        "restarts": watched.restarts,
                        "metrics_port": _probed(watched.part),
                    }
                    for watched in self._watched
                ],
            }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _process(self, role: Role) -> Process:
        port = self._ports.metrics.get(role.name, 0)
        return Process(role, self.environment, self.data, self.logs, port)

    def _bring_up(self, parts: Sequence[Part]) -> None:
        """Start these parts at once and wait for all; the watcher already restarts what dies meanwhile."""
        group = [_Watched(part, liveness=Liveness(READY_SECONDS, self._unlive_seconds)) for part in parts]
        for watched in group:
            with self._change:
                self._watched.append(watched)
                watched.part.start()
                watched.started = time.monotonic()
        self._save()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="stack-watcher", daemon=True)
            self._watcher.start()
            self._prober = threading.Thread(target=self._probe, name="stack-prober", daemon=True)
            self._prober.start()
        self._until_ready(group)

    def _until_ready(self, group: list[_Watched]) -> None:
        until = time.monotonic() + READY_SECONDS
        pending = group
        while pending := [one for one in pending if one.again_at is not None or not one.part.ready()]:
            for one in pending:
                if one.deaths >= TRIES_AT_START:
                    how = f"died {one.deaths} times before it was ready"
                elif time.monotonic() > until:
                    how = f"was not ready after {READY_SECONDS:.0f} s"
                else:
                    continue
                raise RoleFailed(f"{one.part.name} {how} ({one.part.cause()}):\n{one.part.log_end()}")
            time.sleep(0.1)
        for one in group:
            one.liveness.told(time.monotonic(), one.started, "")

    def _watch(self) -> None:
        room_at = 0.0
        warned = False
        while not self._ending.wait(WATCH_SECONDS):
            with self._change:
                for watched in list(self._watched):
                    if not self._ending.is_set():
                        self._look_after(watched)
            if time.monotonic() >= room_at:
                room_at = time.monotonic() + ROOM_SECONDS
                scarce = folder.room(self.data) < folder.MIN_FREE_BYTES
                if scarce and not warned:
                    left = folder.room(self.data) // 2**20
                    self._announce(f"the disk of {self.data} has only {left} MB left: Kafka and ClickHouse will stop")
                warned = scarce

    def _look_after(self, watched: _Watched) -> None:
        now = time.monotonic()
        if watched.again_at is None:
            if watched.part.running:
                return
            watched.deaths = 1 if now - watched.started > HEALTHY_SECONDS else watched.deaths + 1
            self._postpone(watched, watched.part.cause())
        elif now >= watched.again_at:
            try:
                watched.part.start()
            except StackError as error:
                watched.deaths += 1
                self._postpone(watched, str(error).splitlines()[0])
                return
            watched.started, watched.again_at = now, None
            watched.restarts += 1
            self._announce(f"{watched.part.name} was started again")
            self._save()

    def _probe(self) -> None:
        """Ask every role whether it lives, one after the other; the watcher must not wait for their answers."""
        while not self._ending.wait(PROBE_SECONDS):
            for watched in list(self._watched):
                part = watched.part
                if isinstance(part, Process) and watched.again_at is None:
                    began, why = watched.started, part.unlive()
                    with self._change:
                        if not self._ending.is_set() and watched.again_at is None and watched.started == began:
                            self._judge(watched, why)

    def _judge(self, watched: _Watched, why: str) -> None:
        """End a role that has not been live for too long. KILL: one that hangs or is stopped hears nothing else, and
        every role is made to be killed at any moment.
        """
        patience = watched.liveness.told(time.monotonic(), watched.started, why)
        if patience is not None:
            often = f" for the {ordinal}. time" if (ordinal := watched.liveness.ended) > 1 else ""
            self._announce(f"{watched.part.name} has not been live for {patience:g} s and is killed{often}: {why}")
            watched.part.kill()

    def _postpone(self, watched: _Watched, why: str) -> None:
        pause = min(FIRST_PAUSE * 2 ** (watched.deaths - 1), LONGEST_PAUSE)
        watched.again_at = time.monotonic() + pause
        log = self.logs / f"{watched.part.name}.log"
        self._announce(f"{watched.part.name} died: {why}; starting it again in {pause:g} s (log: {log})")
        self._save()

    def _save(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not end the supervision
            folder.write_state(self.data, self.status())


def _probed(part: Part) -> int | None:
    """The port of a part's probes, if it has any."""
    return part.port if isinstance(part, Process) and part.role.probe else None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Inside, TERM and HUP interrupt the main thread as Ctrl-C does, so that `with Stack(...)` stops everything.

    A second signal does not interrupt the stopping, which is bounded anyway. Only for the main thread.
    """
    asked = False

    def interrupt(_signal: int, _frame: object) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
