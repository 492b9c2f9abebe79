"""A role or task as something that can be started: its settings, its port, its log, its readiness."""

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from infra.embedded.child import Child, tail
from infra.embedded.errors import RoleFailed
from infra.embedded.part import Part
from infra.embedded.ports import LOOPBACK, claim
from infra.embedded.roles import Role, Task

LIVE_SECONDS = 5.0


class Process(Part):
    """A role, once its surroundings (`environment`, `logs`, `port` for its probes) are known."""

    def __init__(self, role: Role, environment: Mapping[str, str], folder: Path, logs: Path, port: int = 0) -> None:
        self.name = role.name
        self.port = port
        self.role = role
        self._environment = environment
        self._folder = folder
        self._log = logs / f"{role.name}.log"

    def start(self) -> None:
        """Start it; the port of its probes stays the same from then on. Raises PortTaken, RoleFailed."""
        self.port = claim(self.port, f"the metrics of {self.name}")
        settings = {"METERLOG_METRICS_PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        self._child = Child(
            self.name,
            self.role.argv,
            environment={**os.environ, **self._environment, **settings, **self.role.environment},
            log=self._log,
            folder=self._folder,
            grace=self.role.grace,
        )
        self._child.start()

    def unlive(self) -> str:
        """Why `/livez` does not say that it is well: the role's own words, or that it does not answer in time. Empty
        when it does, or has no probe. Takes five seconds at most.
        """
        if not self.role.probe:
            return ""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/livez", timeout=LIVE_SECONDS):
                return ""
        except urllib.error.HTTPError as error:
            return error.read(500).decode(errors="replace").strip()
        except OSError:
            return f"its /livez does not answer within {LIVE_SECONDS:.0f} s"

    def ready(self) -> bool:
        """Whether `/readyz` says so; without a probe, whether it runs."""
        if not self.running:
            return False
        if not self.role.probe:
            return True
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def log_end(self) -> str:
        """The end of its log, and where all of it is."""
        return f"{tail(self._log, 12)}\n(all of it in {self._log})"


def run_task(task: Task, environment: Mapping[str, str], folder: Path, logs: Path) -> None:
    """Run a task to its end. Raises RoleFailed with the end of its log if it fails or takes longer than it may."""
    log = logs / f"{task.name}.log"
    child = Child(task.name, task.argv, environment={**os.environ, **environment}, log=log, folder=folder)
    child.start()
    try:
        code = child.wait(task.seconds)
    finally:
        child.stop()
    if code != 0:
        why = f"took longer than {task.seconds:g} s" if code is None else f"ended with exit code {code}"
        raise RoleFailed(f"{task.name} {why}; the end of {log}:\n{child.tail()}")
