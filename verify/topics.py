"""Reads a topic end to end, from Kafka and from Redis Streams, as any consumer could.

What is read is what stood there when the reading began: a busy topic has an end too.
Neither a group is joined nor an offset committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiokafka import TopicPartition

from store.redis import client
from topics.contracts.envelope import EnvelopeError, Message, from_kafka, from_redis
from topics.kafka import administration, reader
from topics.relay.sinks.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import ConsumerRecord
    from redis.asyncio import Redis

    from process.addresses import KafkaAddress, RedisAddress

    _Entry = tuple[bytes, dict[bytes, bytes]]

_FETCH_MS: Final = 1000
# A broker that gives nothing for half a minute, though there is something, never will.
_IDLE_FETCHES_MAX: Final = 30
_PAGE: Final = 1000
_PAGE_SECONDS_MAX: Final = 30.0
# The order of commits is not quite that of times: rows this close to what a topic has
# forgotten may be forgotten too.
_FORGETTING_MARGIN: Final = timedelta(seconds=5)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Published:
    """A message as it stands on a topic; `message` is None when it has no readable envelope."""

    topic: str
    place: str
    value: bytes
    message: Message | None
    error: str = ""

    @property
    def digest(self) -> bytes:
        """The MD5 of the value, as Postgres makes it of a payload."""
        return hashlib.md5(self.value, usedforsecurity=False).digest()


@dataclass(slots=True)
class Coverage:
    """Since when a topic has everything; what is older it may have forgotten on purpose.

    Of its `partitions` those that are `forgetful` have forgotten something, and nobody knows since
    when they have everything: nothing that tells a time was left in them so far.
    """

    complete_since: datetime = _NEVER
    partitions: int = 1
    forgetful: set[int] = field(default_factory=set)

    def left(self, partition: int, message: Message | None) -> None:
        """This was left in a partition: what that one has forgotten came before it."""
        if message is not None and partition in self.forgetful:
            self.forgetful.remove(partition)
            since = message.occurred_at + _FORGETTING_MARGIN
            self.complete_since = max(self.complete_since, since)

    def may_lack(self, key: str, recorded_at: datetime) -> bool:
        """Whether a message of that key, recorded then, may be one it has forgotten."""
        if recorded_at < self.complete_since:
            return True
        return (
            bool(self.forgetful) and partition_of(key.encode(), self.partitions) in self.forgetful
        )


class Log(Protocol):
    """Where topics are read."""

    @property
    def name(self) -> str:
        """`kafka` or `redis`."""
        ...

    def read(self, topic: str, coverage: Coverage) -> AsyncIterator[Published]:
        """Every message there is now, in order per key; says in `coverage` what was deleted.

        A topic that does not exist is empty.
        """
        ...


class Kafka:
    """Topics of a cluster."""

    name = "kafka"

    def __init__(self, address: KafkaAddress, partitions: Mapping[str, int]) -> None:
        self._address = address
        self._partitions = partitions

    async def read(self, topic: str, coverage: Coverage) -> AsyncIterator[Published]:
        """Partition by partition as they come; a key is in one of them."""
        partitions = [TopicPartition(topic, each) for each in range(self._partitions.get(topic, 0))]
        if not partitions:
            return
        # A consumer a topic: an assignment makes aiokafka forget the partitions of other topics.
        async with reader(self._address, "payments-verify") as consumer:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            for at in partitions:
                consumer.seek(at, begins[at])
            coverage.partitions = len(partitions)
            coverage.forgetful = {at.partition for at in partitions if begins[at] > 0}
            left = {at: end for at, end in ends.items() if end > begins[at]}
            idle = 0
            while left:
                fetched = await consumer.getmany(*left, timeout_ms=_FETCH_MS)
                idle = 0 if fetched else idle + 1
                if idle > _IDLE_FETCHES_MAX:
                    raise TimeoutError(f"{topic} ends at {left}, and nothing comes from there")
                for at, records in fetched.items():
                    for record in records:
                        if record.offset >= left[at]:
                            break
                        published = _of_kafka(record)
                        coverage.left(at.partition, published.message)
                        yield published
                # A position moves over what is no message too, such as the end of a transaction.
                reached = {at: await consumer.position(at) for at in left}
                left = {at: end for at, end in left.items() if reached[at] < end}


class RedisStreams:
    """Streams of one server; only public topics are there."""

    name = "redis"

    def __init__(self, opened: Redis) -> None:
        self._client = opened

    async def read(self, topic: str, coverage: Coverage) -> AsyncIterator[Published]:
        """From the first entry to what is the last one now."""
        if not await self._client.exists(topic):
            return
        stream = await self._client.xinfo_stream(topic)
        if stream["entries-added"] != stream["length"]:
            coverage.forgetful = {0}
        after, last = b"-", stream["last-generated-id"]
        while entries := await self._page(topic, after, last):
            for entry_id, fields in entries:
                published = _of_redis(topic, entry_id, fields)
                coverage.left(0, published.message)
                yield published
            after = b"(" + entries[-1][0]

    async def _page(self, topic: str, after: bytes, last: bytes) -> Sequence[_Entry]:
        """redis-py declares every type an answer can have; this one has these."""
        return cast("Sequence[_Entry]", await self._client.xrange(topic, after, last, count=_PAGE))


@asynccontextmanager
async def kafka(address: KafkaAddress) -> AsyncIterator[Log]:
    """Raises aiokafka's KafkaError when the cluster does not answer."""
    async with administration(address) as admin:
        described = await admin.describe_topics()
    partitions = {each["topic"]: len(each["partitions"]) for each in described}
    yield Kafka(address, partitions)


@asynccontextmanager
async def redis_streams(address: RedisAddress) -> AsyncIterator[Log]:
    """Raises one of `store.redis.AWAY` when the server does not answer."""
    async with client(address, timeout_s=_PAGE_SECONDS_MAX) as opened:
        await opened.ping()
        yield RedisStreams(opened)


def _of_kafka(record: ConsumerRecord) -> Published:
    place = f"{record.topic}/{record.partition}@{record.offset}"
    value: bytes = record.value or b""
    try:
        message = from_kafka(record.topic, record.key, record.value, record.headers)
    except EnvelopeError as error:
        return Published(record.topic, place, value, None, str(error))
    return Published(record.topic, place, value, message)


def _of_redis(topic: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Published:
    place = f"{topic}@{entry_id.decode()}"
    try:
        message = from_redis(topic, fields)
    except EnvelopeError as error:
        return Published(topic, place, fields.get(b"value", b""), None, str(error))
    return Published(topic, place, message.value, message)
