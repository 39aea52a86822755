"""Programs as forks of one that has imported everything: what they are, how they end, who knows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest

from local.forking import Forked, ForkServer, can_fork
from local.program import CODE, Program, StartError, stop
from local.supervisor import ProcessState, Supervised, Watcher
from tests.support.local.telling import SHARED
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_fork(), reason="a process of another is watched on Linux")

_TELLING: Final = "tests.support.local.telling"
_ENVIRONMENT: Final = {"TOLD": "so", "PATH": os.environ["PATH"]}


@pytest.fixture
async def forks(tmp_path: Path) -> AsyncIterator[ForkServer]:
    made = ForkServer(["no.such.module", SHARED], tmp_path / "fork-server.log")
    yield made
    await made.aclose()


def program(folder: Path, *manner: str, module: str = _TELLING, log: str = "told.log") -> Program:
    async def is_ready() -> bool:
        return (folder / log).stat().st_size > 0

    return Program(
        name="telling",
        command=(sys.executable, "-m", module, *manner),
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
        "argv": [str(CODE / "tests" / "support" / "local" / "telling.py"), "for-ever"],
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
    assert shown == f"python -m {_TELLING} for-ever"
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


async def test_a_start_given_up_leaves_nobody(forks: ForkServer, tmp_path: Path) -> None:
    """Whoever waited for it is gone, and so nobody would look after it."""
    await forks.begin()
    starting = asyncio.ensure_future(forks.start(program(tmp_path, "for-ever")))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    # It is answered in order: by now the first was, and ended.
    await stop(program(tmp_path), await forks.start(program(tmp_path, "0")), within_seconds=5)
    await eventually(lambda: not _lives())


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


async def test_a_supervised_fork_is_started_again(forks: ForkServer, tmp_path: Path) -> None:
    """By whoever supervises, like any other program."""
    said: list[str] = []
    supervised = Supervised(
        Program(
            **{
                name: getattr(program(tmp_path, "for-ever"), name)
                for name in ("name", "command", "directory", "log", "address", "is_ready")
            },
            environment=_ENVIRONMENT,
            starter=forks.start,
        ),
        Watcher(changed=lambda: None, say=said.append),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervised.keep())
        await supervised.until_ready()
        first = supervised.snapshot().pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(
            lambda: (
                supervised.snapshot().restarts == 1
                and supervised.snapshot().state is ProcessState.READY
            )
        )
        assert supervised.snapshot().pid != first
        await supervised.stop(within_seconds=5)
    assert said == [
        "telling was killed by SIGKILL; starting it again in 1 s.",
        "telling is ready again.",
    ]


def _server_of(forked: Forked) -> psutil.Process:
    parent = psutil.Process(forked.pid).parent()
    assert parent is not None
    return parent


def _lives() -> bool:
    """Whether a program of these tests does, of all that this process has started."""
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if _TELLING in " ".join(each.cmdline()):
                return True
    return False
