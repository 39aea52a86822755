"""A message is handed over for less: it waits as Faust has it wait, and for nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agents.consumer.handing_over import HandsOver

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def test_what_need_not_wait_has_ended_without_a_task() -> None:
    """The usual message: nothing else runs in between."""
    waiter, other = HandsOver(), asyncio.Event()
    before = len(asyncio.all_tasks())
    handed_over = waiter.wait_first(_at_once("done"), other.wait())
    assert (await handed_over).results == ["done"]
    assert len(asyncio.all_tasks()) == before


async def test_what_waits_goes_on_where_it_was() -> None:
    """It was begun, and is neither begun again nor forgotten."""
    waiter, other, go_on = HandsOver(), asyncio.Event(), asyncio.Event()
    begun: list[str] = []

    async def waits() -> str:
        begun.append("once")
        await go_on.wait()
        await asyncio.sleep(0)
        return "done"

    waiting = asyncio.create_task(waiter.wait_first(waits(), other.wait()))
    await asyncio.sleep(0)
    go_on.set()
    assert "done" in (await waiting).results
    assert begun == ["once"]


async def test_what_waits_is_left_for_whoever_interrupts_it() -> None:
    """A rebalance does not wait for a full buffer; what waited is told, and ends."""
    waiter, other = HandsOver(), asyncio.Event()
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(waiter.wait_first(waits(), other.wait()))
    await asyncio.sleep(0)
    other.set()
    assert True in (await waiting).results
    async with asyncio.timeout(5):
        await ended.wait()


@pytest.mark.parametrize("is_late", [False, True])
async def test_what_fails_says_so(is_late: bool) -> None:  # noqa: FBT001 - a row of the test
    waiter, other = HandsOver(), asyncio.Event()
    with pytest.raises(RuntimeError, match="no room"):
        await waiter.wait_first(_fails(is_late=is_late), other.wait())


def _at_once(result: str) -> Coroutine[object, object, str]:
    async def ends() -> str:
        return result

    return ends()


async def _fails(*, is_late: bool) -> None:
    if is_late:
        await asyncio.sleep(0)
    raise RuntimeError("no room")
