"""A lane of a stage: what it holds, when it stands still, and whom it lets wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from agents.consumer.delivery import Delivery, PoisonError
from agents.consumer.key_order import KeyTurn
from agents.consumer.lanes import OVERFLOW_MAX, Lane
from payments.dead_letter import DeadLetterReason
from tests.support.factories import SOURCE
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from faust.types import EventT

_MAX = 3


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Scene:
    """A lane with room for three, on a clock the test turns by hand."""

    clock: Clock = field(default_factory=Clock)
    lane: Lane = field(init=False)

    def __post_init__(self) -> None:
        self.lane = Lane(_MAX, self.clock)

    def put(self, count: int) -> list[Delivery]:
        deliveries = [
            Delivery(
                cast("EventT[bytes]", object()),
                SOURCE,
                PoisonError(DeadLetterReason.UNDECODABLE, "whatever it says"),
            )
            for _ in range(count)
        ]
        for each in deliveries:
            self.lane.put(each, KeyTurn("", None))
        return deliveries


def test_it_is_taken_from_in_order() -> None:
    """As many as are asked for, or as there are."""
    scene = Scene()
    first, second, third = scene.put(3)
    assert [each.delivery for each in scene.lane.take(2)] == [first, second]
    assert [each.delivery for each in scene.lane.take(2)] == [third]
    assert len(scene.lane) == 0


@pytest.mark.parametrize(
    ("waits_s", "taken_every_s", "is_stuck"),
    [
        (0.0, None, False),
        (1.9, None, False),
        (2.1, None, True),
        (29.0, 1.0, False),
        (31.0, 1.0, True),
    ],
)
def test_it_stands_still_when_nothing_is_taken_or_its_first_waits_for_long(
    waits_s: float, taken_every_s: float | None, *, is_stuck: bool
) -> None:
    """One that moves makes others wait for a while: that is what keeps its work in the topic."""
    scene = Scene()
    scene.put(1)
    waited = 0.0
    while waited < waits_s:
        step = min(taken_every_s or waits_s, waits_s - waited)
        scene.clock.now_s += step
        waited += step
        if taken_every_s:
            # Of those behind it, so that it is still the first: as if all were taken but one.
            scene.lane.take(0)
    assert scene.lane.is_stuck is is_stuck


def test_an_empty_lane_stands_still_for_nobody() -> None:
    """However long nothing came; and what comes then has just come."""
    scene = Scene()
    scene.clock.now_s += 3600
    assert not scene.lane.is_stuck
    scene.put(1)
    assert not scene.lane.is_stuck


def test_what_is_left_of_a_lane_that_stands_still_is_left_once() -> None:
    """What is acknowledged need not be again; what moves is not to be left at all."""
    scene = Scene()
    scene.put(2)
    assert scene.lane.leavable() == []
    scene.clock.now_s += 3
    first, second = scene.lane.leavable()
    first.is_left = True
    assert scene.lane.leavable() == [second]


async def test_full_it_makes_wait_until_it_moves() -> None:
    """Back-pressure, as long as it may not overflow or does not stand still."""
    for may_overflow in (False, True):
        scene = Scene()
        scene.put(_MAX)
        waiting = asyncio.ensure_future(scene.lane.room(may_overflow=may_overflow))
        await asyncio.sleep(0)
        assert not waiting.done()
        scene.lane.take(1)
        await waiting
        assert not scene.lane.is_full


async def test_full_and_standing_still_it_overflows_up_to_a_bound() -> None:
    """Whoever comes need not wait, until Postgres has been asked about too many."""
    scene = Scene()
    deliveries = scene.put(_MAX)
    scene.clock.now_s += 3
    await scene.lane.room(may_overflow=True)
    assert scene.lane.is_full
    scene.lane.overflow += deliveries * (OVERFLOW_MAX // _MAX + 1)
    waiting = asyncio.ensure_future(scene.lane.room(may_overflow=True))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert len(scene.lane.spilt(_MAX)) == _MAX
    await waiting


async def test_nobody_overtakes_what_is_beyond_the_bound() -> None:
    """Not even where there is room again: that is theirs."""
    scene = Scene()
    beyond = scene.put(_MAX)
    scene.lane.overflow += beyond
    scene.lane.take(_MAX)
    waiting = asyncio.ensure_future(scene.lane.room(may_overflow=True))
    assert scene.lane.spilt(1) == beyond[:1]
    await asyncio.sleep(0)
    assert not waiting.done()
    assert scene.lane.spilt(_MAX) == beyond[1:]
    await waiting


async def test_who_may_not_overflow_waits_for_ever() -> None:
    """Where Postgres would not send it again, nothing is left to it."""
    scene = Scene()
    scene.put(_MAX)
    scene.clock.now_s += 3600
    waiting = asyncio.ensure_future(scene.lane.room(may_overflow=False))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await eventually(waiting.done)
