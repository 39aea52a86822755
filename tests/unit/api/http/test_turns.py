"""Requests begin by turns, of each asker in turn, and who would wait for too long is told so."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

import pytest

from api.http.turns import NOBODY, Crowded, Turns
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from api.http.turns import Place

_LONG_S: Final = 3600.0
# No pass takes so long that two begin in the next, nor is anybody refused.
_turns = partial(Turns, step_s=_LONG_S, wait_s_max=_LONG_S)


class Street:
    """Who comes to the turns, and who has begun, in the order in which they did."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._places: dict[str, list[Place]] = {}
        self.begun: list[str] = []

    def come(self, *askers: str, is_heard: bool = True) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self._ask(each, is_heard=is_heard)) for each in askers]

    async def passes(self, number: int) -> list[str]:
        """Who began within so many passes of the event loop."""
        before = len(self.begun)
        for _ in range(number):
            await asyncio.sleep(0)
        return self.begun[before:]

    def leave(self, *askers: str) -> None:
        for each in askers:
            self._turns.give_back(self._places[each].pop(0))

    async def _ask(self, asker: str, *, is_heard: bool) -> None:
        place = await self._turns.take(asker, is_heard=is_heard)
        self._places.setdefault(asker, []).append(place)
        self.begun.append(asker)


def _many(asker: str, number: int) -> list[str]:
    return [asker] * number


def _be_busy(seconds: float) -> None:
    """With something that the event loop cannot leave."""
    until = monotonic() + seconds
    while monotonic() < until:
        sum(range(100))


@pytest.fixture
def street() -> Street:
    """One on which nobody is ever alone again, nor at work for long."""
    return Street(_turns(places=2, at_work_s=_LONG_S, alone_after_s=_LONG_S))


async def test_one_begins_in_each_pass_and_who_comes_behind_a_crowd_waits_for_one_of_it() -> None:
    street = Street(_turns(places=5))
    street.come(*_many("crowd", 5), "quiet")
    begun = [await street.passes(1) for _ in range(8)]
    assert max(map(len, begun)) == 1
    assert street.begun == ["crowd", "crowd", "quiet", "crowd", "crowd", "crowd"]


async def test_after_a_pass_that_took_long_several_begin_at_once() -> None:
    """A crowd at the door, or others on the machine, leave the process as much as before."""
    street = Street(Turns(step_s=0.01))
    street.come(*_many("crowd", 50))
    await street.passes(2)
    _be_busy(0.05)
    assert len(await street.passes(2)) >= 5


async def test_whoever_would_wait_for_too_long_is_told_when_to_come_again() -> None:
    """By the pace of those before it; of others fewer wait, and none of these is refused."""
    turns = Turns(places=1, at_work_s=_LONG_S, alone_after_s=_LONG_S, wait_s_max=1.0)
    street = Street(turns)
    street.come("quiet")
    await street.passes(2)
    crowd = street.come(*_many("crowd", 200))
    await street.passes(2)
    for _ in range(40):
        _be_busy(0.02)
        street.leave("crowd")
        await street.passes(3)
    with pytest.raises(Crowded) as refusal:
        async with in_time(5):
            await turns.take("crowd")
    assert refusal.value.retry_after_s > 1.0
    others = street.come(*_many("other", 150))
    await street.passes(3)
    assert not any(each.done() and each.exception() for each in (*crowd, *others))


async def test_who_has_waited_for_places_begins_one_by_one() -> None:
    """How long nobody began says nothing of how long a pass takes."""
    street = Street(Turns(places=1, at_work_s=_LONG_S, alone_after_s=_LONG_S, step_s=0.02))
    street.come("quiet")
    await street.passes(2)
    street.come(*_many("crowd", 3))
    await street.passes(2)
    _be_busy(0.1)
    await street.passes(3)
    street.come(*(f"guest {number}" for number in range(20)))
    assert [len(await street.passes(1)) <= 1 for _ in range(10)] == [True] * 10


async def test_a_probe_is_never_refused() -> None:
    turns = Turns(step_s=_LONG_S, wait_s_max=0.0)
    street = Street(turns)
    probes = street.come(*_many("/health", 300), is_heard=False)
    await street.passes(2)
    _be_busy(0.05)
    await street.passes(2)
    probes += street.come(*_many("/health", 10), is_heard=False)
    await asyncio.gather(*probes)


async def test_so_many_may_wait_however_long_it_takes() -> None:
    """Who stood still for a while knows no pace, and refuses no burst for it."""
    street = Street(Turns(step_s=_LONG_S, wait_s_max=0.0))
    first = street.come(*_many("crowd", 50))
    await street.passes(2)
    _be_busy(0.05)
    await street.passes(2)
    await asyncio.gather(*first, *street.come(*_many("crowd", 50)))
    assert len(street.begun) == 100


async def test_who_asks_alone_has_as_many_at_work_as_it_likes(street: Street) -> None:
    street.come(*_many("crowd", 20))
    assert await street.passes(40) == ["crowd"] * 20


async def test_while_others_ask_nobody_has_more_than_its_places(street: Street) -> None:
    """Who leaves makes room for its own; others never wait for that."""
    street.come("quiet")
    await street.passes(3)
    street.leave("quiet")
    street.come(*_many("crowd", 5))
    assert await street.passes(20) == ["crowd"] * 2
    street.come("quiet")
    assert await street.passes(3) == ["quiet"]
    street.leave("crowd")
    assert await street.passes(20) == ["crowd"]
    street.leave("crowd", "crowd")
    assert await street.passes(20) == ["crowd"] * 2


async def test_nobody_makes_room_for_who_is_not_heard(street: Street) -> None:
    """A probe, or a stranger: they take turns all the same."""
    street.come("probe", is_heard=False)
    street.come(*_many("crowd", 5))
    assert await street.passes(20) == ["probe", *_many("crowd", 5)]


async def test_who_was_heard_long_ago_is_forgotten() -> None:
    street = Street(_turns(places=2, at_work_s=_LONG_S, alone_after_s=0.0))
    street.come("quiet", *_many("crowd", 5))
    assert len(await street.passes(20)) == 6


async def test_who_is_at_work_for_long_takes_nobody_s_place() -> None:
    """It waits for what somebody else holds, or for a payment's end: for us no more."""
    street = Street(_turns(places=2, at_work_s=0.0, alone_after_s=_LONG_S))
    street.come("quiet")
    await street.passes(2)
    street.come(*_many("crowd", 6))
    await eventually(lambda: street.begun == ["quiet", *_many("crowd", 6)])


async def test_places_are_free_after_a_while_though_nobody_gives_one_back() -> None:
    street = Street(_turns(places=2, at_work_s=0.05, alone_after_s=_LONG_S))
    street.come("quiet")
    await street.passes(2)
    street.come(*_many("crowd", 4))
    assert await street.passes(20) == ["crowd"] * 2
    await eventually(lambda: street.begun == ["quiet", *_many("crowd", 4)])


async def test_while_others_ask_strangers_come_apart_from_one_another() -> None:
    street = Street(_turns(places=8, alone_after_s=_LONG_S, apart_s=_LONG_S))
    street.come("quiet")
    await street.passes(2)
    street.come(*_many(NOBODY, 3), is_heard=False)
    assert await street.passes(20) == [NOBODY]
    street.come("quiet")
    assert await street.passes(20) == ["quiet"]


async def test_a_stranger_s_time_comes_and_alone_it_is_there() -> None:
    """Nobody need ask, or give a place back, for it."""
    street = Street(_turns(places=8, alone_after_s=_LONG_S, apart_s=0.01))
    street.come(*_many(NOBODY, 3), is_heard=False)
    assert await street.passes(20) == _many(NOBODY, 3)
    street.come("quiet")
    street.come(*_many(NOBODY, 3), is_heard=False)
    await eventually(lambda: street.begun[4:] == _many(NOBODY, 3))


@pytest.mark.parametrize("passes", range(8))
async def test_who_is_gone_takes_no_turn_and_keeps_no_place(street: Street, passes: int) -> None:
    """A client that hung up, whose handler was cancelled: while it waited, or just then."""
    street.come("quiet")
    first, gone, last = street.come(*_many("crowd", 3))
    await street.passes(passes)
    gone.cancel()
    await asyncio.wait({first, gone})
    if gone.cancelled():
        await asyncio.wait({last})
        assert street.begun == ["quiet", "crowd", "crowd"]
