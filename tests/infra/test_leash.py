"""Nothing outlives its starter: the leash, whichever end of it is cut."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.embedded.child import LOG_KEPT_BYTES, Child
from infra.embedded.errors import RoleFailed

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
PARENT_OF_ONE = (
    f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print(p.pid); p.wait()"
)


def python(folder: Path, code: str, grace: float = 5.0) -> Child:
    """A child that runs this code, its log in `folder`."""
    command = [sys.executable, "-c", code]
    return Child("toy", command, environment=dict(os.environ), log=folder / "toy.log", folder=folder, grace=grace)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether the condition became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def said(child: Child) -> Callable[[], bool]:
    """Whether it has printed its first line."""
    return lambda: child.log.stat().st_size > 0


def test_the_exit_code_is_the_commands_own(tmp_path: Path) -> None:
    child = python(tmp_path, "import sys; print('why'); sys.exit(7)")
    child.start()
    assert child.wait(10) == 7
    assert child.tail() == "why"


def test_a_signal_shows_in_the_exit_code(tmp_path: Path) -> None:
    child = python(tmp_path, SLEEP)
    child.start()
    child.kill()
    assert child.wait(10) == 128 + signal.SIGKILL


def test_stop_asks_first(tmp_path: Path) -> None:
    farewell = "lambda *_: (print('bye', flush=True), sys.exit(0))"
    child = python(tmp_path, f"import signal, sys; signal.signal(signal.SIGTERM, {farewell}); {SLEEP}")
    child.start()
    assert until(said(child))
    child.stop()
    child.stop()
    assert child.tail() == "up\nbye"
    assert not psutil.pid_exists(child.pid)


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    child = python(tmp_path, STUBBORN, grace=0.3)
    child.start()
    assert until(said(child))
    begun = time.monotonic()
    child.stop()
    assert time.monotonic() - begun < 3
    assert not psutil.pid_exists(child.pid)


def test_what_the_command_started_ends_with_it(tmp_path: Path) -> None:
    child = python(tmp_path, PARENT_OF_ONE)
    child.start()
    assert until(lambda: child.tail().isdigit() or "up" in child.tail())
    grandchild = next(int(line) for line in child.tail().splitlines() if line.isdigit())
    assert psutil.pid_exists(grandchild)
    child.stop()
    assert until(lambda: not psutil.pid_exists(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_killed_leash_takes_its_command_along(tmp_path: Path) -> None:
    child = python(tmp_path, STUBBORN)
    child.start()
    assert until(said(child))
    leash = psutil.Process(child.pid).parent()
    assert leash is not None
    leash.kill()
    assert until(lambda: not psutil.pid_exists(child.pid))
    child.stop()


def test_a_command_that_does_not_exist_says_so(tmp_path: Path) -> None:
    child = Child("toy", ["/no/such/program"], environment={}, log=tmp_path / "toy.log", folder=tmp_path)
    with pytest.raises(RoleFailed, match=r"toy could not be started: cannot start /no/such/program: .*No such file"):
        child.start()


def test_a_large_log_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    with (tmp_path / "toy.log").open("wb") as log:
        log.truncate(LOG_KEPT_BYTES + 1)
    child = python(tmp_path, "print('fresh')")
    child.start()
    assert child.wait(10) == 0
    assert child.tail() == "fresh"
    assert (tmp_path / "toy.log.1").stat().st_size == LOG_KEPT_BYTES + 1
