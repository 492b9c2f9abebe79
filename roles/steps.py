"""Steps at which a role can be made to die or to hang: a test aid, off unless two environment variables say otherwise.

    METERLOG_CRASH_ALLOWED=yes METERLOG_CRASH_AT='job taken:25' meterlog run dlms-worker

kills that process with SIGKILL when the 25th job has been taken; METERLOG_STALL_AT has the thread that takes it stand
still there for ever. Roles say where they are by `passing`; off, it costs a call and a look at a name, once a batch in
the streams and the sink, once a frame in the worker. Never set these variables in production: METERLOG_CRASH_AT or
METERLOG_STALL_AT alone ends the start, so that one that leaks from a test is noticed at once.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

from roles.settings import SettingsWrong

Step = Literal[
    # streams: records of a batch, or of one partition in it
    "command polled",
    "decided",
    "transaction begun",
    "written",  # and with the broker, but not committed
    "committed",
    "input acknowledged",
    # worker and store reader: jobs; worker: frames, records
    "job taken",
    "Attempting sent",  # and acknowledged by the broker; the meter has not been asked
    "counter used",  # for a frame that has not been sent
    "associated",
    "request sent",
    "answer received",
    "read published",
    "result sent",
    # sink: rows
    "row inserted",
    # planner: looks at what is due, commands
    "due looked at",
    "command asked",  # and with the broker; this process has not noted it
    # worker (jobs committed, not started) and sink
    "offset committed",
]
STEPS: Final[tuple[str, ...]] = get_args(Step)

_KILL: Final = signal.SIGKILL


class _Fate:
    """Waits for its step to have been passed so many times. Called from any thread."""

    def __init__(self, step: str, times: int, strike: Callable[[], None]) -> None:
        self._step, self._left = step, times
        self._strike = strike
        self._lock = threading.Lock()

    def passing(self, step: str, times: int, before: Callable[[], object] | None) -> None:
        if step != self._step:
            return
        with self._lock:  # held to the end: no other thread gets further than this
            self._left -= times
            if self._left <= 0:
                if before is not None:
                    before()
                self._strike()


def _die() -> None:
    os.kill(os.getpid(), _KILL)


def _hang() -> None:
    threading.Event().wait()


_FATES: Final[Mapping[str, Callable[[], None]]] = {"METERLOG_CRASH_AT": _die, "METERLOG_STALL_AT": _hang}
_fate: _Fate | None = None


def passing(step: Step, times: int = 1, before: Callable[[], object] | None = None) -> None:
    """Say that a step has been passed, `times` times at once. `before`: what makes the step true, called only by a
    process that dies or hangs here (to see off what a client still holds back).
    """
    if _fate is not None:
        _fate.passing(step, times, before)


def armed() -> bool:
    """Whether this process will die or hang at some step: for steps that become true only later."""
    return _fate is not None


def arm(environment: Mapping[str, str] = os.environ) -> None:
    """What the environment asks, for the rest of this process. Raises SettingsWrong."""
    global _fate
    _fate = None
    for name, strike in _FATES.items():
        wanted = environment.get(name)
        if not wanted:
            continue
        if environment.get("METERLOG_CRASH_ALLOWED") != "yes":
            raise SettingsWrong(f"{name}: it is for tests, which say METERLOG_CRASH_ALLOWED=yes as well; take it away")
        step, _, times = wanted.rpartition(":")
        if step not in STEPS:
            raise SettingsWrong(f"{name}: {step!r} is none of {', '.join(STEPS)}")
        if not times.isdecimal() or int(times) < 1:
            raise SettingsWrong(f"{name}: {times!r} is not how many times the step is passed, 1 or more")
        _fate = _Fate(step, int(times), strike)
