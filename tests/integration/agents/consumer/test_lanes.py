"""Lanes that stand still on a real stage: what Postgres knows is left to it, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from agents.consumer.delivery import PoisonError
from agents.consumer.stage import Stage
from payments.dead_letter import DeadLetterReason
from tests.support.agents.deliveries import Handler, Topic, at_work, headers_of_work
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics
    from topics.contracts.envelope import Message

_LANE_MAX: Final = 3
# A lane stands still after two seconds.
_WITHIN_S: Final = 30.0


class Provider:
    """What the lane `stuck` waits for."""

    def __init__(self) -> None:
        self.is_back = asyncio.Event()

    async def room(self, lane: str) -> int:
        if lane == "stuck":
            await self.is_back.wait()
        return 100


async def all_known(messages: Sequence[Message]) -> list[bool]:
    """Postgres has every payment that is spoken of."""
    return [True] * len(messages)


class SlowPostgres:
    """It has none of them, and says so of what is beyond the bound only when it is let."""

    def __init__(self) -> None:
        self.asked, self.may_say = asyncio.Event(), asyncio.Event()

    async def knows(self, messages: Sequence[Message]) -> list[bool]:
        if len(messages) > _LANE_MAX:
            self.asked.set()
            await self.may_say.wait()
        return [False] * len(messages)


async def nobody_known(messages: Sequence[Message]) -> list[bool]:
    """Postgres has none of them."""
    return [False] * len(messages)


@pytest.fixture
def topic() -> Topic:
    """Ten for the provider that takes nothing, and one for another, behind them."""
    topic = Topic()
    for _ in range(10):
        topic.deliver(b"{}", headers_of_work("stuck"))
    topic.deliver(b"{}", headers_of_work("free"))
    return topic


async def nothing(_offset: int) -> None:
    """What a handler does that has nothing to do."""


def handler_of(provider: Provider) -> Handler:
    return Handler(nothing, lanes=lambda message: message.type, room_left=provider.room)


async def test_a_lane_that_stands_still_is_left_to_postgres_and_holds_up_no_other(
    topic: Topic, committer: GroupCommitter, metrics: Metrics
) -> None:
    """All is acknowledged, once; what it still holds is begun when it moves again."""
    provider = Provider()
    handler = handler_of(provider)
    stage = Stage(handler, committer, metrics, known=all_known, lane_max=_LANE_MAX)
    async with at_work(stage, topic):
        await eventually(lambda: topic.acked == list(range(11)), within=_WITHIN_S)
        assert handler.begun == [10]
        provider.is_back.set()
        await eventually(lambda: handler.begun == [10, 0, 1, 2])
        after = topic.deliver(b"{}", headers_of_work("stuck"))
        await eventually(lambda: topic.acked == list(range(12)))
    assert handler.begun[-1] == after.offset
    labels = {"stage": "charge", "lane": "stuck"}
    left = metrics.registry.get_sample_value("payments_stage_events_left_total", labels)
    assert left == 10


async def test_what_postgres_does_not_know_is_kept_and_handled(
    topic: Topic, pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """A message about nothing we have is no work that is due: it must become a dead letter."""
    provider = Provider()

    async def refuses(offset: int) -> None:
        if offset < 10:
            raise PoisonError(DeadLetterReason.UNKNOWN_SUBJECT, "there is no such payment")

    handler = Handler(refuses, lanes=lambda message: message.type, room_left=provider.room)
    stage = Stage(handler, committer, metrics, known=nobody_known, lane_max=_LANE_MAX)
    async with at_work(stage, topic):
        await eventually(lambda: handler.begun == [10], within=_WITHIN_S)
        assert topic.acked == []
        provider.is_back.set()
        await eventually(lambda: topic.acked == list(range(11)), within=_WITHIN_S)
    letters = await pool.fetch("SELECT message_offset FROM dead_letters ORDER BY message_offset")
    assert [row["message_offset"] for row in letters] == list(range(10))


async def test_while_postgres_does_not_say_nothing_is_left(
    topic: Topic, committer: GroupCommitter, metrics: Metrics
) -> None:
    """Nobody may acknowledge on a guess; and what is kept beyond the bound is bounded, too."""
    provider = Provider()
    handler = handler_of(provider)
    asked: list[int] = []

    async def does_not_say(messages: Sequence[Message]) -> None:
        asked.append(len(messages))

    stage = Stage(handler, committer, metrics, known=does_not_say, lane_max=_LANE_MAX)
    async with at_work(stage, topic):
        await eventually(lambda: len(asked) > 1, within=_WITHIN_S)
        assert topic.acked == []
        provider.is_back.set()
        await eventually(lambda: 2 in handler.begun)
        assert topic.acked[:3] == [0, 1, 2]


@dataclass(frozen=True, slots=True)
class Beyond:
    """A stage at work: as many as its lane holds, and one more, of which Postgres is asked."""

    topic: Topic
    provider: Provider
    postgres: SlowPostgres
    handler: Handler


@pytest.fixture
async def beyond(committer: GroupCommitter, metrics: Metrics) -> AsyncIterator[Beyond]:
    topic, provider, postgres = Topic(), Provider(), SlowPostgres()
    for _ in range(_LANE_MAX):
        topic.deliver(b"{}", headers_of_work("stuck"))
    topic.deliver(b"{}", headers_of_work("stuck"), b"one")
    handler = handler_of(provider)
    stage = Stage(handler, committer, metrics, known=postgres.knows, lane_max=_LANE_MAX)
    async with at_work(stage, topic):
        await eventually(postgres.asked.is_set, within=_WITHIN_S)
        yield Beyond(topic, provider, postgres, handler)


async def test_what_is_beyond_the_bound_is_not_overtaken_by_its_own_key(beyond: Beyond) -> None:
    """The lane moves and has room again while Postgres is still asked about it."""
    topic, begun = beyond.topic, beyond.handler.begun
    beyond.provider.is_back.set()
    await eventually(lambda: begun == [0, 1, 2])
    topic.deliver(b"{}", headers_of_work("stuck"), b"one")
    await eventually(lambda: topic.taken == 5)
    beyond.postgres.may_say.set()
    await eventually(lambda: topic.acked == [0, 1, 2, 3, 4])
    assert begun == [0, 1, 2, 3, 4]


async def test_what_is_beyond_the_bound_is_not_overtaken_in_another_lane(beyond: Beyond) -> None:
    """The next of its key waits in the lane that stands still, and nobody else with it."""
    topic, begun = beyond.topic, beyond.handler.begun
    topic.deliver(b"{}", headers_of_work("free"), b"one")
    topic.deliver(b"{}", headers_of_work("free"), b"another")
    await eventually(lambda: 5 in begun)
    assert begun == [5]
    beyond.provider.is_back.set()
    beyond.postgres.may_say.set()
    await eventually(lambda: topic.acked == [0, 1, 2, 3, 4, 5])
    assert begun == [5, 0, 1, 2, 3, 4]


async def test_a_stage_whose_work_nobody_sends_again_leaves_nothing(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """Its lane is full, and whoever takes for it waits: nothing is lost of it."""
    provider, topic = Provider(), Topic()
    for _ in range(_LANE_MAX + 2):
        topic.deliver(b"{}", headers_of_work("stuck"))
    handler = handler_of(provider)
    async with at_work(Stage(handler, committer, metrics, lane_max=_LANE_MAX), topic):
        await eventually(lambda: topic.taken == _LANE_MAX + 1)
        assert topic.acked == []
        provider.is_back.set()
        await eventually(lambda: topic.acked == list(range(_LANE_MAX + 2)))
