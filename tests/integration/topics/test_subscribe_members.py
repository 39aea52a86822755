"""Members of a group come, go, are slow and are thrown out; topics lose what nobody has read."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition

from tests.support.topics.broker_clients import create_topic, transaction
from tests.support.topics.messages import append, publish
from tests.support.waiting import eventually
from topics.contracts.channels import EVENTS
from topics.subscribe import Foreign, Gap, subscribe_kafka, subscribe_redis
from topics.subscribe import kafka as of_kafka

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    import redis.asyncio

    from process.addresses import RedisAddress
    from topics.contracts.envelope import Message

PATIENCE_SECONDS = 60.0


class Member:
    """A member of a group in a task of its own, whose body may be held up at a message."""

    def __init__(self, messages: AsyncGenerator[Message, None]) -> None:
        self.given: list[UUID] = []
        self.keys: list[tuple[str, UUID]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._task = asyncio.ensure_future(self._work(messages))

    async def _work(self, messages: AsyncGenerator[Message, None]) -> None:
        async with aclosing(messages):
            async for message in messages:
                self.given.append(message.id)
                self.keys.append((message.key, message.id))
                await self.may_go_on.wait()

    def holds_up(self) -> None:
        self.may_go_on.clear()

    def assert_works(self) -> None:
        assert not self._task.done(), self._task.exception()

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture
async def start() -> AsyncIterator[Callable[[AsyncGenerator[Message, None]], Member]]:
    """Starts members, and ends them after the test."""
    members: list[Member] = []

    def started(messages: AsyncGenerator[Message, None]) -> Member:
        members.append(Member(messages))
        return members[-1]

    yield started
    for each in members:
        await each.end()


@pytest.fixture
async def topic(kafka_bootstrap: str, topic_prefix: str) -> str:
    """A topic of two partitions."""
    await create_topic(kafka_bootstrap, f"{topic_prefix}events", 2)
    return f"{topic_prefix}events"


async def fill(kafka_bootstrap: str, topic: str, count: int) -> list[UUID]:
    """Messages on both partitions, a key each."""
    ids = [uuid4() for _ in range(2 * count)]
    for partition in (0, 1):
        some = ids[partition * count : (partition + 1) * count]
        await publish(
            kafka_bootstrap, topic, [(f"key-{partition}", each) for each in some], partition
        )
    return ids


async def until_divided_anew(kafka_bootstrap: str, group: str) -> None:
    """Until the broker waits for a member to let go, or it has not waited."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()

    async def is_divided_anew() -> bool:
        (answer,) = await admin.describe_consumer_groups([group])
        _, _, state, _, _, members, *_ = answer.groups[0]
        return state == "PreparingRebalance" or (state == "Stable" and len(members) == 2)

    try:
        await eventually(is_divided_anew, within=PATIENCE_SECONDS)
    finally:
        await admin.close()


async def test_a_body_that_runs_while_partitions_are_taken_away_is_waited_for(
    kafka_bootstrap: str, topic: str, start: Callable[[AsyncGenerator[Message, None]], Member]
) -> None:
    """A second member comes; nothing is given twice, nothing fails, and each key is in order."""
    ids = await fill(kafka_bootstrap, topic, 20)
    one = start(subscribe_kafka(kafka_bootstrap, [topic], group=f"{topic}.mail"))
    one.holds_up()
    await eventually(lambda: len(one.given) == 1, within=PATIENCE_SECONDS)
    two = start(subscribe_kafka(kafka_bootstrap, [topic], group=f"{topic}.mail"))
    await until_divided_anew(kafka_bootstrap, f"{topic}.mail")
    one.may_go_on.set()
    await eventually(lambda: len(set(one.given + two.given)) == len(ids), within=PATIENCE_SECONDS)
    one.assert_works()
    two.assert_works()
    assert sorted(one.given + two.given) == sorted(ids)


async def test_who_lost_its_partitions_goes_on_with_nothing_old(
    kafka_bootstrap: str,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[AsyncGenerator[Message, None]], Member],
) -> None:
    """A body too slow for a rebalance: its own message is another's, too, and no other is."""
    monkeypatch.setattr(of_kafka, "_HANDOVER_SECONDS_MAX", 0.1)
    ids = await fill(kafka_bootstrap, topic, 20)
    one = start(subscribe_kafka(kafka_bootstrap, [topic], group=f"{topic}.mail"))
    one.holds_up()
    await eventually(lambda: len(one.given) == 1, within=PATIENCE_SECONDS)
    two = start(subscribe_kafka(kafka_bootstrap, [topic], group=f"{topic}.mail"))
    await eventually(lambda: len(two.given) >= 20, within=PATIENCE_SECONDS)
    one.may_go_on.set()
    await eventually(lambda: len(set(one.given + two.given)) == len(ids), within=PATIENCE_SECONDS)
    one.assert_works()
    twice = len(one.given + two.given) - len(ids)
    assert twice <= 1


async def test_what_retention_took_is_told_as_a_gap(
    kafka_bootstrap: str, topic: str, start: Callable[[AsyncGenerator[Message, None]], Member]
) -> None:
    """A group that was away comes back to a topic that has lost what it had not read."""
    ids = await fill(kafka_bootstrap, topic, 10)
    group = f"{topic}.mail"
    async with aclosing(subscribe_kafka(kafka_bootstrap, [topic], group=group)) as messages:
        given = {(await anext(messages)).id for _ in range(4)}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.delete_records(
        {TopicPartition(topic, number): RecordsToDelete(before_offset=8) for number in (0, 1)}
    )
    await admin.close()
    told: list[Foreign | Gap] = []
    member = start(subscribe_kafka(kafka_bootstrap, [topic], group=group, report=told.append))
    rest = {*ids[8:10], *ids[18:20]} - given
    await eventually(lambda: rest <= set(member.given), within=PATIENCE_SECONDS)
    gaps = [each for each in told if isinstance(each, Gap)]
    assert {each.place for each in gaps} <= {"0/8", "1/8"}
    assert sum(each.lost or 0 for each in gaps) > 0


async def test_from_an_id_on_nothing_that_was_committed_later_is_missed(
    kafka_bootstrap: str, topic: str, start: Callable[[AsyncGenerator[Message, None]], Member]
) -> None:
    """Ids are drawn before a commit: what stands behind may have a smaller one."""
    now = uuid7_like(2)
    before, later = uuid7_like(1), uuid7_like(3)
    await publish(kafka_bootstrap, topic, [("key", later), ("key", now), ("key", before)], 0)
    member = start(subscribe_kafka(kafka_bootstrap, [topic], start=now))
    await eventually(lambda: bool(member.given), within=PATIENCE_SECONDS)
    assert member.given == [before]


def uuid7_like(number: int) -> UUID:
    """Version 7, of a time that was, in the order of the number."""
    return UUID(int=(1_700_000_000_000 << 80) | (7 << 76) | (2 << 62) | number)


async def test_partitions_that_are_added_are_followed_from_their_beginning(
    kafka_bootstrap: str, topic: str, start: Callable[[AsyncGenerator[Message, None]], Member]
) -> None:
    """By a reader without a group, within seconds; and of the others nothing comes again."""
    old = await fill(kafka_bootstrap, topic, 5)
    member = start(subscribe_kafka(kafka_bootstrap, [topic], start="latest"))

    async def follows() -> bool:
        await publish(kafka_bootstrap, topic, [("key", uuid4())], 0)
        return bool(member.given)

    await eventually(follows, within=PATIENCE_SECONDS)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.create_partitions({topic: NewPartitions(3)})
    await admin.close()
    added, behind = uuid4(), uuid4()
    await publish(kafka_bootstrap, topic, [("key", added)], 2)
    await eventually(lambda: added in member.given, within=PATIENCE_SECONDS)
    await publish(kafka_bootstrap, topic, [("key", behind)], 0)
    await eventually(lambda: behind in member.given, within=PATIENCE_SECONDS)
    assert not set(old) & set(member.given)


async def test_what_was_aborted_is_not_given(
    kafka_bootstrap: str, topic: str, start: Callable[[AsyncGenerator[Message, None]], Member]
) -> None:
    """Messages of a transaction that never was."""
    async with transaction(kafka_bootstrap) as producer:
        await producer.send_and_wait(topic, b"{}", key=b"aborted", partition=0)
        await producer.abort_transaction()
    wanted = uuid4()
    await publish(kafka_bootstrap, topic, [("key", wanted)], 0)
    told: list[Foreign | Gap] = []
    member = start(subscribe_kafka(kafka_bootstrap, [topic], group=topic, report=told.append))
    await eventually(lambda: bool(member.given), within=PATIENCE_SECONDS)
    assert (member.given, told) == ([wanted], [])


async def test_what_a_living_member_works_on_nobody_else_is_given(
    redis_client: redis.asyncio.Redis,
    redis_address: RedisAddress,
    start: Callable[[AsyncGenerator[Message, None]], Member],
) -> None:
    """However long it takes: it renews what it has, and the order of its messages holds."""
    ids = [uuid4() for _ in range(20)]
    await append(redis_client, EVENTS, [("key", each) for each in ids])

    def member(name: str) -> Member:
        return start(
            subscribe_redis(
                redis_address, [EVENTS], group="mail", consumer=name, claim_after_seconds=1.0
            )
        )

    one = member("one")
    one.holds_up()
    await eventually(lambda: len(one.given) == 1)
    two = member("two")
    renewals, idle_before = 0, 0

    async def was_renewed_for_long() -> bool:
        nonlocal renewals, idle_before
        pending = await redis_client.xpending_range(EVENTS, "mail", min="-", max="+", count=1)
        idle = int(pending[0]["time_since_delivered"])
        renewals, idle_before = renewals + (idle < idle_before), idle
        return renewals >= 12  # a sixth of a second each

    await eventually(was_renewed_for_long, within=PATIENCE_SECONDS)
    assert two.given == []
    one.may_go_on.set()
    await eventually(lambda: len(one.given) == len(ids))
    assert one.given == ids
    assert two.given == []


async def test_entries_trimmed_under_a_group_are_told_as_a_gap(
    redis_client: redis.asyncio.Redis,
    redis_address: RedisAddress,
    start: Callable[[AsyncGenerator[Message, None]], Member],
) -> None:
    """Those it was given and had not ended, and those it never was given."""
    ids = [uuid4() for _ in range(10)]
    await append(redis_client, EVENTS, [("key", each) for each in ids[:4]])
    async with aclosing(subscribe_redis(redis_address, [EVENTS], group="mail")) as messages:
        assert (await anext(messages)).id == ids[0]
    await append(redis_client, EVENTS, [("key", each) for each in ids[4:]])
    await redis_client.xtrim(EVENTS, maxlen=3, approximate=False)
    told: list[Foreign | Gap] = []
    member = start(subscribe_redis(redis_address, [EVENTS], group="mail", report=told.append))
    await eventually(lambda: len(member.given) == 3)
    assert member.given == ids[7:]
    gaps = [each for each in told if isinstance(each, Gap)]
    assert [each.lost for each in gaps] == [1, 1, 1, 1, 3]
