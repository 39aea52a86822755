"""The stage loop: poison is parked once, nothing escapes, acknowledged is only what is recorded.

Its events are doubles of Faust's; what it records, it records in a real Postgres.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

from agents.consumer.dead_letter_limiter import DeadLetterLimiter
from agents.consumer.delivery import PoisonError
from agents.consumer.stage import Stage
from payments.account import Account
from payments.dead_letter import DeadLetterReason
from payments.payment import Payment
from store.write.group_commit import Submission
from tests.support.agents.deliveries import TOPIC, Handler, Topic, at_work, headers_of_work, work
from tests.support.factories import open_account, pay
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import asyncpg
    from faust.types import EventT

    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics


# Against a stage that would never stop.
_STOPPED_WITHIN_S = 30.0


async def letters(pool: asyncpg.Pool[asyncpg.Record]) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM dead_letters ORDER BY message_offset")


async def nothing(_offset: int) -> None:
    """What a handler does that has nothing to do."""


async def fails(_offset: int) -> None:
    raise KeyError("a bug")


async def refuses(_offset: int) -> None:
    raise PoisonError(DeadLetterReason.UNKNOWN_SUBJECT, "there is no such payment")


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b'{"payment_id":"x"}', {}),
        (b'{"payment_id":"x"}', None),
        (None, headers_of_work()),
        (b"\x00\xff", headers_of_work() | {"ce_specversion": b"0.3"}),
        (b"{}", headers_of_work() | {"ce_id": b"\xff\x00"}),
        (b"{}", headers_of_work() | {"ce_tenantid": b"\x00"} | {"ce_time": b"yesterday"}),
    ],
    ids=["no headers", "null headers", "tombstone", "old version", "no text", "nul and no time"],
)
async def test_what_cannot_be_read_is_parked_as_it_came(
    pool: asyncpg.Pool[asyncpg.Record],
    committer: GroupCommitter,
    metrics: Metrics,
    value: bytes | None,
    headers: Mapping[str, bytes] | None,
) -> None:
    """The letter has the original bytes, the place and the reason; the handler sees nothing."""
    topic, handler = Topic(), Handler(nothing)
    topic.deliver(value, headers)
    topic.deliver(b"{}", headers_of_work())
    async with at_work(Stage(handler, committer, metrics), topic):
        await eventually(lambda: topic.acked == [0, 1])
    (letter,) = await letters(pool)
    assert handler.begun == [1]
    assert letter["reason"] == "undecodable"
    assert letter["message_value"] == value
    assert (letter["topic"], letter["message_partition"], letter["message_offset"]) == (TOPIC, 0, 0)


# More than a row of an index holds, and nothing that could be made shorter.
_TOO_LONG = secrets.token_hex(6_000).encode()


@pytest.mark.parametrize(
    "tenant_id", [None, b"", b" ", _TOO_LONG], ids=["none", "empty", "blank", "too long"]
)
async def test_what_is_said_to_be_nobodys_is_the_operators(
    pool: asyncpg.Pool[asyncpg.Record],
    committer: GroupCommitter,
    metrics: Metrics,
    tenant_id: bytes | None,
) -> None:
    """Whether it names no tenant or what is no tenant's name: so it is parked and in a list."""
    topic = Topic()
    headers = headers_of_work() | {"ce_id": b"\xff"}
    headers.pop("ce_tenantid")
    topic.deliver(b"{}", headers if tenant_id is None else headers | {"ce_tenantid": tenant_id})
    async with at_work(Stage(Handler(nothing), committer, metrics), topic):
        await eventually(lambda: topic.acked == [0])
    (letter,) = await letters(pool)
    assert letter["tenant_id"] == "default"


@pytest.mark.parametrize(
    ("act", "reason"), [(fails, "handler_error"), (refuses, "unknown_subject")]
)
async def test_a_handler_that_raises_parks_its_message_and_the_stage_goes_on(
    pool: asyncpg.Pool[asyncpg.Record],
    committer: GroupCommitter,
    metrics: Metrics,
    act: Callable[[int], Awaitable[None]],
    reason: str,
) -> None:
    """No exception leaves the loop: the message is a dead letter, the next one is handled."""

    async def once(offset: int) -> None:
        if offset == 0:
            await act(offset)

    topic, handler = Topic(), Handler(once)
    value = work(uuid4())
    topic.deliver(value, headers_of_work())
    topic.deliver(work(uuid4()), headers_of_work())
    async with at_work(Stage(handler, committer, metrics), topic):
        await eventually(lambda: topic.acked == [0, 1])
    (letter,) = await letters(pool)
    assert (letter["reason"], letter["message_value"]) == (reason, value)


async def test_a_message_that_waits_for_a_row_holds_up_none_after_it(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """But those of its own key; it is acknowledged when it is recorded, and they after it."""
    let_go = asyncio.Event()

    async def held(offset: int) -> None:
        if offset == 1:
            await let_go.wait()

    topic, handler = Topic(), Handler(held)
    for key in (b"a", b"held", b"b", b"held"):
        topic.deliver(work(uuid4()), headers_of_work(), key)
    async with at_work(Stage(handler, committer, metrics), topic):
        try:
            await eventually(lambda: handler.begun == [0, 1, 2])
            topic.deliver(work(uuid4()), headers_of_work(), b"c")
            await eventually(lambda: handler.begun == [0, 1, 2, 4])
            assert topic.acked == [0]
        finally:
            let_go.set()
        await eventually(lambda: topic.acked == [0, 1, 2, 3, 4])


async def test_poison_that_comes_again_is_parked_once(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """A redelivered message is the same letter, whoever parks it."""
    topic = Topic()
    event = topic.deliver(b"junk", {})
    topic.redeliver(event)
    async with at_work(Stage(Handler(nothing), committer, metrics), topic):
        await eventually(lambda: topic.acked == [0, 0])
    successor = Topic()
    successor.redeliver(event)
    async with at_work(Stage(Handler(nothing), committer, metrics), successor):
        await eventually(lambda: successor.acked == [0])
    assert len(await letters(pool)) == 1


async def test_nothing_is_acknowledged_before_it_is_recorded(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """While the handler is at it the broker is told nothing, nor about what comes after it."""
    recorded = asyncio.Event()

    async def first_waits(offset: int) -> None:
        if offset == 0:
            await recorded.wait()

    topic, handler = Topic(), Handler(first_waits, lanes=lambda message: message.type)
    topic.deliver(b"{}", headers_of_work("slow"))
    topic.deliver(b"{}", headers_of_work("quick"))
    async with at_work(Stage(handler, committer, metrics), topic):
        await eventually(lambda: handler.begun == [0, 1])
        too_early = list(topic.acked)
        recorded.set()
        await eventually(lambda: len(topic.acked) >= 2)
    assert (too_early, topic.acked) == ([], [0, 1])


async def test_messages_of_one_key_do_not_overtake_each_other(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """Not even in another lane: the later begins when what became of the first is recorded."""
    recorded = asyncio.Event()

    async def first_waits(offset: int) -> None:
        if offset == 0:
            await recorded.wait()

    topic, handler = Topic(), Handler(first_waits, lanes=lambda message: message.type)
    topic.deliver(b"{}", headers_of_work("slow"), b"one")
    topic.deliver(b"{}", headers_of_work("quick"), b"one")
    topic.deliver(b"{}", headers_of_work("other"), b"another")
    async with at_work(Stage(handler, committer, metrics), topic):
        await eventually(lambda: topic.taken == 3 and 2 in handler.begun)
        assert handler.begun == [0, 2]
        recorded.set()
        await eventually(lambda: topic.acked == [0, 1, 2])
    assert handler.begun == [0, 2, 1]


async def test_stopped_it_waits_for_nobody_s_turn(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """What had to wait is neither begun nor acknowledged: whoever comes next has both."""
    recorded = asyncio.Event()

    async def waits(_offset: int) -> None:
        await recorded.wait()

    topic, handler = Topic(), Handler(waits)
    stage = Stage(handler, committer, metrics)
    topic.deliver(b"{}", headers_of_work(), b"one")
    topic.deliver(b"{}", headers_of_work(), b"one")
    async with at_work(stage, topic):
        await eventually(lambda: topic.taken == 2 and handler.begun == [0])
        stage.stop()
        recorded.set()
    assert handler.begun == [0]
    assert topic.acked == [0]


async def test_what_is_of_one_key_stands_in_one_lane(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """Behind the one before it, in that one's lane: so its own lane waits for no other."""
    recorded = asyncio.Event()

    async def waits(offset: int) -> None:
        if offset == 0:
            await recorded.wait()

    topic, handler = Topic(), Handler(waits, lanes=lambda message: message.type)
    topic.deliver(b"{}", headers_of_work("slow"), b"one")
    topic.deliver(b"{}", headers_of_work("quick"), b"one")
    async with at_work(Stage(handler, committer, metrics), topic):
        try:
            await eventually(lambda: topic.taken == 2 and handler.begun == [0])
            topic.deliver(b"{}", headers_of_work("quick"), b"another")
            await eventually(lambda: handler.begun == [0, 2])
        finally:
            recorded.set()
        await eventually(lambda: topic.acked == [0, 1, 2])


async def test_what_waits_behind_a_letter_does_not_stop_the_stage(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """One bug at one payment, and a hundred of its messages: one is a fault, and the rest wait."""
    payment = await accepted(committer)
    key = str(payment.id).encode()

    async def is_held_up(offset: int) -> None:
        reason = DeadLetterReason.WAITS_BEHIND if offset else DeadLetterReason.HANDLER_ERROR
        raise PoisonError(reason, "no")

    topic, handler = Topic(), Handler(is_held_up)
    stage = Stage(handler, committer, metrics, DeadLetterLimiter(ratio_max=0.5, window=20))
    async with at_work(stage, topic):
        # In two batches: whether to pause is asked before each.
        delivered = [topic.deliver(b"{}", headers_of_work(), key) for _ in range(50)]
        await eventually(lambda: len(topic.acked) == len(delivered))
        delivered += [topic.deliver(b"{}", headers_of_work(), key) for _ in range(50)]
        await eventually(lambda: len(topic.acked) == len(delivered))
    first, *behind = await letters(pool)
    assert first["waits_behind"] is None
    assert {each["waits_behind"] for each in behind} == {first["id"]}


async def test_what_may_go_on_after_all_is_handled_again(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """The letter it was to wait behind left while it was about to be parked."""
    payment = await accepted(committer)
    refusals = iter([PoisonError(DeadLetterReason.WAITS_BEHIND, "no")])

    async def is_refused_once(_offset: int) -> None:
        for each in refusals:
            raise each

    topic, handler = Topic(), Handler(is_refused_once)
    topic.deliver(b"{}", headers_of_work(), str(payment.id).encode())
    async with at_work(Stage(handler, committer, metrics), topic):
        await eventually(lambda: topic.acked == [0])
    assert handler.begun == [0, 0]
    assert await letters(pool) == []


async def accepted(committer: GroupCommitter) -> Payment:
    """A payment whose messages may be in each other's way."""
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(payment, Payment)
    return payment


async def test_a_lane_without_room_begins_nothing_and_holds_up_no_other(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """Back-pressure is a lane's own: what waits stays unacknowledged, in order."""
    has_room = asyncio.Event()

    async def room(lane: str) -> int:
        if lane == "full":
            await has_room.wait()
        return 1

    topic = Topic()
    handler = Handler(nothing, lanes=lambda message: message.type, room_left=room)
    topic.deliver(b"{}", headers_of_work("full"))
    topic.deliver(b"{}", headers_of_work("full"))
    topic.deliver(b"{}", headers_of_work("free"))
    async with at_work(Stage(handler, committer, metrics), topic):
        await eventually(lambda: handler.begun == [2])
        assert topic.acked == []
        has_room.set()
        await eventually(lambda: topic.acked == [0, 1, 2])
    assert handler.begun == [2, 0, 1]


async def test_a_lane_begins_no_more_at_once_than_it_has_room_for(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """Ten are there, room is for three: three are begun."""
    release = asyncio.Event()

    async def waits(_offset: int) -> None:
        await release.wait()

    async def room(_lane: str) -> int:
        return 3

    topic, handler = Topic(), Handler(waits, room_left=room)
    for _ in range(10):
        topic.deliver(b"{}", headers_of_work())
    async with at_work(Stage(handler, committer, metrics), topic):
        await eventually(lambda: topic.taken == 10 and len(handler.begun) > 0)
        assert len(handler.begun) <= 3
        release.set()
        await eventually(lambda: topic.acked == list(range(10)))


async def test_stopped_it_ends_what_it_began_and_begins_nothing(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """The batch at hand is recorded and acknowledged; the rest is left for whoever comes next."""
    release = asyncio.Event()

    async def waits(_offset: int) -> None:
        await release.wait()

    topic, handler = Topic(), Handler(waits)
    topic.deliver(b"{}", headers_of_work())
    stage = Stage(handler, committer, metrics)
    async with at_work(stage, topic):
        await eventually(lambda: handler.begun == [0])
        topic.deliver(b"{}", headers_of_work())
        await eventually(lambda: topic.taken == 2)
        stage.stop()
        release.set()
    assert handler.begun == [0]
    assert topic.acked == [0]


async def test_stopped_it_waits_for_no_room(committer: GroupCommitter, metrics: Metrics) -> None:
    """A provider that wants to be left alone holds up no stop; what waits for it comes again."""
    has_been_asked = asyncio.Event()

    async def room(_lane: str) -> int:
        has_been_asked.set()
        await asyncio.Event().wait()
        return 1

    topic, handler = Topic(), Handler(nothing, room_left=room)
    topic.deliver(b"{}", headers_of_work())
    async with (
        in_time(_STOPPED_WITHIN_S),
        at_work(Stage(handler, committer, metrics), topic),
    ):
        await has_been_asked.wait()
    assert (handler.begun, topic.acked) == ([], [])


async def test_what_arrives_after_the_stop_is_let_be(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """The agent is torn down a little later: what it takes still, of a new lane too, is left."""
    topic, handler = Topic(), Handler(nothing, lanes=lambda message: message.type)
    stage = Stage(handler, committer, metrics)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(stage.run())
        agent = tasks.create_task(
            stage.consume(cast("AsyncIterator[EventT[bytes]]", topic.events()))
        )
        stage.stop()
        await loop
        topic.deliver(b"{}", headers_of_work("never seen before"))
        await eventually(lambda: topic.taken == 1)
        await asyncio.sleep(0)
        assert not agent.done()
        agent.cancel()
    assert (handler.begun, topic.acked) == ([], [])


async def test_a_stage_that_parks_most_of_its_messages_pauses_and_says_so(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """Past the bound nothing more is begun or acknowledged, until somebody stops it."""
    topic, handler = Topic(), Handler(refuses)
    limiter = DeadLetterLimiter(ratio_max=0.5, window=20)
    stage = Stage(handler, committer, metrics, limiter)
    for _ in range(11):
        topic.deliver(b"{}", headers_of_work())
    async with at_work(stage, topic):
        await eventually(lambda: len(topic.acked) == 11)
        topic.deliver(b"{}", headers_of_work())
        await eventually(lambda: stage.is_paused)
        assert len(handler.begun) == 11
    assert len(await letters(pool)) == 11
    assert metrics.registry.get_sample_value("payments_stage_paused", {"stage": "charge"}) == 1
