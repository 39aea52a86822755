"""States of partitions and groups, whatever protocol a group speaks and whatever stands there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest
from aiokafka.structs import TopicPartition

from lag import GroupLag, GroupState
from lag.kafka_groups import ConsumerGroups, Others, Stages
from process.addresses import KafkaAddress
from tests.support.topics.broker_clients import (
    create_topic,
    member,
    newer_member,
    produce,
    transaction,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lag.kafka_groups import Chosen

STALLED_AFTER: Final = (0.0, 5.0, 10.0, 15.0)


class Measured:
    """Groups on the session's broker, measured at times of the test's choosing."""

    def __init__(self, bootstrap: str, chosen: Chosen) -> None:
        self._groups = ConsumerGroups(KafkaAddress(bootstrap), chosen)

    async def all(self, ahead: float = 0.0) -> list[GroupLag]:
        return list(await self._groups.measure(time.time() + ahead))

    async def one(self, ahead: float = 0.0) -> GroupLag:
        (found,) = await self.all(ahead)
        return found

    async def close(self) -> None:
        await self._groups.close()


@pytest.fixture
async def topic(kafka_bootstrap: str, topic_prefix: str) -> str:
    """A topic of two partitions."""
    await create_topic(kafka_bootstrap, f"{topic_prefix}work", 2)
    return f"{topic_prefix}work"


@pytest.fixture
def group(topic: str) -> str:
    return f"{topic}.group"


@pytest.fixture
async def measured(kafka_bootstrap: str, topic: str, group: str) -> AsyncIterator[Measured]:
    """The group as if it were a stage's."""
    opened = Measured(kafka_bootstrap, Stages({group: topic}))
    yield opened
    await opened.close()


async def test_one_stuck_partition_of_two_is_not_ok(
    kafka_bootstrap: str, topic: str, group: str, measured: Measured
) -> None:
    """The group is as well as the worst, and the partition is named."""
    await produce(kafka_bootstrap, topic, 5, partition=0)
    await produce(kafka_bootstrap, topic, 500, partition=1)
    async with member(kafka_bootstrap, topic, group) as consumer:
        lags = []
        for done, ahead in enumerate(STALLED_AFTER):
            await consumer.commit(
                {TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 120 * (done + 1)}
            )
            lags.append(await measured.one(ahead))
    lag = lags[-1]
    assert lag.state is GroupState.STALLED
    assert [each.state for each in lag.partitions] == [GroupState.STALLED, GroupState.OK]


async def test_behind_the_marker_of_a_transaction_there_is_nothing_to_do(
    kafka_bootstrap: str, topic: str, group: str, measured: Measured
) -> None:
    """It takes an offset that nobody ever receives: a group that has all is never stalled."""
    async with transaction(kafka_bootstrap) as producer:
        await producer.send_and_wait(topic, b"1", partition=0)
    async with member(kafka_bootstrap, topic, group) as consumer:
        await consumer.commit({TopicPartition(topic, 0): 1})
        lag = [await measured.one(ahead) for ahead in STALLED_AFTER][-1]
        assert (lag.state, lag.messages, lag.seconds) == (GroupState.OK, 0, 0.0)
        assert (lag.partitions[0].committed, lag.partitions[0].end) == (1, 2)
        await produce(kafka_bootstrap, topic, 3)
        behind = await measured.one(STALLED_AFTER[-1])
    assert behind.messages == 3


async def test_what_was_aborted_is_nothing_to_do(
    kafka_bootstrap: str, topic: str, group: str, measured: Measured
) -> None:
    """Fifty messages that no reader of committed ones is ever given."""
    await produce(kafka_bootstrap, topic, 1)
    async with transaction(kafka_bootstrap) as producer:
        for _ in range(50):
            await producer.send_and_wait(topic, b"never", partition=0)
        await producer.abort_transaction()
    async with member(kafka_bootstrap, topic, group) as consumer:
        await consumer.commit({TopicPartition(topic, 0): 1})
        lag = await measured.one()
    assert lag.partitions[0].end == 52
    assert (lag.messages, lag.seconds) == (0, 0.0)


async def test_what_an_open_transaction_holds_back_is_not_to_do_yet(
    kafka_bootstrap: str, topic: str, measured: Measured
) -> None:
    """And it is when the transaction ends."""
    async with transaction(kafka_bootstrap) as producer:
        await producer.send_and_wait(topic, b"1", partition=0)
        assert (await measured.one()).messages == 0
    assert (await measured.one()).messages == 1 + 1  # a marker counts until it is looked behind


async def test_a_group_of_the_newer_protocol_is_not_stopped(
    kafka_bootstrap: str, topic: str, group: str, measured: Measured
) -> None:
    """KIP-848: DescribeGroups calls it dead."""
    await produce(kafka_bootstrap, topic, 4, partition=1)
    with newer_member(kafka_bootstrap, [topic], group):

        async def has_all() -> bool:
            lag = await measured.one()
            return (lag.members, lag.messages, lag.state) == (1, 0, GroupState.OK)

        await eventually(has_all, within=30.0)
        assert [each.committed for each in (await measured.one()).partitions] == [None, 4]
    stopped = await measured.one()
    assert (stopped.members, stopped.state) == (0, GroupState.STOPPED)


async def test_others_are_measured_if_they_are_named(
    kafka_bootstrap: str, topic: str, group: str
) -> None:
    """A pattern chooses them; a stage's group is not measured twice."""
    for name in (f"{group}.mail", f"{group}.audit", group):
        async with member(kafka_bootstrap, topic, name) as consumer:
            await consumer.commit({TopicPartition(topic, 0): 0})
    others = Measured(kafka_bootstrap, Others([f"{group}.m*", group], {group}))
    assert [each.group for each in await others.all()] == [f"{group}.mail"]
    await others.close()


async def test_many_groups_behind_a_marker_are_looked_at_in_a_bounded_time(
    kafka_bootstrap: str, topic: str, group: str
) -> None:
    """Each at another place before it: once seen they cost nothing, and none is an age too old."""
    for _ in range(14):
        async with transaction(kafka_bootstrap) as producer:
            await producer.send_and_wait(topic, b"aborted", partition=0)
            await producer.abort_transaction()
    for place in range(14):
        async with member(kafka_bootstrap, topic, f"{group}.{place:02}") as consumer:
            await consumer.commit({TopicPartition(topic, 0): 2 * place})
    others = Measured(kafka_bootstrap, Others([f"{group}.*"], {}))

    async def all_seen() -> bool:
        found = await others.all()
        return len(found) == 14 and all(each.messages == 0 for each in found)

    await eventually(all_seen, within=30.0)
    await others.close()
