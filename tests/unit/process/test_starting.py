"""Told to stop before it runs, a process has nothing to say and nothing to finish."""

import signal
import subprocess
import sys

import pytest

from local.program import CODE

# The signals are as in a process that nobody told anything about them, but for one.
_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
import process.starting
print("importing", flush=True)
sys.stdin.readline()
print("imported", flush=True)
"""


def importing(of_the_terminal: str) -> "subprocess.Popen[str]":
    """A process in the middle of its imports."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        (sys.executable, "-c", _PROGRAM, of_the_terminal),
        cwd=CODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_ends_quietly(number: int) -> None:
    """Neither a traceback nor an exit code that alarms."""
    process = importing("SIG_DFL")
    process.send_signal(number)
    assert process.communicate(timeout=50) == ("", "")
    assert process.returncode == 0


def test_under_nohup_it_lives_on() -> None:
    """There it is no matter that the terminal closes."""
    process = importing("SIG_IGN")
    process.send_signal(signal.SIGHUP)
    assert process.communicate("go on\n", timeout=50) == ("imported\n", "")
    assert process.returncode == 0
