"""What Kafka, ClickHouse and every role are to their supervisor: a process that becomes ready and can end."""

import time
from abc import ABC, abstractmethod

from infra.embedded.child import Child
from infra.embedded.errors import RoleFailed

POLL_SECONDS = 0.05


class Part(ABC):
    """One long-running process. `start` may be called again after it ended; ports stay as they were at the first
    start.
    """

    name: str
    _child: Child | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it and return before it is ready. Raises PortTaken, RoleFailed."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it does its work now; answers within seconds and never raises."""

    @abstractmethod
    def log_end(self) -> str:
        """What it logged last, for messages."""

    @property
    def pid(self) -> int:
        """Its process id, 0 if it was never started."""
        return self._child.pid if self._child else 0

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._child is not None and self._child.running

    def cause(self) -> str:
        """How it ended, in a few words."""
        code = self._child.exit_code() if self._child else None
        if code is None:
            return "not ended"
        return f"exit code {code}" if code < 128 else f"killed by signal {code - 128}"

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Block until ready. Raises RoleFailed with the end of the log if it ends, or takes more than `timeout`
        seconds.
        """
        until = time.monotonic() + timeout
        while not self.ready():
            if not self.running:
                raise RoleFailed(f"{self.name} ended before it was ready ({self.cause()}):\n{self.log_end()}")
            if time.monotonic() > until:
                raise RoleFailed(f"{self.name} was not ready after {timeout:.0f} s:\n{self.log_end()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """TERM, and KILL after its grace period; returns once it is gone. Stopping twice is fine."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End it without warning, as a crash would: for tests."""
        if self._child is not None:
            self._child.kill()
