"""Supervision of real small processes: restarts, back-off, giving up, and the order of the end."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil
import pytest

from local.program import Program, StartError, free_port
from local.supervisor import ProcessState, Supervised, Watcher, stop_in_order, until_all_ready
from tests.support.waiting import eventually

CHILD: Final = Path(__file__).parents[2] / "support" / "local" / "child.py"


@pytest.fixture
def said() -> list[str]:
    """What the terminal was told."""
    return []


@pytest.fixture
def child(tmp_path: Path, said: list[str]) -> Callable[..., Supervised]:
    """Makes a supervised child that is not started yet."""

    def make(name: str, *manner: str) -> Supervised:
        program = Program(
            name=name,
            command=(sys.executable, "-S", "-E", str(CHILD), str(tmp_path), name, *manner),
            directory=tmp_path,
            log=tmp_path / f"{name}.log",
            address="",
            is_ready=lambda: asyncio.to_thread((tmp_path / f"{name}.ready").exists),
        )
        return Supervised(program, Watcher(changed=lambda: None, say=said.append))

    return make


@asynccontextmanager
async def kept(*supervised: Supervised) -> AsyncIterator[None]:
    """Kept running inside the block, killed after it."""
    async with asyncio.TaskGroup() as tasks:
        for each in supervised:
            tasks.create_task(each.keep())
        try:
            yield
        finally:
            for each in supervised:
                each.kill()


def pid_of(supervised: Supervised) -> int:
    pid = supervised.snapshot().pid
    assert pid is not None
    return pid


async def test_a_stranger_on_its_port_never_makes_it_ready(
    child: Callable[..., Supervised], said: list[str]
) -> None:
    """However well the stranger is: it has failed, and the sentence says who has the port."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        late = child("late", "taken")
        program = replace(
            late.program, port=port, address=f"http://127.0.0.1:{port}", is_ready=_is_well
        )
        watcher = Watcher(changed=lambda: None, say=said.append)
        one = Supervised(program, watcher)
        async with kept(one):
            with pytest.raises(StartError) as failed:
                await until_all_ready([one], within_seconds=30)
    holder = f"by {psutil.Process().name()} (process {os.getpid()})"
    assert str(failed.value) == (
        f"late cannot listen on http://127.0.0.1:{port}: the port is taken {holder}."
    )


async def test_what_listens_on_its_port_itself_is_ready(child: Callable[..., Supervised]) -> None:
    port = free_port()
    listens = child("listens", "listening", str(port))
    one = Supervised(
        replace(listens.program, port=port), Watcher(changed=lambda: None, say=lambda _: None)
    )
    async with kept(one):
        await until_all_ready([one], within_seconds=10)
        assert one.snapshot().state is ProcessState.READY


async def _is_well() -> bool:
    return True


async def test_a_killed_child_is_restarted_and_reported(
    child: Callable[..., Supervised], said: list[str]
) -> None:
    """After a second, under a new pid, with the restart counted."""
    one = child("one")
    async with kept(one):
        await until_all_ready([one], within_seconds=10)
        first = pid_of(one)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: one.snapshot().state is ProcessState.BACKOFF)
        assert one.snapshot().pid is None
        await eventually(lambda: one.snapshot().state is ProcessState.READY)
        assert pid_of(one) != first
        assert one.snapshot().restarts == 1
    assert said == [
        "one was killed by SIGKILL; starting it again in 1 s.",
        "one is ready again.",
    ]


async def test_a_child_that_keeps_dying_is_restarted_ever_more_slowly(
    child: Callable[..., Supervised], said: list[str]
) -> None:
    """One second, then two: a broken child must not keep a machine busy."""
    one = child("one")
    async with kept(one):
        for restarts in (1, 2):
            await eventually(lambda: one.snapshot().state is ProcessState.READY)
            os.kill(pid_of(one), signal.SIGKILL)
            await eventually(lambda count=restarts: one.snapshot().restarts == count)  # type: ignore[misc] # mypy cannot infer a lambda's default
    assert [line.rpartition(" in ")[2] for line in said if "again in" in line] == ["1 s.", "2 s."]


async def test_a_child_that_never_becomes_ready_fails_the_start_with_its_own_words(
    child: Callable[..., Supervised],
) -> None:
    """After three attempts; what it printed last is in the message."""
    broken = child("broken", "broken")
    async with kept(broken):
        with pytest.raises(StartError, match="I cannot find my configuration"):
            await until_all_ready([broken], within_seconds=10)
    assert broken.snapshot().state is ProcessState.STOPPED


async def test_a_child_that_is_late_is_named(child: Callable[..., Supervised]) -> None:
    """With where its log is."""
    one, late = child("one"), child("late")
    async with kept(one):
        with pytest.raises(StartError, match=r"Not ready within 1 s: late \(its log: .*late\.log"):
            await until_all_ready([one, late], within_seconds=1)


async def test_groups_stop_one_after_the_other(
    child: Callable[..., Supervised], tmp_path: Path
) -> None:
    """The next group hears of it only when the one before has ended."""
    slow, fast, last = child("slow", "slow-to-stop"), child("fast"), child("last")
    async with kept(slow, fast, last):
        await until_all_ready([slow, fast, last], within_seconds=10)
        assert await stop_in_order([[slow], [fast], [last]], within_seconds=10) == []
    assert (tmp_path / "ended").read_text().split() == ["slow", "fast", "last"]
    assert slow.snapshot().state is ProcessState.STOPPED


async def test_a_child_that_will_not_stop_is_killed_when_the_time_is_up(
    child: Callable[..., Supervised],
) -> None:
    """And named, so that whoever stops knows that not everything drained."""
    stubborn, meek = child("stubborn", "stubborn"), child("meek")
    async with kept(stubborn, meek):
        await until_all_ready([stubborn, meek], within_seconds=10)
        killed = await stop_in_order([[stubborn, meek]], within_seconds=3)
    assert killed == ["stubborn"]


async def test_a_stop_ends_the_wait_for_a_restart(child: Callable[..., Supervised]) -> None:
    """Nobody waits 30 s of back-off for a child that is not even there."""
    one = child("one")
    async with kept(one):
        await until_all_ready([one], within_seconds=10)
        os.kill(pid_of(one), signal.SIGKILL)
        await eventually(lambda: one.snapshot().state is ProcessState.BACKOFF)
        async with asyncio.timeout(0.5):
            assert await stop_in_order([[one]], within_seconds=10) == []
    assert one.snapshot().state is ProcessState.STOPPED


async def test_a_life_that_just_begins_ends_when_it_is_told_so(
    child: Callable[..., Supervised],
) -> None:
    """Whoever has it ended may rely on it, though the process was not there yet."""
    made = child("late")
    lives = 0

    async def before() -> None:
        nonlocal lives
        lives += 1
        if lives == 1:
            await supervised.end_life(within_seconds=5)

    supervised = Supervised(
        replace(made.program, before=before), Watcher(changed=lambda: None, say=print)
    )
    async with kept(supervised):
        await supervised.until_ready()
        await eventually(lambda: lives == 2)
        assert supervised.snapshot().restarts == 0
