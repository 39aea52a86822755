"""Whoever takes over is the only writer: the broker refuses all others, whatever they write to."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    UnknownTopicOrPartitionError,
)

from process.addresses import KafkaAddress
from tests.support.waiting import eventually
from topics.kafka import administration
from topics.relay.sinks import kafka_fence
from topics.relay.sinks.broker_watch import watched
from topics.relay.sinks.kafka_produce import Batch, Written, batch_builder, leaders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from topics.relay.sinks.kafka_fence import Producing
    from topics.relay.sinks.kafka_produce import Leader

TIMEOUT_MS = 15_000


@pytest.fixture
async def partitions(kafka_bootstrap: str) -> list[TopicPartition]:
    """Those of a topic of the test's own."""
    topic = f"fence-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    finally:
        await admin.close()
    return [TopicPartition(topic, number) for number in range(3)]


@dataclass
class Writer:
    """Writes one message a batch."""

    leading: Mapping[TopicPartition, Leader]
    producing: Producing
    sent: Counter[TopicPartition] = field(default_factory=Counter)

    async def write(self, to: TopicPartition, value: bytes) -> Written:
        batch = batch_builder(self.producing, self.sent[to], 1000)
        batch.append(0, 1_717_747_200_000, b"key", value, [])
        (written,) = (await self.leading[to].produce([Batch(to, bytes(batch.build()))])).values()
        self.sent[to] += written.error is None
        return written


@asynccontextmanager
async def _writing_as(
    bootstrap: str, producing: Producing, partitions: list[TopicPartition], *, by_id: bool = True
) -> AsyncIterator[Writer]:
    address = KafkaAddress(bootstrap)
    async with watched(address) as watch:
        topics = await watch.topics_now({at.topic for at in partitions})
        if not by_id:
            topics = {name: topic._replace(id="") for name, topic in topics.items()}
        async with leaders(address, watch, topics, partitions) as leading:
            yield Writer(leading, producing)


async def test_the_one_before_is_refused_everywhere(
    kafka_bootstrap: str, partitions: list[TopicPartition]
) -> None:
    """Also where its successor has written nothing yet."""
    address, name = KafkaAddress(kafka_bootstrap), f"relay-{uuid4().hex}"
    taken = await kafka_fence.take_over(address, name, partitions, timeout_ms=TIMEOUT_MS)
    async with _writing_as(kafka_bootstrap, taken, partitions) as before:
        for at in partitions[:2]:
            assert (await before.write(at, b"before")).error is None
        taken = await kafka_fence.take_over(address, name, partitions, timeout_ms=TIMEOUT_MS)
        for at in partitions:
            assert isinstance((await before.write(at, b"too late")).error, InvalidProducerEpoch)
    async with _writing_as(kafka_bootstrap, taken, partitions) as after:
        for at in partitions:
            assert (await after.write(at, b"after")).error is None


async def test_a_successor_of_one_that_ended_leaves_no_marker(
    kafka_bootstrap: str, partitions: list[TopicPartition]
) -> None:
    """The next offset is the next message's, so that nobody seems to lag."""
    address, name = KafkaAddress(kafka_bootstrap), f"relay-{uuid4().hex}"
    first, *_ = partitions
    for offset in range(3):
        taken = await kafka_fence.succeed(address, name, timeout_ms=TIMEOUT_MS)
        async with _writing_as(kafka_bootstrap, taken, partitions) as writer:
            assert await writer.write(first, b"one") == Written(offset, None)


async def test_a_topic_made_anew_takes_nothing_that_was_meant_for_the_one_before(
    kafka_bootstrap: str, partitions: list[TopicPartition]
) -> None:
    """Though it has its name, and nobody was told."""
    address, names = KafkaAddress(kafka_bootstrap), (f"relay-{uuid4().hex}" for _ in range(2))
    first, second = [
        await kafka_fence.succeed(address, name, timeout_ms=TIMEOUT_MS) for name in names
    ]
    async with _writing_as(kafka_bootstrap, first, partitions) as before:
        for at in partitions:
            assert (await before.write(at, b"before")).error is None
        async with administration(address) as admin:
            await admin.delete_topics([partitions[0].topic])
            await eventually(lambda: _is_made(admin, partitions[0].topic))
        for at in partitions:
            await eventually(partial(_takes, kafka_bootstrap, second, at))
            written = await before.write(at, b"too late")
            assert isinstance(written.error, UnknownTopicOrPartitionError)


async def _takes(bootstrap: str, producing: Producing, at: TopicPartition) -> bool:
    """Who knows the topic as it is now can write to it, once it has a leader."""
    try:
        async with _writing_as(bootstrap, producing, [at]) as after:
            return (await after.write(at, b"after")).error is None
    except KafkaError:
        return False


async def _is_made(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """It can be made once the one before is gone."""
    answer = await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    ((_, code, *_),) = answer.topic_errors
    return bool(code == 0)


async def test_a_broker_that_knows_no_ids_is_asked_by_names(
    kafka_bootstrap: str, partitions: list[TopicPartition]
) -> None:
    """As Kafka before 4.1 does not when it is written to."""
    address, name = KafkaAddress(kafka_bootstrap), f"relay-{uuid4().hex}"
    taken = await kafka_fence.succeed(address, name, timeout_ms=TIMEOUT_MS)
    async with _writing_as(kafka_bootstrap, taken, partitions, by_id=False) as writer:
        for offset in range(3):
            for at in partitions:
                assert await writer.write(at, b"one") == Written(offset, None)
