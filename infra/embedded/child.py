"""One process of the stack, on its leash: start it, ask whether it lives, stop it within a bound."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.embedded import leash as leash_program
from infra.embedded.errors import RoleFailed

LOG_KEPT_BYTES = 16 * 2**20
STOP_MARGIN = 3.0  # seconds beyond the grace period before the leash itself is killed


class Child:
    """A command behind `infra.embedded.leash`, its output appended to a log file.

    `environment` is the whole environment of the command. `grace` is the time in seconds between TERM and KILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        folder: Path,
        grace: float = 10.0,
    ) -> None:
        self.name = name
        self.log = log
        self.pid = 0
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._grace = grace
        self._leash: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the command. Raises RoleFailed if it cannot be executed."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_KEPT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        # By path, isolated and without site-packages: it starts in 20 ms instead of 100, and whatever the folder is.
        leash = [sys.executable, "-I", "-S", leash_program.__file__]
        limits = ["--parent", str(os.getpid()), "--grace", str(self._grace)]
        with self.log.open("ab") as output:
            self._leash = subprocess.Popen(
                [*leash, *limits, "--", *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        assert self._leash.stdout is not None
        line = self._leash.stdout.readline()
        self._leash.stdout.close()
        if not line:
            self._leash.wait()
            raise RoleFailed(f"{self.name} could not be started: {self.tail(3)}")
        self.pid = int(line)

    def exit_code(self) -> int | None:
        """None while it runs; afterwards its exit code (128 + signal if a signal ended it)."""
        return None if self._leash is None else self._leash.poll()

    @property
    def running(self) -> bool:
        """Started, and not ended since."""
        return self._leash is not None and self._leash.poll() is None

    def stop(self) -> None:
        """TERM, then KILL after the grace period; returns once the process is gone. Stopping twice is fine."""
        leash = self._leash
        if leash is None:
            return
        if leash.stdin is not None:
            with contextlib.suppress(OSError):
                leash.stdin.close()  # the leash takes it from here
        try:
            leash.wait(self._grace + STOP_MARGIN)
        except subprocess.TimeoutExpired:
            leash.kill()  # and the kernel kills what it held
            leash.wait()
        self._leash = None

    def kill(self) -> None:
        """KILL at once, for tests of crashes: no chance to clean up."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float) -> int | None:
        """Wait for its end, `timeout` seconds at most; its exit code, or None if it still runs."""
        until = time.monotonic() + timeout
        while self.exit_code() is None and time.monotonic() < until:
            time.sleep(0.02)
        return self.exit_code()

    def tail(self, lines: int = 12) -> str:
        """The end of its log, for messages."""
        return tail(self.log, lines)


def tail(log: Path, lines: int) -> str:
    """The last `lines` lines of a file; says so when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return f"(no log at {log})"
