"""Messages of Redis Streams for a downstream consumer: a member of a group, or a follower.

A group's entry is acknowledged only once its body has come to its end. What a living member has in
hand it renews; what a member leaves for a minute goes to another.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from typing import Final, cast
from uuid import UUID

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.typing import KeyT, StreamIdT

from process.addresses import RedisAddress
from process.closing import end
from store.redis import blocking_client, is_cluster
from topics.contracts.envelope import EnvelopeError, Message, from_redis
from topics.subscribe.reports import Foreign, Gap, Report, log_report
from topics.subscribe.selection import (
    APPEARS_SECONDS,
    BATCH_MESSAGES_MAX,
    COMMIT_EVERY_SECONDS,
    WAIT_MS,
    Interval,
    Selection,
    Start,
)
from topics.subscribe.stream_trims import Trims

# A server that was asked to wait a second and says nothing for so long is gone.
_ANSWER_SECONDS_MAX: Final = 10.0
# Of several streams of a cluster one is waited for at a time.
_TURN_MS: Final = 100
# A consumer that took a message and says nothing for so long is dead.
CLAIM_AFTER_SECONDS: Final = 60.0

# A stream, an entry's id, its fields.
_Entry = tuple[str, bytes, Mapping[bytes, bytes]]


async def subscribe_redis(  # noqa: PLR0913 - how it begins, and how it tells
    url: str | RedisAddress,
    topics: Sequence[str],
    *,
    group: str | None = None,
    consumer: str = "1",
    start: Start = "earliest",
    payment_id: UUID | None = None,
    report: Report = log_report,
    claim_after_seconds: float = CLAIM_AFTER_SECONDS,
) -> AsyncGenerator[Message, None]:
    """Messages of Redis Streams; only public topics are mirrored there.

    As `subscribe_kafka`, but that order per key holds for a group of one member only. `consumer`
    names this member of the group: under the same name it gets back after a restart what it had
    not finished; what a member has not renewed for `claim_after_seconds` goes to others, so all of
    a group are told the same. An id as start means what stands behind that message in its stream.
    Raises redis-py's `RedisError`, and `TimeoutError` when the server says nothing.
    """
    selection = Selection(group, start, payment_id)
    async with blocking_client(url) as client:
        reading = _Reading(client, selection, report)
        if group is None:
            received = reading.followed(topics, start)
        else:
            member = _GroupMember(reading, topics, (group, consumer), claim_after_seconds)
            received = member.received(start)
        async with contextlib.aclosing(received) as messages:
            try:
                async for message in messages:
                    yield message
            except RedisClusterException as error:  # which is no RedisError
                raise RedisConnectionError(str(error)) from error


class _Reading:
    """What every subscription does with entries: read them, choose, and report the others."""

    def __init__(self, client: redis.asyncio.Redis, selection: Selection, report: Report) -> None:
        self.client = client
        self.report = report
        self._selection = selection

    def chosen(self, topic: str, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Message | None:
        """The entry's message, if it is to be given."""
        try:
            message = from_redis(topic, fields)
        except EnvelopeError as error:
            self.report(Foreign(topic, entry_id.decode(), str(error)))
            return None
        return message if self._selection.has(message) else None

    async def followed(self, topics: Sequence[str], start: Start) -> AsyncGenerator[Message, None]:
        """Every entry after the start, without a group."""
        after: dict[KeyT, StreamIdT] = {}
        trims = {topic: Trims(self.client, topic, self.report) for topic in topics}
        for topic in topics:
            after[topic.encode()] = await self._place(topic, start)
            await trims[topic].begin(after[topic.encode()])
        while True:
            for each in trims.values():
                await each.look()
            for topic, entry_id, fields in await self.read(after):
                message = self.chosen(topic, entry_id, fields)
                if message is not None:
                    yield message
                after[topic.encode()] = entry_id
                trims[topic].read(entry_id)

    async def read(
        self, after: Mapping[KeyT, StreamIdT], member: tuple[str, str] | None = None
    ) -> list[_Entry]:
        """What is behind these places, for a member of a group; waits a moment for the first."""
        if len(after) == 1 or not is_cluster(self.client):
            return await self._read(after, WAIT_MS, member)
        # Streams of a cluster are at several servers: nobody can wait for all of them at once.
        alone = [dict([place]) for place in after.items()]
        found: list[_Entry] = []
        for one in alone:
            try:
                found += await self._read(one, None, member)
            except (RedisError, RedisClusterException):
                # What the group gave out by now is given on; who fails will again.
                if not found:
                    raise
        for one in alone:
            if not found:
                found = await self._read(one, _TURN_MS, member)
        return found

    async def _read(
        self, after: Mapping[KeyT, StreamIdT], wait_ms: int | None, member: tuple[str, str] | None
    ) -> list[_Entry]:
        places, client = dict(after), self.client
        asked: Awaitable[object]
        if member is None:
            asked = client.xread(places, count=BATCH_MESSAGES_MAX, block=wait_ms)
        else:
            asked = client.xreadgroup(*member, places, count=BATCH_MESSAGES_MAX, block=wait_ms)
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            return list(entries_of(await asked))

    async def _place(self, topic: str, start: Start) -> bytes:
        """The id of the entry to go on behind."""
        if start == "earliest":
            return b"0"
        if start == "latest":
            newest = await self.client.xrevrange(topic, count=1)
            return cast("bytes", newest[0][0]) if newest else b"0"
        before = b"+"
        while page := await self.client.xrevrange(topic, max=before, count=BATCH_MESSAGES_MAX):
            for entry_id, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", page):
                if fields.get(b"ce_id") == str(start).encode():
                    return entry_id
                before = b"(" + entry_id
        self.report(Gap(topic, f"message {start}", None))
        return b"0"


def entries_of(answer: object) -> Iterator[_Entry]:
    """The entries of an XREAD, for which redis-py declares every type an answer can have."""
    streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer)
    for topic, entries in streams:
        for entry_id, fields in entries:
            yield topic.decode(), entry_id, fields


class _GroupMember:
    """One consumer of a group on Redis; `name` is the group's and its own in it."""

    def __init__(
        self,
        reading: _Reading,
        topics: Sequence[str],
        name: tuple[str, str],
        claim_after_seconds: float,
    ) -> None:
        self._reading = reading
        self._client = reading.client
        self._topics = topics
        self._group, self._consumer = name
        self._claim_after_seconds = claim_after_seconds
        self._trims = [Trims(self._client, topic, reading.report, self._group) for topic in topics]
        self._in_hand: dict[tuple[str, bytes], None] = {}
        self._renewed_at = 0.0
        self._done: list[tuple[str, bytes]] = []
        self._until_acknowledge = Interval(COMMIT_EVERY_SECONDS)
        self._until_claim = Interval(claim_after_seconds)

    async def received(self, start: Start) -> AsyncGenerator[Message, None]:
        """What this member had not finished, then what is new and what others left."""
        renewing: asyncio.Task[None] | None = None
        try:
            await self._join(b"$" if start == "latest" else b"0")
            renewing = asyncio.create_task(self._renew_what_is_in_hand())
            after = b"0"
            while True:
                batch = await self._batch(after)
                async with contextlib.aclosing(self._of(batch)) as messages:
                    async for message in messages:
                        yield message
                if after == b">" and self._is_certain():
                    await self._acknowledge_sometimes()
                    continue
                # What is acknowledged is no longer given; what is left comes next, until nothing.
                # So does what others may have taken meanwhile: what is still ours is given.
                await self._acknowledge()
                after = b"0" if batch else b">"
        finally:
            if renewing is not None:
                await end([renewing])
            await self._acknowledge()

    async def _of(self, batch: list[_Entry]) -> AsyncGenerator[Message, None]:
        """A batch's messages, for as long as it is certain that they are still ours."""
        self._in_hand = dict.fromkeys((topic, entry_id) for topic, entry_id, _ in batch)
        for topic, entry_id, fields in batch:
            if not self._is_certain():
                break
            # An entry that was trimmed before anybody finished it has no fields left.
            if not fields:
                self._reading.report(Gap(topic, entry_id.decode(), 1))
            elif (message := self._reading.chosen(topic, entry_id, fields)) is not None:
                yield message
            self._in_hand.pop((topic, entry_id), None)
            self._done.append((topic, entry_id))
            await self._acknowledge_sometimes()
        self._in_hand = {}

    def _is_certain(self) -> bool:
        """Whether nobody can have taken what is in hand: it was renewed not long ago."""
        now = asyncio.get_running_loop().time()
        return now - self._renewed_at < self._claim_after_seconds / 2

    async def _renew_what_is_in_hand(self) -> None:
        while True:
            await asyncio.sleep(self._claim_after_seconds / 6)
            # Too late, others may have it; a claim would take it away from them.
            if self._in_hand and self._is_certain():
                with contextlib.suppress(RedisError, OSError):
                    await self._renew()

    async def _renew(self) -> None:
        began_at = asyncio.get_running_loop().time()
        for topic in self._topics:
            ids: list[StreamIdT] = [entry for name, entry in self._in_hand if name == topic]
            if ids:
                await self._client.xclaim(
                    topic, self._group, self._consumer, 0, ids, idle=0, justid=True
                )
        self._renewed_at = began_at

    async def _join(self, start: bytes) -> None:
        """Make the group on every stream. The streams are the relay's to make, so wait for them."""
        for topic, trims in zip(self._topics, self._trims, strict=True):
            while not await self._client.exists(topic):  # noqa: ASYNC110  # another process makes it
                await asyncio.sleep(APPEARS_SECONDS)
            await trims.make_group(start)

    async def _batch(self, after: bytes) -> list[_Entry]:
        """What this member has not finished (`after` is 0), or what is new or abandoned (`>`)."""
        if after == b">" and self._until_claim.is_over():
            return await self._abandoned()
        began_at = asyncio.get_running_loop().time()
        try:
            for trims in self._trims if after == b">" else ():
                await trims.look()
            batch = await self._reading.read(
                dict.fromkeys(self._topics, after), (self._group, self._consumer)
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # The server lost its data; the relay fills the streams again from their beginning.
            await self._join(b"0")
            return []
        self._renewed_at = began_at
        if after != b">":
            # Delivered once, perhaps long ago: others' minute begins anew.
            self._in_hand = dict.fromkeys((topic, entry_id) for topic, entry_id, _ in batch)
            await self._renew()
        return batch

    async def _abandoned(self) -> list[_Entry]:
        began_at = asyncio.get_running_loop().time()
        taken: list[_Entry] = []
        for topic in self._topics:
            _, entries, *_ = await self._client.xautoclaim(
                topic,
                self._group,
                self._consumer,
                int(self._claim_after_seconds * 1000),
                count=BATCH_MESSAGES_MAX,
            )
            taken += [(topic, *entry) for entry in entries]
        self._renewed_at = began_at
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
