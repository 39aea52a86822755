"""Whatever becomes of stderr, a process goes on, stops when told to, and says what was lost."""

from __future__ import annotations

import io
import json
import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from local.program import CODE
from telemetry.log_lines import LogLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from _typeshed import ReadableBuffer as Buffer

    Process = subprocess.Popen[str]
    Start = Callable[..., Process]

# More than a pipe holds and more than may wait, whatever the length of a line.
_MANY: Final = 200_000
_FEW: Final = 1_000
_FILE_BYTES: Final = 10_000
_PATIENCE_S: Final = 50
# It says on stdout how many lines its log has lost, whenever it is asked to log some.
_PROGRAM: Final = """
import process.starting
import asyncio, sys
import structlog
from process import lifecycle
from telemetry import logging
from telemetry.log_lines import LogLines

LogLines.__init__.__defaults__ = (1_000_000,)
logging.configure("info", "tests")
log = structlog.get_logger()

async def body(life):
    life.takes_work = True
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: say(int(sys.stdin.readline())))
    say(0)
    await life.stopping.wait()

def say(count):
    for number in range(count):
        log.info("said", number=number)
    if count < 0:
        print("a library", "prints", file=sys.stderr)
    if count < 10:
        logging.flush()
    print(logging.lines_lost(), flush=True)

lifecycle.run("tests", body, shutdown_timeout_s=60)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the program with a stderr; ended after the test."""
    made: list[Process] = []

    def started(stderr: IO[bytes] | int, *shell: str) -> Process:
        process = subprocess.Popen(  # noqa: S603 - our own program
            (*shell, sys.executable, "-c", _PROGRAM),
            cwd=CODE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        made.append(process)
        assert lost(process) == 0
        return process

    yield started
    for process in made:
        process.kill()
        process.communicate()


def lost(process: Process) -> int:
    """What it says next."""
    assert process.stdout is not None
    said, _, _ = select.select([process.stdout], [], [], _PATIENCE_S)
    assert said, "it does not go on"
    return int(process.stdout.readline())


def lost_of(process: Process, count: int) -> int:
    """How many lines are lost in all once it has logged so many more."""
    assert process.stdin is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    return lost(process)


def told_to_stop(process: Process) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=_PATIENCE_S)


def test_nobody_waits_for_a_reader_that_sleeps(start: Start) -> None:
    """The pipe is full and so is what may wait: it goes on, and a signal ends it with 0."""
    reader, writer = os.pipe()
    process = start(writer)
    assert 0 < lost_of(process, _MANY) < _MANY
    assert told_to_stop(process) == 0
    os.close(reader)
    os.close(writer)


def test_a_reader_that_wakes_learns_how_much_it_missed(start: Start) -> None:
    """What waited comes in order and whole; then a line says how many were lost."""
    process = start(subprocess.PIPE)
    missed = lost_of(process, _MANY)
    assert missed > 0
    assert process.stderr is not None
    lines: list[dict[str, object]] = []
    while not lines or lines[-1]["message"] == "said":
        lines.append(json.loads(process.stderr.readline()))
    *said, told = lines
    assert [line["number"] for line in said] == list(range(_MANY - missed))
    assert (told["level"], told["lost"]) == ("warning", missed)
    assert told_to_stop(process) == 0


def test_what_a_library_prints_goes_the_same_way(start: Start) -> None:
    """In whole lines, and lost like any other."""
    process = start(subprocess.PIPE)
    assert lost_of(process, -1) == 0
    assert process.stderr is not None
    assert process.stderr.readline() == "a library prints\n"
    process.stderr.close()
    assert lost_of(process, -1) == 1
    process.stderr = None
    assert told_to_stop(process) == 0


def test_a_reader_that_died_is_missed_by_nobody(start: Start) -> None:
    """Every line is lost and counted."""
    reader, writer = os.pipe()
    process = start(writer)
    os.close(writer)
    os.close(reader)
    assert lost_of(process, 5) == 5
    assert told_to_stop(process) == 0


def test_a_closed_stderr_is_no_place_to_write_to(start: Start) -> None:
    """Nor is whatever was opened next and got its number."""
    process = start(subprocess.PIPE, "sh", "-c", 'exec "$@" 2>&-', "sh")
    assert lost_of(process, 5) == 5
    assert Path(f"/proc/{process.pid}/fd/2").readlink() == Path(os.devnull)
    assert told_to_stop(process) == 0


def test_a_full_disk_loses_lines_and_goes_on_when_there_is_room(
    start: Start, tmp_path: Path
) -> None:
    """Half a line stays half a line: the one after it begins anew."""
    log = tmp_path / "log"
    with log.open("ab") as file:
        process = start(file)
    limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_FILE_BYTES, limits[1]))
    missed = lost_of(process, 1000)
    lost_of(process, 1)
    assert log.stat().st_size == _FILE_BYTES
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
    before = lost_of(process, 0)
    assert before >= missed
    assert lost_of(process, 2) == before
    assert told_to_stop(process) == 0
    torn, *after = log.read_text().splitlines()[-5:]
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)
    assert [json.loads(line).get("number") for line in after[:2]] == [0, 1]
    assert json.loads(after[2])["lost"] == before


def test_lines_that_come_one_after_the_other_share_a_write() -> None:
    """To wake the thread for each would cost more than the line; nobody waits for it to sleep."""
    stream = Writes()
    lines = LogLines(stream, lambda _: None)
    for number in range(_FEW):
        lines.write(b"%d\n" % number)
    lines.flush(_PATIENCE_S)
    assert b"".join(stream.writes).split() == [b"%d" % number for number in range(_FEW)]
    assert len(stream.writes) < _FEW


class Writes(io.RawIOBase):
    """A stream that keeps each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: Buffer) -> int:
        self.writes.append(bytes(data))
        return len(self.writes[-1])
