"""Publishes to Redis Streams, one script a batch, in order, for the relay that connected last.

To a cluster it is one script a batch and stream, each at the stream's own server.

An entry's id is `<commit LSN>-<number of the row in its transaction>` where that is greater than
the one before it. The WAL of a Postgres that was restored begins before the stream's end: it
continues behind the last entry. So do rows published from the table, which have no LSN, but not
before where the WAL ended when the relay began: whatever a stream got stands behind the places
that a checkpoint from before knows, also if it was lost and filled in between.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.resources import files
from typing import Final, NamedTuple, Self

from process.addresses import RedisAddress
from topics.contracts.envelope import (
    REDIS_KEY,
    REDIS_TIMESTAMP,
    REDIS_VALUE,
    OutboxRow,
    headers_of,
    unix_ms,
)
from topics.names import PUBLIC_TOPICS
from topics.relay.failures import SinkFailure
from topics.relay.pgoutput import lsn_text
from topics.relay.positions import Extent, Partition, Place
from topics.relay.sinks import resp
from topics.relay.sinks.redis_server import Shard, connected
from topics.relay.sinks.redis_tail import RedisTail, before, behind, entry_id
from topics.relay.sinks.sink import Answers, OutgoingMessage, Writer

# About 100 MB a stream. Kafka keeps messages for as long as names.py says; Redis, the newest.
STREAM_LENGTH: Final = 250_000
# The server serves nobody else while a batch is appended: some 5 ms.
_BATCH_ENTRIES_MAX: Final = 200

_TOPICS: Final = tuple(sorted(topic.name for topic in PUBLIC_TOPICS))
_ARGUMENTS_PER_ENTRY: Final = 3


class RedisSink:
    """The public topics, as streams of the same names."""

    name = "redis"
    topics: frozenset[str] = frozenset(_TOPICS)
    keeps: int | None = STREAM_LENGTH

    def __init__(self, address: RedisAddress) -> None:
        self._address = address

    @contextlib.asynccontextmanager
    async def open(self, answers: Answers, writer: Writer) -> AsyncIterator["RedisSession"]:
        """Connect and take over as the only writer, whoever was it before."""
        async with connected(self._address, _TOPICS) as shards:
            script = files(__package__).joinpath("xadd.lua").read_bytes()
            streams = [await _Streams.taken_over(shard, script) for shard in shards]
            extents = {at: extent for each in streams for at, extent in each.extents.items()}
            ids = EntryIds({at.topic: each.end for at, each in extents.items()}, writer.since)
            yield RedisSession(streams, ids, answers)


class _Streams:
    """Those of one server, which this relay alone writes to."""

    def __init__(
        self, shard: Shard, head: tuple[bytes, ...], extents: Mapping[Partition, Extent]
    ) -> None:
        self.extents = extents
        self.tail = RedisTail(shard.server)
        self._server = shard.server
        self._head = b"".join(resp.argument(argument) for argument in head)
        self._head_arguments = len(head)
        self.ends = {topic.encode(): extents[Partition(topic, 0)].end for topic in shard.topics}
        # Lua counts from 1, and first comes who may write.
        self._numbers = {
            topic: resp.argument(b"%d" % number) for number, topic in enumerate(self.ends, 2)
        }

    @classmethod
    async def taken_over(cls, shard: Shard, script: bytes) -> Self:
        """Whoever wrote before writes no more. Raises `SinkFailure`."""
        server = shard.server
        token = await server.take_over(shard.writer_key)
        tail = RedisTail(server)
        keys = (shard.writer_key, *(topic.encode() for topic in shard.topics))
        digest = _bytes(await server.ask(b"SCRIPT", b"LOAD", script))
        head = (b"EVALSHA", digest, b"%d" % len(keys), *keys, token, b"%d" % STREAM_LENGTH)
        extents = {Partition(topic, 0): await _extent(tail, topic) for topic in shard.topics}
        return cls(shard, head, extents)

    async def append(self, entries: Sequence["_EncodedEntry"]) -> None:
        """Those that belong here; an append of nothing finds out. Raises `SinkFailure`."""
        own = [entry for entry in entries if entry.topic in self.ends]
        if entries and not own:
            return
        lasts = b"".join(resp.argument(entry_id(before(end))) for end in self.ends.values())
        count = self._head_arguments + len(self.ends) + sum(entry.arguments for entry in own)
        encoded = b"".join(self._numbers[entry.topic] + entry.encoded for entry in own)
        await self._server.send([b"*%d\r\n" % count, self._head, lasts, encoded])
        for entry in own:
            self.ends[entry.topic] = behind(entry.id)


async def _extent(tail: RedisTail, topic: str) -> Extent:
    await tail.ensure(topic)
    end = behind(await tail.last(topic))
    begin = await tail.first(topic) or end
    # A stream that was emptied ends where it did; one that was lost begins anew.
    return Extent("", begin, recent=begin, end=end)


class EntryIds:
    """Gives every entry its id: its commit's, or the next one behind the stream's last.

    The table's rows have one at or behind the LSN `since` when the relay began.
    """

    def __init__(self, ends: Mapping[str, Place], since: int) -> None:
        self._next = {topic.encode(): end for topic, end in ends.items()}
        self._since = Place(since)

    def next(self, message: OutgoingMessage) -> Place:
        topic = message.row.aggregatetype
        given = self._next[topic]
        commit_lsn = message.transaction.commit_lsn
        own = self._since if commit_lsn is None else Place(commit_lsn, message.number)
        given = max(given, own)
        self._next[topic] = behind(given)
        return given


class _EncodedEntry(NamedTuple):
    """What follows the number of its stream."""

    message: OutgoingMessage
    id: Place
    arguments: int
    encoded: bytes

    @property
    def topic(self) -> bytes:
        return self.message.row.aggregatetype


class RedisSession:
    """One connection's life; see `Session`."""

    def __init__(self, streams: Sequence[_Streams], ids: EntryIds, answers: Answers) -> None:
        self._streams = streams
        self._ids = ids
        self._answers = answers
        self._waiting: deque[_EncodedEntry] = deque()
        self._wake = asyncio.Event()
        self._appending = asyncio.Lock()

    @property
    def extents(self) -> Mapping[Partition, Extent]:
        return {at: extent for each in self._streams for at, extent in each.extents.items()}

    async def present(self, read_from: Mapping[Partition, Place]) -> set[bytes]:
        ids: set[bytes] = set()
        for each in self._streams:
            for at in each.extents.keys() & read_from.keys():
                ids |= await each.tail.ids(at.topic, read_from[at])
        return ids

    def partition_of(self, row: OutboxRow) -> Partition:
        return Partition(row.aggregatetype.decode(), 0)

    def acknowledged(self) -> Mapping[Partition, Place]:
        return {
            Partition(topic.decode(), 0): end
            for each in self._streams
            for topic, end in each.ends.items()
        }

    def publish(self, message: OutgoingMessage) -> None:
        self._waiting.append(_encode(message, self._ids.next(message)))

    def flush(self) -> None:
        if self._waiting:
            self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                size = min(len(self._waiting), _BATCH_ENTRIES_MAX)
                await self._append([self._waiting.popleft() for _ in range(size)])

    async def check(self) -> None:
        """An append of nothing finds out whether we may still write, and all streams are ours."""
        await self._append([])

    async def _append(self, entries: list[_EncodedEntry]) -> None:
        async with self._appending:
            for each in self._streams:
                await each.append(entries)
        if entries:
            self._answers.acknowledge([entry.message for entry in entries])


def _encode(message: OutgoingMessage, place: Place) -> _EncodedEntry:
    row = message.row
    commit_lsn = message.transaction.commit_lsn
    pairs = headers_of(row, None if commit_lsn is None else lsn_text(commit_lsn).encode())
    pairs.append((REDIS_KEY, row.aggregateid))
    pairs.append((REDIS_VALUE, row.payload))
    pairs.append((REDIS_TIMESTAMP, b"%d" % unix_ms(row.recorded_at)))
    fields = 2 * len(pairs)
    encoded = b"".join(
        (
            resp.argument(entry_id(place)),
            resp.argument(b"%d" % fields),
            resp.fields(pairs),
        )
    )
    return _EncodedEntry(message, place, _ARGUMENTS_PER_ENTRY + fields, encoded)


def _bytes(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise SinkFailure(f"Redis answered {answer!r}")
    return answer
