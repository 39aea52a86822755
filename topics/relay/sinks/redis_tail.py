"""Reads back what the streams already have: where each ends, its newest entry, a window's ids.

Nothing here writes but `ensure`, which makes a stream that does not exist, empty, so that an
append to a stream that vanished can be told from the first one.
"""

from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from typing import Final, NamedTuple, Self

from topics.relay.failures import SinkFailure
from topics.relay.sinks.redis_server import RedisServer

_PAGE: Final = 1000
# Rows are recorded a little before they are committed, and entries stand in commit order: those
# recorded this close to the oldest entry left may have been trimmed already.
_TRIM_MARGIN_MS: Final = 5_000


class EntryId(NamedTuple):
    """An entry's id, `<first>-<second>`; ids compare as the server compares them."""

    first: int
    second: int

    @classmethod
    def parse(cls, text: bytes) -> Self:
        first, _, second = text.partition(b"-")
        return cls(int(first), int(second))

    def encode(self) -> bytes:
        return b"%d-%d" % self


class _StoredEntry(NamedTuple):
    id: bytes
    event_id: bytes
    recorded_ms: int


class RedisTail:
    """Reads the ends of streams."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._script = files(__package__).joinpath("xids.lua").read_bytes()

    async def ensure(self, topic: str) -> EntryId:
        """Make the stream if there is none; returns the greatest id it ever had."""
        stream = topic.encode()
        if not await self._server.ask(b"EXISTS", stream):
            # The one command that makes an empty stream, and the group it makes with it.
            group = b"payments-relay"
            await self._server.ask(b"XGROUP", b"CREATE", stream, group, b"$", b"MKSTREAM")
            await self._server.ask(b"XGROUP", b"DESTROY", stream, group)
        last = await self._info(topic, b"last-generated-id")
        if not isinstance(last, bytes):
            raise SinkFailure(f"Redis does not say where {topic} ends")
        return EntryId.parse(last)

    async def newest_ms(self, topic: str) -> int | None:
        """When the newest entry's row was recorded."""
        newest = await self._page(topic, b"+", 1)
        return newest[0].recorded_ms if newest else None

    async def present(self, topic: str, since_ms: int) -> tuple[set[bytes], int]:
        """The ids of events recorded since then, and from when on none has been trimmed."""
        ids: set[bytes] = set()
        oldest_ms: int | None = None
        async for page in self._pages(topic):
            ids.update(entry.event_id for entry in page)
            if max(entry.recorded_ms for entry in page) < since_ms:
                return ids, since_ms
            oldest_ms = min(entry.recorded_ms for entry in page)
        if oldest_ms is None or not await self._was_trimmed(topic):
            return ids, since_ms
        return ids, max(since_ms, oldest_ms + _TRIM_MARGIN_MS)

    async def _was_trimmed(self, topic: str) -> bool:
        return await self._info(topic, b"entries-added") != await self._info(topic, b"length")

    async def _pages(self, topic: str) -> AsyncIterator[Sequence[_StoredEntry]]:
        """The stream's entries from its end to its beginning."""
        before = b"+"
        while page := await self._page(topic, before, _PAGE):
            yield page
            before = b"(" + page[-1].id

    async def _page(self, topic: str, before: bytes, count: int) -> Sequence[_StoredEntry]:
        answer = await self._server.ask(
            b"EVAL", self._script, b"1", topic.encode(), before, b"%d" % count
        )
        if not isinstance(answer, list):
            raise SinkFailure(f"Redis does not give back entries of {topic}")
        return [
            _StoredEntry(id_, event_id, int(recorded))
            for id_, event_id, recorded in zip(answer[::3], answer[1::3], answer[2::3], strict=True)
        ]

    async def _info(self, topic: str, name: bytes) -> object:
        answer = await self._server.ask(b"XINFO", b"STREAM", topic.encode())
        if not isinstance(answer, list):
            raise SinkFailure(f"Redis does not describe {topic}")
        return dict(zip(answer[::2], answer[1::2], strict=True)).get(name)
