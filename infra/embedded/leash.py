"""Hold one process so that it cannot outlive whoever started it, however that one dies.

Run as `python leash.py --parent PID --grace SECONDS -- COMMAND...`. The starter keeps the write end of our standard
input. When it closes (the starter is gone, `kill -9` included) or TERM arrives, the command gets TERM, and KILL after
the grace period. Should the leash itself be killed, the kernel kills the command (`PR_SET_PDEATHSIG`, Linux; it is
bound to the *thread* that forked, which is why a process with a single thread does the forking). The first line on
standard output is the command's process id; the exit code is the command's own, or 128 + the signal that ended it.

Only the standard library, and little of it: one leash runs beside every role, and its start delays the role's.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

POLL_SECONDS = 0.5  # also bounds how long an unreadable death (a forked copy holding the pipe) goes unnoticed
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that forked it ends. Does nothing where there is no prctl."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def hold(command: list[str], parent: int, grace: float) -> int:
    """Run `command` until it ends or the parent does; returns the exit code as a shell would.

    Raises OSError if the command cannot be started.
    """
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)  # wakes the select below

    # A session of its own: the terminal's Ctrl-C reaches only the supervisor, and a server that signals its own process
    # group (ClickHouse's SYSTEM SHUTDOWN) does not hit the leash.
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=sys.stderr, start_new_session=True, preexec_fn=die_with_parent
    )
    with contextlib.suppress(OSError):
        os.write(1, f"{child.pid}\n".encode())
        os.close(1)

    kill_at: float | None = None
    watched = [0, wake_read]
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [], POLL_SECONDS)
        if wake_read in readable:
            os.read(wake_read, 512)
        if 0 in readable and not os.read(0, 512):
            watched.remove(0)
            asked = True
        if os.getppid() != parent:
            asked = True
        if asked and kill_at is None:
            kill_at = time.monotonic() + grace
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        if kill_at is not None and time.monotonic() >= kill_at:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)  # whatever the command itself had started
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def main(arguments: list[str]) -> int:
    """`--parent PID --grace SECONDS -- COMMAND...`"""
    split = arguments.index("--")
    options = dict(zip(arguments[0:split:2], arguments[1:split:2], strict=True))
    command = arguments[split + 1 :]
    try:
        return hold(command, int(options["--parent"]), float(options["--grace"]))
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
