"""What a downstream consumer imports: iterate the messages of topics, from Kafka or from Redis.

    async with aclosing(subscribe_kafka("localhost:9092", ["payments.events"], group="mail")) as it:
        async for message in it:
            await handle(message)

Delivery is at least once: a message is done when the loop's body asks for the next one, and what
is done is committed (Kafka) or acknowledged (Redis) within a second, and when the iteration is
closed. So a body that raises or breaks sees its message again, in the next run of its group.
Messages the iteration has just given are not given twice. Without a group nothing is stored.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, cast
from uuid import UUID

import redis.asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError
from redis.exceptions import ResponseError
from redis.typing import KeyT, StreamIdT

from topics.contracts.envelope import Message, from_kafka, from_redis

Start = Literal["earliest", "latest"] | UUID

# As many as a minute of a busy topic: repeats come shortly after a restart or a refill.
_REMEMBERED: Final = 100_000
_COMMIT_EVERY_SECONDS: Final = 1.0
_WAIT_MS: Final = 1000
# A server that was asked to wait a second and says nothing for so long is gone.
_ANSWER_SECONDS_MAX: Final = 10.0
_BATCH: Final = 500
# An id's time and its record's differ by less, even where clocks do.
_ID_TIME_MARGIN_MS: Final = 60_000
_UUID7_TIME_SHIFT: Final = 80
# A consumer that took a message and says nothing for so long is dead.
_CLAIM_AFTER_MS: Final = 60_000
_STREAM_APPEARS_SECONDS: Final = 0.5


@dataclass(slots=True)
class _Wanted:
    """Which messages to give: not again, not before a start, only one payment's if asked."""

    start: Start
    payment_id: UUID | None
    _recent: dict[UUID, None] = field(default_factory=dict)

    def has(self, message: Message) -> bool:
        if message.id in self._recent:
            return False
        self._recent[message.id] = None
        if len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]
        if isinstance(self.start, UUID) and message.id <= self.start:
            return False
        return self.payment_id is None or message.key == str(self.payment_id)


async def subscribe_kafka(
    bootstrap_servers: str,
    topics: Sequence[str],
    *,
    group: str | None = None,
    start: Start = "earliest",
    payment_id: UUID | None = None,
) -> AsyncGenerator[Message, None]:
    """Messages of Kafka topics, in order per key.

    `start` is where to begin: for a group, only where it has committed nothing yet. An id means
    the messages after it, and needs no group. `payment_id` gives that payment's messages only.
    Raises `EnvelopeError` for a message that is none of ours, and aiokafka's `KafkaError`.
    """
    if group is not None and isinstance(start, UUID):
        raise ValueError("a group remembers where it is: it cannot start from an id")
    wanted = _Wanted(start, payment_id)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="latest" if start == "latest" else "earliest",
    )
    done = _Done(consumer, group)
    try:
        await consumer.start()
        await _choose(consumer, topics, start, done)
        async with contextlib.aclosing(_received(consumer, done)) as messages:
            async for message in messages:
                if wanted.has(message):
                    yield message
    finally:
        await done.commit()
        await consumer.stop()


class _Done(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """The offsets a group may commit: after the last message whose body came to its end."""

    def __init__(self, consumer: AIOKafkaConsumer, group: str | None) -> None:
        self._consumer = consumer
        self._group = group
        self._offsets: dict[TopicPartition, int] = {}
        self._committed_at = 0.0

    def finished(self, at: TopicPartition, record: ConsumerRecord) -> None:
        self._offsets[at] = record.offset + 1

    async def commit_sometimes(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._committed_at >= _COMMIT_EVERY_SECONDS:
            self._committed_at = now
            await self.commit()

    async def commit(self) -> None:
        offsets, self._offsets = self._offsets, {}
        if self._group is None or not offsets:
            return
        # The group has moved on without us: somebody else gets these messages again.
        with contextlib.suppress(CommitFailedError):
            await self._consumer.commit(offsets)

    async def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        await self.commit()

    async def on_partitions_assigned(self, _assigned: Iterable[TopicPartition]) -> None:
        """Nothing to prepare."""


async def _choose(
    consumer: AIOKafkaConsumer, topics: Sequence[str], start: Start, done: _Done
) -> None:
    """Join the group or take every partition, and go to where an id's messages may begin.

    Topics that do not exist yet are taken once they do.
    """
    consumer.subscribe(list(topics), listener=done)
    if not isinstance(start, UUID):
        return
    while not consumer.assignment():  # noqa: ASYNC110  # another process makes the topics
        await asyncio.sleep(_STREAM_APPEARS_SECONDS)
    partitions = list(consumer.assignment())
    since_ms = max(0, (start.int >> _UUID7_TIME_SHIFT) - _ID_TIME_MARGIN_MS)
    # The ends first: what is published meanwhile lies after them.
    ends = await consumer.end_offsets(partitions)
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    for at in partitions:
        consumer.seek(at, ends[at] if found[at] is None else found[at].offset)


async def _received(consumer: AIOKafkaConsumer, done: _Done) -> AsyncGenerator[Message, None]:
    """Message by message; asking for the next one finishes the one before."""
    while True:
        fetched = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=_BATCH)
        for at, records in fetched.items():
            for record in records:
                if at not in consumer.assignment():
                    break  # another member of the group has the rest
                yield from_kafka(record.topic, record.key, record.value, record.headers)
                done.finished(at, record)
                await done.commit_sometimes()
        await done.commit_sometimes()


async def subscribe_redis(
    url: str,
    topics: Sequence[str],
    *,
    group: str | None = None,
    consumer: str = "1",
    start: Start = "earliest",
    payment_id: UUID | None = None,
) -> AsyncGenerator[Message, None]:
    """Messages of Redis Streams, in order per key; only public topics are mirrored there.

    As `subscribe_kafka`. `consumer` names this member of the group: under the same name it gets
    back after a restart what it had not finished; what a member leaves for a minute goes to others.
    Raises `EnvelopeError` for an entry that is none of ours, and redis-py's `RedisError`,
    and `TimeoutError` when the server says nothing.
    """
    if group is not None and isinstance(start, UUID):
        raise ValueError("a group remembers where it is: it cannot start from an id")
    wanted = _Wanted(start, payment_id)
    # With a timeout of its own the client can lose a cancellation before Python 3.12.
    async with redis.asyncio.Redis.from_url(url, protocol=2, socket_timeout=None) as client:
        if group is None:
            received = _followed(client, topics, start)
        else:
            received = _Member(client, topics, group, consumer).received(start)
        async with contextlib.aclosing(received) as messages:
            async for message in messages:
                if wanted.has(message):
                    yield message


async def _followed(
    client: redis.asyncio.Redis, topics: Sequence[str], start: Start
) -> AsyncGenerator[Message, None]:
    """Every entry after the start, without a group."""
    after: dict[KeyT, StreamIdT] = {}
    for topic in topics:
        newest = await client.xrevrange(topic, count=1) if start == "latest" else []
        after[topic.encode()] = cast("bytes", newest[0][0]) if newest else b"0"
    while True:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            answer = await client.xread(after, count=_BATCH, block=_WAIT_MS)
        for topic, entry_id, fields in _entries(answer):
            yield from_redis(topic, fields)
            after[topic.encode()] = entry_id


def _entries(answer: object) -> Iterator["_Entry"]:
    """The entries of an XREAD, for which redis-py declares every type an answer can have."""
    streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer)
    for topic, entries in streams:
        for entry_id, fields in entries:
            yield topic.decode(), entry_id, fields


class _Member:
    """One consumer of a group on Redis."""

    def __init__(
        self, client: redis.asyncio.Redis, topics: Sequence[str], group: str, consumer: str
    ) -> None:
        self._client = client
        self._topics = topics
        self._group = group
        self._consumer = consumer
        self._done: list[tuple[str, bytes]] = []
        self._turn_at = 0.0
        self._claimed_at = 0.0

    async def received(self, start: Start) -> AsyncGenerator[Message, None]:
        """What this member had not finished, then what is new and what others left."""
        try:
            await self._join(b"$" if start == "latest" else b"0")
            after = b"0"
            while True:
                batch = await self._batch(after)
                for topic, entry_id, fields in batch:
                    # An entry that was trimmed before anybody finished it has no fields left.
                    if fields:
                        yield from_redis(topic, fields)
                    self._done.append((topic, entry_id))
                    await self._acknowledge_sometimes()
                if after == b">":
                    await self._acknowledge_sometimes()
                    continue
                # What is acknowledged is no longer given; what is left comes next, until nothing.
                await self._acknowledge()
                after = after if batch else b">"
        finally:
            await self._acknowledge()

    async def _join(self, start: bytes) -> None:
        """Make the group on every stream. The streams are the relay's to make, so wait for them."""
        for topic in self._topics:
            while not await self._client.exists(topic):  # noqa: ASYNC110  # another process makes it
                await asyncio.sleep(_STREAM_APPEARS_SECONDS)
            try:
                await self._client.xgroup_create(topic, self._group, id=start)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _batch(self, after: bytes) -> list["_Entry"]:
        """What this member has not finished (`after` is 0), or what is new or abandoned (`>`)."""
        now = asyncio.get_running_loop().time()
        if after == b">" and now - self._claimed_at > _CLAIM_AFTER_MS / 1000:
            self._claimed_at = now
            return await self._abandoned()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS_MAX):
                answer = await self._client.xreadgroup(
                    self._group,
                    self._consumer,
                    dict.fromkeys(self._topics, after),
                    count=_BATCH,
                    block=_WAIT_MS,
                )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # The server lost its data; the relay fills the streams again from their beginning.
            await self._join(b"0")
            return []
        return list(_entries(answer))

    async def _abandoned(self) -> list["_Entry"]:
        taken: list[_Entry] = []
        for topic in self._topics:
            _, entries, *_ = await self._client.xautoclaim(
                topic, self._group, self._consumer, _CLAIM_AFTER_MS, count=_BATCH
            )
            taken += [(topic, *entry) for entry in entries]
        return taken

    async def _acknowledge_sometimes(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._turn_at >= _COMMIT_EVERY_SECONDS:
            self._turn_at = now
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        done, self._done = self._done, []
        for topic in self._topics:
            entries = [entry_id for name, entry_id in done if name == topic]
            if entries:
                await self._client.xack(topic, self._group, *entries)


_Entry = tuple[str, bytes, Mapping[bytes, bytes]]
