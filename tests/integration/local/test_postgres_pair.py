"""Two databases, of which one has whatever the other has told anybody: they change places."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from local.home import Home
from local.program import StartError
from local.supervisor import ProcessState
from tests.support.local.pair import READY_WITHIN_S, running
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.local.pair import Running

_SIGNALS = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
async def both(home: Home) -> AsyncIterator[Running]:
    async with running(home) as started:
        await started.pool.execute("CREATE TABLE told (number bigint PRIMARY KEY)")
        yield started


@pytest.mark.parametrize("how", ["in order", "killed", "frozen"])
async def test_whoever_was_told_of_a_commit_finds_it_after_a_failover(
    both: Running, how: str
) -> None:
    """In either direction, in whatever state who led was; and that one follows."""
    told = 0
    stop = asyncio.Event()

    async def write() -> None:
        nonlocal told
        while not stop.is_set():
            await both.write(told)
            told += 1

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write())
        for _ in range(2):
            before, enough = both.pair.primary, told + 20
            await eventually(partial(_is_more, lambda: told, enough), READY_WITHIN_S)
            if how in _SIGNALS:
                os.kill(both.pid(before), _SIGNALS[how])
            await both.fail_over()
            assert both.pair.standby == before
            await both.until_both_are_ready()
        stop.set()
        await writing
    assert await both.numbers() == set(range(told))


async def test_nobody_is_told_of_a_commit_that_only_one_has(both: Running) -> None:
    """While the standby stands still a writer waits, and is told when both have it."""
    standby = both.pid(both.pair.standby)
    receivers = _children(standby)
    for pid in (standby, *receivers):
        os.kill(pid, signal.SIGSTOP)
    try:
        writing = asyncio.create_task(both.write(1))
        await eventually(lambda: _waits_for_standby(both), READY_WITHIN_S)
        assert not writing.done()
    finally:
        for pid in (standby, *receivers):
            os.kill(pid, signal.SIGCONT)
    await writing


async def test_a_relays_slot_goes_with_the_writes(both: Running) -> None:
    """It is at the new primary as it was, and not made anew."""
    await both.pool.fetchval(
        "SELECT pg_create_logical_replication_slot('kept', 'pgoutput', false, false, true)"
    )

    async def is_carried() -> bool:
        # As a relay does: a slot that stands still cannot be carried.
        await both.write(1)
        await both.pool.fetchval("SELECT pg_replication_slot_advance('kept', pg_current_wal_lsn())")
        return not await both.pair.loose_slots()

    await eventually(is_carried, READY_WITHIN_S)
    await both.fail_over()
    await both.until_both_are_ready()
    found = await both.pool.fetch(
        "SELECT synced, temporary FROM pg_replication_slots WHERE slot_name = 'kept'"
    )
    assert [tuple(row) for row in found] == [(True, False)]


async def test_a_standby_that_lost_everything_is_copied_anew(home: Home) -> None:
    """Whoever throws its folder away has it back at the next start."""
    async with running(home) as first:
        await first.pool.execute("CREATE TABLE told (number bigint PRIMARY KEY)")
        await first.write(1)
        standby = first.pair.standby
    shutil.rmtree(home.data(standby))
    async with running(home) as second:
        await second.fail_over()
        assert second.pair.primary == standby
        await second.write(2)
        assert await second.numbers() == {1, 2}


async def test_a_copy_that_fails_is_tried_until_it_succeeds(both: Running, home: Home) -> None:
    """Without a standby nobody would be told of a commit, ever."""
    standby = both.pair.standby
    in_the_way = home.data(f"{standby}.new")
    in_the_way.touch()
    os.kill(both.pid(standby), signal.SIGKILL)
    # It comes back in a second.
    shutil.rmtree(home.data(standby))

    async def is_tried() -> bool:
        return not await both.pool.fetchval("SELECT count(*) FROM pg_replication_slots")

    await eventually(is_tried, READY_WITHIN_S)
    in_the_way.unlink()
    await both.until_both_are_ready()
    await both.write(1)


async def test_who_led_last_leads_after_a_restart(home: Home) -> None:
    """Started in the order of their names, the other one would lose what was written since."""
    async with running(home) as first:
        await first.pool.execute("CREATE TABLE told (number bigint PRIMARY KEY)")
        await first.fail_over()
        await first.write(1)
        leader = first.pair.primary
    async with running(home) as second:
        assert second.pair.primary == leader
        # Clients find it though it is not the first they know.
        await second.pool.execute("INSERT INTO told VALUES (2)")
        assert await second.numbers() == {1, 2}


async def test_a_standby_that_is_not_there_takes_nothing_over(both: Running) -> None:
    """The primary goes on as it was."""
    os.kill(both.pid(both.pair.standby), signal.SIGKILL)
    (standby,) = (each for each in both.supervised if each.program.name == both.pair.standby)
    await eventually(lambda: standby.snapshot().state is not ProcessState.READY, READY_WITHIN_S)
    with pytest.raises(StartError, match="is not ready to take over"):
        await both.fail_over()
    await both.write(1)


def _is_more(number: Callable[[], int], than: int) -> bool:
    return number() > than


def _children(pid: int) -> list[int]:

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


async def _waits_for_standby(both: Running) -> bool:
    return bool(
        await both.pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )
    )
