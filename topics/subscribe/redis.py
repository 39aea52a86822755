"""Messages of Redis Streams for a downstream consumer: a member of a group, or a follower.

A group's entry is acknowledged only once its body has come to its end; what a member leaves for a
minute goes to another.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Final, cast
from uuid import UUID

import redis.asyncio
from redis.exceptions import ResponseError
from redis.typing import KeyT, StreamIdT

from process.addresses import RedisAddress
from store.redis import blocking_client
from topics.contracts.envelope import Message, from_redis
from topics.subscribe.selection import (
    APPEARS_SECONDS,
    BATCH_MESSAGES_MAX,
    COMMIT_EVERY_SECONDS,
    WAIT_MS,
    Interval,
    Selection,
    Start,
)

# A server that was asked to wait a second and says nothing for so long is gone.
_ANSWER_SECONDS_MAX: Final = 10.0
# A consumer that took a message and says nothing for so long is dead.
_CLAIM_AFTER_SECONDS: Final = 60

# A stream, an entry's id, its fields.
_Entry = tuple[str, bytes, Mapping[bytes, bytes]]


async def subscribe_redis(
    url: str | RedisAddress,
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
    selection = Selection(group, start, payment_id)
    async with blocking_client(url) as client:
        if group is None:
            received = _followed(client, topics, start)
        else:
            received = _GroupMember(client, topics, group, consumer).received(start)
        async with contextlib.aclosing(received) as messages:
            async for message in messages:
                if selection.has(message):
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
            answer = await client.xread(after, count=BATCH_MESSAGES_MAX, block=WAIT_MS)
        for topic, entry_id, fields in _entries(answer):
            yield from_redis(topic, fields)
            after[topic.encode()] = entry_id


def _entries(answer: object) -> Iterator[_Entry]:
    """The entries of an XREAD, for which redis-py declares every type an answer can have."""
    streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer)
    for topic, entries in streams:
        for entry_id, fields in entries:
            yield topic.decode(), entry_id, fields


class _GroupMember:
    """One consumer of a group on Redis."""

    def __init__(
        self, client: redis.asyncio.Redis, topics: Sequence[str], group: str, consumer: str
    ) -> None:
        self._client = client
        self._topics = topics
        self._group = group
        self._consumer = consumer
        self._done: list[tuple[str, bytes]] = []
        self._until_acknowledge = Interval(COMMIT_EVERY_SECONDS)
        self._until_claim = Interval(_CLAIM_AFTER_SECONDS)

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
                await asyncio.sleep(APPEARS_SECONDS)
            try:
                await self._client.xgroup_create(topic, self._group, id=start)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _batch(self, after: bytes) -> list[_Entry]:
        """What this member has not finished (`after` is 0), or what is new or abandoned (`>`)."""
        if after == b">" and self._until_claim.is_over():
            return await self._abandoned()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS_MAX):
                answer = await self._client.xreadgroup(
                    self._group,
                    self._consumer,
                    dict.fromkeys(self._topics, after),
                    count=BATCH_MESSAGES_MAX,
                    block=WAIT_MS,
                )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # The server lost its data; the relay fills the streams again from their beginning.
            await self._join(b"0")
            return []
        return list(_entries(answer))

    async def _abandoned(self) -> list[_Entry]:
        taken: list[_Entry] = []
        for topic in self._topics:
            _, entries, *_ = await self._client.xautoclaim(
                topic,
                self._group,
                self._consumer,
                _CLAIM_AFTER_SECONDS * 1000,
                count=BATCH_MESSAGES_MAX,
            )
            taken += [(topic, *entry) for entry in entries]
        return taken

    async def _acknowledge_sometimes(self) -> None:
        if self._until_acknowledge.is_over():
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        done, self._done = self._done, []
        for topic in self._topics:
            entries = [entry_id for name, entry_id in done if name == topic]
            if entries:
                await self._client.xack(topic, self._group, *entries)
