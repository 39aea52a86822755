"""Publishes to Redis Streams: every entry under an id made of its commit, so a replay is refused.

An entry's id is `<commit LSN>-<number of the row in its transaction>`. The WAL gives them in
increasing order, and a stream takes an id only once. Rows published from the table have no LSN:
they continue behind what the stream has, before anything the WAL will bring. One script appends
a batch, in order, and only for the relay that connected last.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from typing import Final, NamedTuple

import structlog

from process.addresses import RedisAddress
from topics.contracts.envelope import (
    REDIS_KEY,
    REDIS_TIMESTAMP,
    REDIS_VALUE,
    headers_of,
    unix_ms,
)
from topics.names import PUBLIC_TOPICS
from topics.relay.failures import SinkFailure
from topics.relay.pgoutput import lsn_text
from topics.relay.sinks import resp
from topics.relay.sinks.redis_server import WRITER_KEY, RedisServer, connected
from topics.relay.sinks.redis_tail import EntryId, RedisTail
from topics.relay.sinks.sink import Acknowledge, OutgoingMessage, PresentMessages, ResumePoint

log = structlog.get_logger()

# About 100 MB a stream. Kafka keeps messages for as long as names.py says; Redis, the newest.
STREAM_LENGTH: Final = 250_000
# The server serves nobody else while a batch is appended: some 5 ms.
_BATCH_ENTRIES_MAX: Final = 200
# An id's upper bits count the WAL's histories; the lower hold an LSN, enough for 64 PiB of WAL.
_LSN_BITS: Final = 56

_TOPICS: Final = tuple(sorted(topic.name for topic in PUBLIC_TOPICS))
_KEYS: Final = (WRITER_KEY, *(topic.encode() for topic in _TOPICS))
# Lua counts from 1.
_NUMBERS: Final = {key: resp.argument(b"%d" % number) for number, key in enumerate(_KEYS, 1)}
_ARGUMENTS_PER_ENTRY: Final = 3


class RedisSink:
    """The public topics, as streams of the same names."""

    name = "redis"
    topics: frozenset[str] = frozenset(_TOPICS)

    def __init__(self, address: RedisAddress) -> None:
        self._address = address

    @contextlib.asynccontextmanager
    async def open(
        self, acknowledge: Acknowledge, resume: ResumePoint
    ) -> AsyncIterator["RedisSession"]:
        """Connect and take over as the only writer."""
        async with connected(self._address) as server:
            token = await server.take_over()
            tail = RedisTail(server)
            ids = EntryIds({topic: await tail.ensure(topic) for topic in _TOPICS}, resume)
            script = files(__package__).joinpath("xadd.lua").read_bytes()
            digest = await server.ask(b"SCRIPT", b"LOAD", script)
            head = (b"EVALSHA", _bytes(digest), b"%d" % len(_KEYS), *_KEYS, token)
            head = (*head, b"%d" % STREAM_LENGTH)
            yield RedisSession(server, tail, ids=ids, head=head, acknowledge=acknowledge)


class EntryIds:
    """Gives every entry its id, and knows which ids a replay may bring again.

    The WAL begins anew when Postgres is restored or replaced; streams that are ahead of it then
    continue in the next history, whose number stands in the upper bits of the ids.
    """

    def __init__(self, tops: Mapping[str, EntryId], resume: ResumePoint) -> None:
        self._tops = {topic.encode(): top for topic, top in tops.items()}
        history = max(top.first >> _LSN_BITS for top in tops.values())
        if any(top.first > (history << _LSN_BITS) + resume.wal_lsn for top in tops.values()):
            history += 1
            log.error("the streams are ahead of the WAL: Postgres was restored", history=history)
        self._history = history << _LSN_BITS
        # A byte before what the WAL may bring: no commit record starts there.
        behind = EntryId(self._history + max(0, resume.confirmed_lsn - 1), -1)
        self._refilled = {topic: max(top, behind) for topic, top in self._tops.items()}

    def next(self, message: OutgoingMessage) -> EntryId:
        commit_lsn = message.transaction.commit_lsn
        if commit_lsn is not None:
            return EntryId(self._history + commit_lsn, message.number)
        topic = message.row.aggregatetype
        first, second = self._refilled[topic]
        entry_id = self._refilled[topic] = EntryId(first, second + 1)
        return entry_id

    def is_replay(self, message: OutgoingMessage, entry_id: EntryId) -> bool:
        """Whether the stream was past this id before this session published anything."""
        return entry_id <= self._tops[message.row.aggregatetype]


class _EncodedEntry(NamedTuple):
    message: OutgoingMessage
    id: EntryId
    arguments: int
    encoded: bytes


class RedisSession:
    """One connection's life; see `Session`."""

    def __init__(
        self,
        server: RedisServer,
        tail: RedisTail,
        *,
        ids: EntryIds,
        head: tuple[bytes, ...],
        acknowledge: Acknowledge,
    ) -> None:
        self._server = server
        self._tail = tail
        self._ids = ids
        self._head = b"".join(resp.argument(argument) for argument in head)
        self._head_arguments = len(head)
        self._acknowledge = acknowledge
        self._waiting: deque[_EncodedEntry] = deque()
        self._wake = asyncio.Event()

    async def newest_ms(self) -> Mapping[str, int | None]:
        return {topic: await self._tail.newest_ms(topic) for topic in _TOPICS}

    async def present(self, since_ms: Mapping[str, int]) -> PresentMessages:
        ids: set[bytes] = set()
        complete_since_ms = {}
        for topic, since in since_ms.items():
            found, complete_since_ms[topic] = await self._tail.present(topic, since)
            ids |= found
        return PresentMessages(ids, complete_since_ms)

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
        """An append of nothing finds out whether we may still write; the streams must be there."""
        await self._append([])
        if await self._server.ask(b"EXISTS", *_KEYS) != len(_KEYS):
            raise SinkFailure("Redis lost a stream")

    async def _append(self, entries: list[_EncodedEntry]) -> None:
        count = self._head_arguments + sum(entry.arguments for entry in entries)
        encoded = b"".join(entry.encoded for entry in entries)
        refused = await self._server.send([b"*%d\r\n" % count, self._head, encoded])
        if not isinstance(refused, list):
            raise SinkFailure(f"Redis answered an append with {refused!r}")
        for number in refused:
            entry = entries[number - 1]
            if not self._ids.is_replay(entry.message, entry.id):
                raise SinkFailure(f"{entry.id} was taken by another row")
        if entries:
            self._acknowledge([entry.message for entry in entries], replayed=len(refused))


def _encode(message: OutgoingMessage, entry_id: EntryId) -> _EncodedEntry:
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
            resp.argument(entry_id.encode()),
            resp.argument(b"%d" % fields),
            resp.fields(pairs),
        )
    )
    return _EncodedEntry(message, entry_id, _ARGUMENTS_PER_ENTRY + fields, encoded)


def _bytes(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise SinkFailure(f"Redis answered {answer!r}")
    return answer
