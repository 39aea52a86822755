"""The places a relay publishes to, as a test sees them: what is there, and how to empty them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import RecordsToDelete

from process.addresses import KafkaAddress
from store.redis import client
from topics.contracts.channels import EVENTS
from topics.contracts.envelope import Message, from_kafka, from_redis
from topics.kafka import administration, create_missing
from topics.names import PUBLIC_TOPICS, TOPICS
from topics.relay.sinks.kafka import KafkaSink
from topics.relay.sinks.redis_streams import RedisSink

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis.asyncio

    from process.addresses import RedisAddress
    from topics.relay.sinks.sink import Sink

_PATIENCE_S = 10.0


class Destination(Protocol):
    @property
    def name(self) -> str:
        """The sink's name."""

    def sink(self) -> Sink:
        """A sink as the process composes it."""

    def environment(self) -> Mapping[str, str]:
        """What leads a process here."""

    async def messages(self, topic: str = EVENTS) -> list[Message]:
        """All messages of a topic, in order per key."""

    async def count(self, topic: str = EVENTS) -> int:
        """How many messages a topic has."""

    async def empty(self) -> None:
        """Lose everything, as a broker does whose disk was replaced."""

    async def purge(self, topic: str = EVENTS, *, share: float = 1.0) -> list[Message]:
        """Forget the oldest messages of a topic, as its retention does; returns them.

        Of a topic that nobody writes to, so many of all.
        """

    async def recreate(self) -> None:
        """Delete what there is, and make it anew at once, before anybody notices."""


@dataclass(frozen=True)
class KafkaDestination:
    bootstrap: str
    name: str = "kafka"

    def sink(self) -> Sink:
        return KafkaSink(KafkaAddress(self.bootstrap))

    def environment(self) -> Mapping[str, str]:
        return {"PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap}

    async def messages(self, topic: str = EVENTS) -> list[Message]:
        return [
            from_kafka(topic, record.key, record.value, record.headers)
            for record in await self._records(topic)
        ]

    async def _records(self, topic: str) -> list[ConsumerRecord]:
        found: list[ConsumerRecord] = []
        async with AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed"
        ) as consumer:
            ends = await _ends(consumer, topic)
            if not any(ends.values()):
                return []
            consumer.assign([at for at, end in ends.items() if end])
            await consumer.seek_to_beginning()
            while any([await consumer.position(at) < ends[at] for at in consumer.assignment()]):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    found += records
        return found

    async def count(self, topic: str = EVENTS) -> int:
        # Offsets count the markers of relays that took over, too.
        return len(await self.messages(topic))

    async def empty(self) -> None:
        async with administration(KafkaAddress(self.bootstrap)) as admin:
            await admin.delete_topics([topic.name for topic in TOPICS])

    async def purge(self, topic: str = EVENTS, *, share: float = 1.0) -> list[Message]:
        of_each: defaultdict[int, list[ConsumerRecord]] = defaultdict(list)
        for record in await self._records(topic):
            of_each[record.partition].append(record)
        behind, gone = {}, []
        for number, records in of_each.items():
            oldest = records[: round(share * len(records))]
            gone += [from_kafka(topic, each.key, each.value, each.headers) for each in oldest]
            if oldest:
                offset = -1 if len(oldest) == len(records) else oldest[-1].offset + 1
                behind[TopicPartition(topic, number)] = RecordsToDelete(before_offset=offset)
        async with administration(KafkaAddress(self.bootstrap)) as admin:
            await admin.delete_records(behind)
        return gone

    async def recreate(self) -> None:
        address = KafkaAddress(self.bootstrap)
        async with administration(address) as admin:
            await admin.delete_topics([topic.name for topic in TOPICS])
        await create_missing(address, TOPICS)


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

    def sink(self) -> Sink:
        return RedisSink(self.address)

    def environment(self) -> Mapping[str, str]:
        if self.address.cluster:
            nodes = ",".join(f"{host}:{port}" for host, port in self.address.cluster)
            return {"PAYMENTS_REDIS_CLUSTER_NODES": nodes}
        return {
            "PAYMENTS_REDIS_HOST": self.address.host,
            "PAYMENTS_REDIS_PORT": str(self.address.port),
        }

    def client(self) -> redis.asyncio.Redis:
        return client(self.address, timeout_s=_PATIENCE_S)

    async def messages(self, topic: str = EVENTS) -> list[Message]:
        found = []
        async with self.client() as opened:
            after = b"-"
            while page := await opened.xrange(topic, min=after, count=500):
                entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", page)
                found += [from_redis(topic, fields) for _, fields in entries]
                after = b"(" + entries[-1][0]
        return found

    async def count(self, topic: str = EVENTS) -> int:
        async with self.client() as opened:
            return int(await opened.xlen(topic))

    async def empty(self) -> None:
        async with self.client() as opened:
            await opened.flushall()

    async def purge(self, topic: str = EVENTS, *, share: float = 1.0) -> list[Message]:
        found = await self.messages(topic)
        gone = round(share * len(found))
        async with self.client() as opened:
            await opened.xtrim(topic, maxlen=len(found) - gone, approximate=False)
        return found[:gone]

    async def recreate(self) -> None:
        async with self.client() as opened:
            for topic in PUBLIC_TOPICS:
                async with opened.pipeline() as pipeline:
                    pipeline.delete(topic.name)
                    pipeline.xgroup_create(topic.name, "made-anew", mkstream=True)
                    await pipeline.execute()
