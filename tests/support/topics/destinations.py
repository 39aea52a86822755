"""The places a relay publishes to, as a test sees them: what is there, and how to empty them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import redis.asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from process.addresses import KafkaAddress
from topics.contracts.channels import EVENTS
from topics.contracts.envelope import Message, from_kafka, from_redis
from topics.names import TOPICS
from topics.relay.sinks.kafka import KafkaSink
from topics.relay.sinks.redis_streams import RedisSink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from process.addresses import RedisAddress
    from telemetry.metrics import Metrics
    from topics.relay.sinks.sink import Sink


class Destination(Protocol):
    @property
    def name(self) -> str:
        """The sink's name."""

    def sink(self, metrics: Metrics) -> Sink:
        """A sink as the process composes it."""

    def environment(self) -> Mapping[str, str]:
        """What leads a process here."""

    async def messages(self, topic: str = EVENTS) -> list[Message]:
        """All messages of a topic, in order per key."""

    async def count(self, topic: str = EVENTS) -> int:
        """How many messages a topic has, quickly."""

    async def empty(self) -> None:
        """Lose everything, as a broker does whose disk was replaced."""


@dataclass(frozen=True)
class KafkaDestination:
    bootstrap: str
    name: str = "kafka"

    def sink(self, metrics: Metrics) -> Sink:
        return KafkaSink(KafkaAddress(self.bootstrap), metrics.relay.oversized.labels("kafka").inc)

    def environment(self) -> Mapping[str, str]:
        return {"PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap}

    async def messages(self, topic: str = EVENTS) -> list[Message]:
        found = []
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            ends = await _ends(consumer, topic)
            consumer.assign([at for at, end in ends.items() if end])
            await consumer.seek_to_beginning()
            while any([await consumer.position(at) < ends[at] for at in consumer.assignment()]):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    found += [from_kafka(topic, r.key, r.value, r.headers) for r in records]
        return found

    async def count(self, topic: str = EVENTS) -> int:
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            return sum((await _ends(consumer, topic)).values())

    async def empty(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([topic.name for topic in TOPICS])
        finally:
            await admin.close()


async def _ends(consumer: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    if topic not in await consumer.topics():
        return {}
    (partitions,) = (declared.partitions for declared in TOPICS if declared.name == topic)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(
        [TopicPartition(topic, number) for number in range(partitions)]
    )
    return ends


@dataclass(frozen=True)
class RedisDestination:
    address: RedisAddress
    name: str = "redis"

    def sink(self, metrics: Metrics) -> Sink:
        del metrics
        return RedisSink(self.address)

    def environment(self) -> Mapping[str, str]:
        return {
            "PAYMENTS_REDIS_HOST": self.address.host,
            "PAYMENTS_REDIS_PORT": str(self.address.port),
        }

    def client(self) -> redis.asyncio.Redis:
        return redis.asyncio.Redis.from_url(self.address.url)

    async def messages(self, topic: str = EVENTS) -> list[Message]:
        found = []
        async with self.client() as client:
            after = b"-"
            while page := await client.xrange(topic, min=after, count=500):
                entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", page)
                found += [from_redis(topic, fields) for _, fields in entries]
                after = b"(" + entries[-1][0]
        return found

    async def count(self, topic: str = EVENTS) -> int:
        async with self.client() as client:
            return int(await client.xlen(topic))

    async def empty(self) -> None:
        async with self.client() as client:
            await client.flushall()
