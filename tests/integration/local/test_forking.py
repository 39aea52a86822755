"""Programs as forks of one that has imported everything: what they are, how they end, who knows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest

from local.forking import Forked, ForkServer, can_fork
from local.program import CODE, Program, StartError, stop
from local.supervisor import ProcessState, Supervised, Watcher
from tests.support.local.telling import SHARED
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_fork(), reason="a process of another is watched on Linux")

_TELLING: Final = "tests.support.local.telling"
_OURS: Final = os.getpriority(os.PRIO_PROCESS, 0)
_ENVIRONMENT: Final = {"TOLD": "so", "PATH": os.environ["PATH"]}


@pytest.fixture
async def forks(tmp_path: Path) -> AsyncIterator[ForkServer]:
    broken = ("no.such.module", "tests.support.local.leaving")
    made = ForkServer([*broken, SHARED], tmp_path / "fork-server.log")
    yield made
    await made.aclose()


def program(
    folder: Path, manner: str = "0", *, module: str = _TELLING, log: str = "told.log"
) -> Program:
    """Its last argument, the folder, tells it from those of others."""

    async def is_ready() -> bool:
        return (folder / log).exists() and (folder / log).stat().st_size > 0

    return Program(
        name="telling",
        command=(sys.executable, "-m", module, manner, str(folder)),
        directory=CODE,
        log=folder / log,
        address="",
        is_ready=is_ready,
        environment=_ENVIRONMENT,
    )


async def told(folder: Path) -> dict[str, Any]:
    """What the program said, once it did."""
    log = folder / "told.log"
    await eventually(lambda: log.exists() and log.read_text().endswith("\n"))
    said: dict[str, Any] = json.loads(log.read_text().splitlines()[-1])
    return said


async def test_a_fork_is_what_python_m_would_be(forks: ForkServer, tmp_path: Path) -> None:
    """With its own environment, arguments, folder and group, without input, and seen by ps."""
    forked = await forks.start(program(tmp_path, "for-ever"))
    said = await told(tmp_path)
    assert said == {
        "argv": [
            str(CODE / "tests" / "support" / "local" / "telling.py"),
            "for-ever",
            str(tmp_path),
        ],
        "directory": str(CODE),
        "variables": {"TOLD": "so", "HOME": None},
        "input": "",
        "leads_its_group": True,
        "is_shared": True,
        # Input, output, errors, and the one that counts them.
        "descriptors": 4,
        "is_main": True,
    }
    shown = " ".join(psutil.Process(forked.pid).cmdline()).strip()
    assert shown == f"python -m {_TELLING} for-ever {tmp_path}"
    assert await stop(program(tmp_path), forked, within_seconds=5)


async def test_a_fork_is_as_nice_as_it_is_to_be(forks: ForkServer, tmp_path: Path) -> None:
    """And what is forked after it no nicer for that."""
    for niceness in (3, 0):
        forked = await forks.start(replace(program(tmp_path, "for-ever"), niceness=niceness))
        await told(tmp_path)
        assert os.getpriority(os.PRIO_PROCESS, forked.pid) == _OURS + niceness
        assert await stop(program(tmp_path), forked, within_seconds=5)


@pytest.mark.parametrize("code", [0, 3])
async def test_its_exit_code_is_told(forks: ForkServer, tmp_path: Path, code: int) -> None:
    forked = await forks.start(program(tmp_path, str(code)))
    assert await forked.wait() == code


async def test_a_fork_that_fails_says_why_in_its_own_log(forks: ForkServer, tmp_path: Path) -> None:
    forked = await forks.start(program(tmp_path, module="local.no_such_module"))
    assert await forked.wait() == 1
    assert "No module named local.no_such_module" in (tmp_path / "told.log").read_text()


async def test_a_fork_told_to_stop_while_it_begins_ends_quietly(
    forks: ForkServer, tmp_path: Path
) -> None:
    """Before it has taken signals over itself it has begun nothing."""
    for _ in range(20):
        forked = await forks.start(program(tmp_path, "for-ever", module="lag"))
        forked.send_signal(signal.SIGTERM)
        assert await forked.wait() == 0
    assert "Traceback" not in (tmp_path / "told.log").read_text()


async def test_what_is_killed_is_told(forks: ForkServer, tmp_path: Path) -> None:
    forked = await forks.start(program(tmp_path, "for-ever"))
    forked.send_signal(signal.SIGKILL)
    assert await forked.wait() == -signal.SIGKILL
    # Its number may be another's by now.
    forked.send_signal(signal.SIGKILL)


async def test_many_are_started_at_once(forks: ForkServer, tmp_path: Path) -> None:
    """Each has its own answer, also while others end."""
    started = await asyncio.gather(
        *(forks.start(program(tmp_path, str(code), log=f"{code}.log")) for code in range(20))
    )
    assert await asyncio.gather(*(each.wait() for each in started)) == [*range(20)]


async def test_a_log_that_cannot_be_written_is_one_sentence(
    forks: ForkServer, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=r"telling cannot be started: .*absent/told\.log"):
        await forks.start(program(tmp_path, log="absent/told.log"))
    assert (await forks.start(program(tmp_path))).pid


async def test_without_descriptors_nothing_is_started_and_the_fork_server_goes_on(
    forks: ForkServer, tmp_path: Path
) -> None:
    """Wherever they run out, for the log or for the gate, nobody is left who waits or serves."""
    idle = await forks.start(program(tmp_path, "for-ever"))
    server = _server_of(idle)
    limits = server.rlimit(psutil.RLIMIT_NOFILE)
    refused = []
    for free in range(6):
        server.rlimit(psutil.RLIMIT_NOFILE, (server.num_fds() + free, limits[1]))
        try:
            forked = await forks.start(program(tmp_path, "for-ever", log=f"{free}.log"))
        except StartError as error:
            refused.append(str(error))
            assert server.children() == [psutil.Process(idle.pid)]
        else:
            await stop(program(tmp_path), forked, within_seconds=5)
    server.rlimit(psutil.RLIMIT_NOFILE, limits)
    assert 0 < len(refused) < 6
    assert all("Too many open files" in each for each in refused)
    again = await forks.start(program(tmp_path, "for-ever", log="again.log"))
    assert _server_of(again) == server
    for each in (again, idle):
        await stop(program(tmp_path), each, within_seconds=5)


async def test_a_start_given_up_leaves_nobody(forks: ForkServer, tmp_path: Path) -> None:
    """Whoever waited for it is gone, and so nobody would look after it."""
    await forks.begin()
    starting = asyncio.ensure_future(forks.start(program(tmp_path, "for-ever")))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    # It is answered in order: by now the first was.
    second = await forks.start(program(tmp_path, "for-ever"))
    server = _server_of(second)
    await stop(program(tmp_path), second, within_seconds=5)
    await eventually(lambda: not server.children())


async def test_whoever_kills_the_fork_server_kills_nobody_else(
    forks: ForkServer, tmp_path: Path
) -> None:
    """What it had started goes on and is watched; another is begun for who comes next."""
    first = await forks.start(program(tmp_path, "for-ever"))
    await told(tmp_path)
    killed = _server_of(first)
    killed.kill()
    await eventually(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE)
    second = await forks.start(program(tmp_path, "for-ever", log="second.log"))
    assert _server_of(second) != killed
    assert first.returncode is None
    first.send_signal(signal.SIGTERM)
    assert await first.wait() == 255
    assert second.returncode is None
    await stop(program(tmp_path), second, within_seconds=5)


async def test_whoever_kills_it_as_it_forks_leaves_one_process_not_two(
    forks: ForkServer, tmp_path: Path
) -> None:
    """A fork that nobody was told of, before another is asked, would be a second copy for ever."""
    for number in range(20):
        idle = await forks.start(program(tmp_path, "for-ever"))
        server = _server_of(idle)
        await stop(program(tmp_path), idle, within_seconds=5)
        asyncio.get_running_loop().call_later(number * 0.0002, server.kill)
        forked = await forks.start(program(tmp_path, "for-ever"))
        await eventually(partial(_is_alone, forked, tmp_path))
        await stop(program(tmp_path), forked, within_seconds=5)


async def test_what_dies_while_the_fork_server_stands_still_is_seen(
    forks: ForkServer, tmp_path: Path
) -> None:
    """And nothing waits for it for ever: neither a stop, nor who waits for a start."""
    forked = await forks.start(program(tmp_path, "for-ever"))
    server = _server_of(forked)
    server.suspend()
    waiting = asyncio.ensure_future(forks.start(program(tmp_path, "for-ever")))
    forked.send_signal(signal.SIGKILL)
    async with in_time(20):
        assert await forked.wait() == 255
        await forks.aclose()
    with pytest.raises(StartError, match="Nothing is started any more"):
        await waiting
    assert not server.is_running()
    assert not _living(tmp_path)


async def test_a_variable_need_not_be_text(forks: ForkServer, tmp_path: Path) -> None:
    """Nobody can read it, and everybody hands it on."""
    name = "Jos\udce9"
    given = replace(program(tmp_path), environment={**_ENVIRONMENT, "TOLD": name})
    await (await forks.start(given)).wait()
    assert (await told(tmp_path))["variables"]["TOLD"] == name


async def test_nothing_is_started_by_one_that_is_closed(forks: ForkServer, tmp_path: Path) -> None:
    await forks.aclose()
    with pytest.raises(StartError, match="Nothing is started any more"):
        await forks.start(program(tmp_path))


async def test_the_fork_server_ends_with_who_asks_it_and_what_it_started_does_not(
    forks: ForkServer, tmp_path: Path
) -> None:
    """As if each had been started alone: the next run finds them, and drains them."""
    forked = await forks.start(program(tmp_path, "for-ever"))
    await told(tmp_path)
    await forks.aclose()
    left = psutil.Process(forked.pid)
    assert left.is_running()
    left.kill()
    await eventually(lambda: forked.returncode is not None)


@pytest.fixture
async def supervised(
    forks: ForkServer, tmp_path: Path
) -> AsyncIterator[tuple[Supervised, list[str]]]:
    """The program, ready and kept running, and what was said about it."""
    said: list[str] = []
    (tmp_path / "logs").mkdir()
    kept = replace(program(tmp_path, "for-ever", log="logs/told.log"), starter=forks.start)
    made = Supervised(kept, Watcher(changed=lambda: None, say=said.append))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.keep())
        await made.until_ready()
        yield made, said
        await made.stop(within_seconds=5)


async def _killed(supervised: Supervised) -> int:
    pid = supervised.snapshot().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


async def test_a_supervised_fork_is_started_again(
    supervised: tuple[Supervised, list[str]],
) -> None:
    """By whoever supervises, like any other program."""
    kept, said = supervised
    first = await _killed(kept)
    await eventually(lambda: len(said) == 2 and kept.snapshot().state is ProcessState.READY)
    assert kept.snapshot().pid != first
    assert said == [
        "telling was killed by SIGKILL; starting it again in 1 s.",
        "telling is ready again.",
    ]


async def test_what_cannot_be_started_again_is_tried_until_it_can(
    supervised: tuple[Supervised, list[str]], tmp_path: Path
) -> None:
    """Somebody threw the folder of its log away, and made it anew."""
    kept, said = supervised
    (tmp_path / "logs" / "told.log").unlink()
    (tmp_path / "logs").rmdir()
    await _killed(kept)
    await eventually(lambda: any("cannot be started" in each for each in said))
    (tmp_path / "logs").mkdir()
    await eventually(lambda: kept.snapshot().state is ProcessState.READY, within=20)
    assert said[-1] == "telling is ready again."


def _server_of(forked: Forked) -> psutil.Process:
    parent = psutil.Process(forked.pid).parent()
    assert parent is not None
    return parent


def _is_alone(forked: Forked, folder: Path) -> bool:
    """It is the only one that lives; or it was not let go any more, has ended, and nobody lives."""
    return _living(folder) == (set() if forked.returncode is not None else {forked.pid})


def _living(folder: Path) -> set[int]:
    """Of programs of these tests those that live, whoever looks after them."""
    found = set()
    for each in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if f"{_TELLING} for-ever {folder}" in " ".join(each.cmdline()):
                found.add(each.pid)
    return found
