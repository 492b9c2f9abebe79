"""Ask about, and end, a stack that another process runs: what `meterlog status` and `meterlog down` do."""

import os
import signal
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from infra.embedded import folder
from infra.embedded.errors import StackError
from infra.embedded.ports import LOOPBACK

DOWN_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One process of a stack: `state` is `ready`, `not ready`, `running` (it has no probe) or why it is not there."""

    name: str
    pid: int
    state: str
    restarts: int
    metrics_port: int | None


@dataclass(frozen=True, slots=True)
class StackStatus:
    """A running stack: its supervisor's process id, since when (ISO 8601), the settings of its roles, its processes."""

    pid: int
    since: str
    environment: dict[str, str]
    parts: tuple[PartStatus, ...]


def status(data: Path) -> StackStatus | None:
    """The stack on this folder, or None if none runs. Asks every role's `/readyz` now."""
    pid = folder.holder(data)
    state = folder.read_state(data)
    if pid is None or state is None:
        return None
    parts = tuple(
        PartStatus(
            part["name"],
            part["pid"],
            _state(part["state"], part["metrics_port"]),
            part["restarts"],
            part["metrics_port"],
        )
        for part in state["parts"]
    )
    return StackStatus(pid, state["since"], dict(state["environment"]), parts)


def down(data: Path) -> bool:
    """Ask the supervisor of this folder to stop everything, wait until it has; False if none runs.

    Raises StackError if it is still there after 90 s.
    """
    pid = folder.holder(data)
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + DOWN_SECONDS
    while folder.holder(data) is not None:
        if time.monotonic() > until:
            raise StackError(
                f"the stack with process id {pid} did not stop within {DOWN_SECONDS:.0f} s: `kill -9 {pid}`"
            )
        time.sleep(0.05)
    return True


def _state(state: str, port: int | None) -> str:
    if state != "running" or port is None:
        return state
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=2):
            return "ready"
    except urllib.error.HTTPError as error:
        return f"not ready: {error.read(200).decode(errors='replace').strip()}"
    except OSError:
        return "not ready: does not answer"
