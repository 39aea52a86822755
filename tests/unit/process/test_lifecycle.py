"""How every process of ours stops: asked it drains, asked again or hanging it ends all the same."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Final

import pytest

from local.program import CODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Process = subprocess.Popen[str]
    Start = Callable[..., Process]

# What a body is made of: each test says how it lives and how it takes being stopped.
_PROGRAM: Final = """
import asyncio, signal, sys, time
from process import lifecycle
from process.waiting import until_reached
from telemetry import logging

# Whoever runs the tests may have told us to live on without a terminal.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
logging.configure("info", "tests")
lifecycle.CLEANUP_S = float(sys.argv[1])
lifecycle._ONE_KEY_PRESS_S = float(sys.argv[2])

def say(word):
    print(word, flush=True)

async def away():
    say("away")
    raise OSError("nobody there")

async def forbidden():
    raise PermissionError("no such user")

async def work(life):
    life.takes_work = True
    say("working")
    await life.stopping.wait()
    say("draining")

async def body(life):
{body}

lifecycle.run("tests", body, shutdown_timeout_s=float(sys.argv[3]), sentences=(KeyError,))
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process with such a body; ended after the test."""
    made: list[Process] = []

    def started(
        *body: str, cleanup_s: float = 60, key_press_s: float = 0, drain_s: float = 60
    ) -> Process:
        program = _PROGRAM.format(body="\n".join(f"    {line}" for line in body))
        numbers = (cleanup_s, key_press_s, drain_s)
        process = subprocess.Popen(  # noqa: S603 - this interpreter
            (sys.executable, "-c", program, *map(str, numbers)),
            cwd=CODE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        made.append(process)
        return process

    yield started
    for process in made:
        process.kill()
        process.communicate()


def words(process: Process, count: int) -> list[str]:
    """The next words it says."""
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def ended(process: Process) -> tuple[int, str, str]:
    """Exit code, what it said further, and what stands in its log."""
    said, log = process.communicate(timeout=50)
    return process.returncode, said, log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_drains(start: Start, number: int) -> None:
    """What it took it finishes; the exit code is 0."""
    process = start("await work(life)", "await asyncio.sleep(0.01)", "say('drained')")
    assert words(process, 1) == ["working"]
    process.send_signal(number)
    code, said, _ = ended(process)
    assert (code, said.split()) == (0, ["draining", "drained"])


def test_whoever_drains_for_too_long_is_cut_off(
    start: Start,
) -> None:
    """The shutdown timeout over, it is cancelled and cleans up: still 0, and the log says so."""
    process = start(
        "try:",
        "    await work(life)",
        "    await asyncio.sleep(3600)",
        "finally:",
        "    say('cleaned')",
        drain_s=0.05,
    )
    assert words(process, 1) == ["working"]
    process.send_signal(signal.SIGTERM)
    code, said, log = ended(process)
    assert (code, said.split()) == (0, ["draining", "cleaned"])
    assert '"in_time":false' in log


@pytest.mark.parametrize(
    "hang",
    [
        pytest.param("time.sleep(3600)", id="the-loop-stands-still"),
        pytest.param("threading.Event().wait()", id="a-library-waits-for-its-thread"),
    ],
)
def test_whatever_hangs_is_ended_from_outside(start: Start, hang: str) -> None:
    """Timeout and cleanup over, the process ends with 1, though nothing in it gives way."""
    process = start("import threading", "await work(life)", hang, cleanup_s=0.05, drain_s=0.05)
    assert words(process, 1) == ["working"]
    process.send_signal(signal.SIGTERM)
    code, said, _ = ended(process)
    assert (code, said.split()) == (1, ["draining"])


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    """Whoever presses twice does not want to wait; what else was started ends too."""
    process = start(
        "life.at_once = lambda: say('children ended')",
        "await work(life)",
        "await asyncio.sleep(3600)",
    )
    assert words(process, 1) == ["working"]
    process.send_signal(signal.SIGINT)
    assert words(process, 1) == ["draining"]
    process.send_signal(signal.SIGINT)
    code, said, _ = ended(process)
    assert (code, said.strip()) == (1, "children ended")


@pytest.mark.parametrize("hang", ["time.sleep(3600)", "await asyncio.sleep(3600)"])
def test_a_second_signal_ends_even_what_hangs(start: Start, hang: str) -> None:
    """Nobody need wait for a loop that stands still, or a time to drain."""
    process = start("await work(life)", hang)
    assert words(process, 1) == ["working"]
    process.send_signal(signal.SIGTERM)
    assert words(process, 1) == ["draining"]
    process.send_signal(signal.SIGTERM)
    code, _, log = ended(process)
    assert code == 1
    assert "ends at once" in log


def test_a_signal_reaches_a_process_whose_loop_stands_still(start: Start) -> None:
    """It cannot drain, but it ends, with whatever else it started."""
    process = start(
        "life.at_once = lambda: say('children ended')",
        "life.takes_work = True",
        "say('working')",
        "time.sleep(3600)",
        cleanup_s=0.05,
        drain_s=0.05,
    )
    assert words(process, 1) == ["working"]
    process.send_signal(signal.SIGTERM)
    code, said, log = ended(process)
    assert (code, said.split()) == (1, ["children", "ended"])
    assert "hangs" in log


def test_a_library_may_lose_cancellations(start: Start) -> None:
    """It is cancelled until it has ended."""
    process = start(
        "for _ in range(3):",
        "    try:",
        "        say('connecting')",
        "        await asyncio.sleep(3600)",
        "    except asyncio.CancelledError:",
        "        say('lost')",
        "say('ended')",
    )
    assert words(process, 1) == ["connecting"]
    process.send_signal(signal.SIGTERM)
    code, said, _ = ended(process)
    assert (code, said.split()) == (0, ["lost", *["connecting", "lost"] * 2, "ended"])


def test_what_loses_every_cancellation_is_left_behind(start: Start) -> None:
    """What was taken was recorded: it exits 0, and the log says where it hung."""
    process = start(
        "say('connecting')",
        "while True:",
        "    try:",
        "        await asyncio.sleep(3600)",
        "    except asyncio.CancelledError:",
        "        continue",
        cleanup_s=1,
    )
    assert words(process, 1) == ["connecting"]
    process.send_signal(signal.SIGTERM)
    code, _, log = ended(process)
    assert code == 0
    assert '"hangs_in":["_lived","body","sleep"]' in log


def test_whoever_fails_ends_though_something_of_it_does_not_let_go(start: Start) -> None:
    """Nobody tells it to stop, so nobody would kill it either."""
    process = start(
        "async def let_go():",
        "    say('closing')",
        "    await asyncio.sleep(3600)",
        "life.parts.push_async_callback(let_go)",
        "raise ValueError('a bug')",
        cleanup_s=0.05,
        drain_s=0.05,
    )
    code, said, log = ended(process)
    assert (code, said.split()) == (1, ["closing"])
    assert "ValueError: a bug" in log


def test_one_key_press_that_arrives_twice_is_one(
    start: Start,
) -> None:
    """A terminal and whoever started it both pass it on: it still drains."""
    process = start(
        "await work(life)",
        "await asyncio.to_thread(sys.stdin.readline)",
        "say('drained')",
        key_press_s=3600,
    )
    assert words(process, 1) == ["working"]
    process.send_signal(signal.SIGINT)
    assert words(process, 1) == ["draining"]
    process.send_signal(signal.SIGTERM)
    code, said, _ = ended(process)
    assert (code, said.strip()) == (0, "drained")


def test_a_server_that_is_away_is_waited_for_until_told_to_stop(
    start: Start,
) -> None:
    """Nothing was taken, so nothing is drained: it ends with 0, whatever the timeout."""
    process = start("await until_reached('Postgres', away, away=(OSError,))")
    assert words(process, 3) == ["away"] * 3
    process.send_signal(signal.SIGTERM)
    code, _, log = ended(process)
    assert code == 0
    assert '"what":"Postgres"' in log


def test_a_server_that_refuses_us_ends_it_with_a_sentence(
    start: Start,
) -> None:
    """Waiting mends no credentials; a task group around it hides nothing."""
    process = start(
        "async with asyncio.TaskGroup():",
        "    await until_reached(",
        "        'Postgres', forbidden, away=(OSError,), refused=(PermissionError,)",
        "    )",
    )
    code, _, log = ended(process)
    assert (code, log) == (2, "tests: Postgres refuses us: no such user\n")


@pytest.mark.parametrize(
    ("failure", "log"),
    [("KeyError(7)", "tests: 7\n"), ("ValueError('a bug')", "crashed")],
    ids=["told", "unforeseen"],
)
def test_a_failure_is_said_and_the_exit_code_is_1(start: Start, failure: str, log: str) -> None:
    """In a sentence where the operator can do something, else with where it happened."""
    process = start(f"raise {failure}")
    code, _, said = ended(process)
    assert code == 1
    assert log in said


def test_a_terminal_that_closes_drains() -> None:
    """What it then says reaches nobody, and each line that is lost ends nothing."""
    master, terminal = os.openpty()
    # It speaks through its log alone, as all of ours do once they run.
    script = _PROGRAM.replace("{body}", "    await work(life)").replace(
        "print(word, flush=True)", "import structlog; structlog.get_logger().info(word)"
    )
    process = subprocess.Popen(  # noqa: S603 - our own program
        # Who leads the session and is in its foreground, too, may hear of it twice.
        [sys.executable, "-c", script, "60", "60", "60"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
    )
    os.close(terminal)
    assert b"working" in os.read(master, 1000)
    os.close(master)
    assert process.wait(timeout=50) == 0
