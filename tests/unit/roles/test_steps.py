"""Dying and hanging on purpose: where it was asked, not before, and never unless it is allowed."""

import os
import signal
import subprocess
import sys

import pytest

from roles.settings import SettingsWrong
from roles.steps import arm, armed, passing

PROGRAM = """
from roles.steps import arm, passing
arm()
passing("job taken", 100)
passing("result sent", 2)
print("two", flush=True)
passing("result sent", before=lambda: print("before", flush=True))
print("three", flush=True)
"""
ALLOWED = {"METERLOG_CRASH_ALLOWED": "yes"}


def test_the_process_is_killed_when_the_step_was_passed_so_often() -> None:
    environment = {**os.environ, **ALLOWED, "METERLOG_CRASH_AT": "result sent:3"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "two\nbefore\n"), done.stderr


def test_the_thread_stands_still_where_it_was_asked_to() -> None:
    environment = {**os.environ, **ALLOWED, "METERLOG_STALL_AT": "result sent:3"}
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert [child.stdout.readline(), child.stdout.readline()] == ["two\n", "before\n"]
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
        child.kill()
        assert child.stdout.read() == ""


@pytest.mark.parametrize("environment", [{}, ALLOWED, {"METERLOG_CRASH_AT": "", "METERLOG_STALL_AT": ""}])
def test_nobody_dies_who_was_not_asked_to(environment: dict[str, str]) -> None:
    arm(environment)
    assert not armed()
    passing("job taken")  # we live


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"METERLOG_CRASH_AT": "job taken:1"}, "METERLOG_CRASH_ALLOWED=yes"),
        ({"METERLOG_CRASH_AT": "job taken:1", "METERLOG_CRASH_ALLOWED": "no"}, "METERLOG_CRASH_ALLOWED=yes"),
        ({"METERLOG_STALL_AT": "job taken:1"}, "METERLOG_STALL_AT.*METERLOG_CRASH_ALLOWED=yes"),
        ({**ALLOWED, "METERLOG_STALL_AT": "job lost:1"}, "METERLOG_STALL_AT: 'job lost' is none of command polled"),
        ({**ALLOWED, "METERLOG_CRASH_AT": "job lost:1"}, "'job lost' is none of command polled"),
        ({**ALLOWED, "METERLOG_CRASH_AT": "job taken"}, "'' is none of command polled"),
        ({**ALLOWED, "METERLOG_CRASH_AT": "job taken:0"}, "'0' is not how many times"),
        ({**ALLOWED, "METERLOG_CRASH_AT": "job taken:x"}, "'x' is not how many times"),
    ],
)
def test_what_makes_no_sense_or_is_not_allowed_ends_the_start(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsWrong, match=complaint):
        arm(environment)
    assert not armed()
