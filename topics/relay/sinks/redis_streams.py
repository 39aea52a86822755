"""Publishes to Redis Streams, one script a batch, in order, for the relay that connected last.

An entry's id is `<commit LSN>-<number of the row in its transaction>` where that is greater than
the one before it. The WAL of a Postgres that was restored begins before the stream's end: it
continues behind the last entry. So do rows published from the table, which have no LSN, but not
before where the WAL ended when the relay began: whatever a stream got stands behind the places
that a checkpoint from before knows, also if it was lost and filled in between.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from typing import Final, NamedTuple

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
from topics.relay.sinks.redis_server import WRITER_KEY, RedisServer, connected
from topics.relay.sinks.redis_tail import RedisTail, before, behind, entry_id
from topics.relay.sinks.sink import Answers, OutgoingMessage, Writer

# About 100 MB a stream. Kafka keeps messages for as long as names.py says; Redis, the newest.
STREAM_LENGTH: Final = 250_000
# The server serves nobody else while a batch is appended: some 5 ms.
_BATCH_ENTRIES_MAX: Final = 200

_TOPICS: Final = tuple(sorted(topic.name for topic in PUBLIC_TOPICS))
_KEYS: Final = (WRITER_KEY, *(topic.encode() for topic in _TOPICS))
# Lua counts from 1.
_NUMBERS: Final = {key: resp.argument(b"%d" % number) for number, key in enumerate(_KEYS, 1)}
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
        async with connected(self._address) as server:
            token = await server.take_over()
            tail = RedisTail(server)
            script = files(__package__).joinpath("xadd.lua").read_bytes()
            digest = await server.ask(b"SCRIPT", b"LOAD", script)
            head = (b"EVALSHA", _bytes(digest), b"%d" % len(_KEYS), *_KEYS, token)
            head = (*head, b"%d" % STREAM_LENGTH)
            extents = {Partition(topic, 0): await _extent(tail, topic) for topic in _TOPICS}
            ids = EntryIds({at.topic: each.end for at, each in extents.items()}, writer.since)
            yield RedisSession((server, tail), extents=extents, ids=ids, head=head, answers=answers)


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
    message: OutgoingMessage
    id: Place
    arguments: int
    encoded: bytes


class RedisSession:
    """One connection's life; see `Session`."""

    def __init__(
        self,
        reached: tuple[RedisServer, RedisTail],
        *,
        extents: Mapping[Partition, Extent],
        ids: EntryIds,
        head: tuple[bytes, ...],
        answers: Answers,
    ) -> None:
        self._server, self._tail = reached
        self.extents = extents
        self._ends = {at.topic.encode(): extent.end for at, extent in extents.items()}
        self._ids = ids
        self._head = b"".join(resp.argument(argument) for argument in head)
        self._head_arguments = len(head)
        self._answers = answers
        self._waiting: deque[_EncodedEntry] = deque()
        self._wake = asyncio.Event()
        self._appending = asyncio.Lock()

    async def present(self, read_from: Mapping[Partition, Place]) -> set[bytes]:
        ids: set[bytes] = set()
        for at, start in read_from.items():
            ids |= await self._tail.ids(at.topic, start)
        return ids

    def partition_of(self, row: OutboxRow) -> Partition:
        return Partition(row.aggregatetype.decode(), 0)

    def acknowledged(self) -> Mapping[Partition, Place]:
        return {Partition(topic.decode(), 0): end for topic, end in self._ends.items()}

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
            lasts = b"".join(resp.argument(entry_id(before(self._ends[key]))) for key in _KEYS[1:])
            count = (
                self._head_arguments + len(_KEYS[1:]) + sum(entry.arguments for entry in entries)
            )
            encoded = b"".join(entry.encoded for entry in entries)
            await self._server.send([b"*%d\r\n" % count, self._head, lasts, encoded])
            for entry in entries:
                self._ends[entry.message.row.aggregatetype] = behind(entry.id)
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
            _NUMBERS[row.aggregatetype],
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
