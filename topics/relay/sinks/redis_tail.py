"""Reads back what the streams already have: where each begins and ends, and its newest ids.

Nothing here writes but `ensure`, which makes a stream that does not exist, empty, so that an
append to a stream that vanished can be told from the first one.
"""

from importlib.resources import files
from typing import Final

from topics.relay.failures import SinkFailure
from topics.relay.positions import Place
from topics.relay.sinks.redis_server import RedisServer

_PAGE: Final = 1000


class RedisTail:
    """Reads the ends of streams."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._script = files(__package__).joinpath("xids.lua").read_bytes()

    async def ensure(self, topic: str) -> None:
        """Make the stream if there is none."""
        stream = topic.encode()
        if not await self._server.ask(b"EXISTS", stream):
            # The one command that makes an empty stream, and the group it makes with it.
            group = b"payments-relay"
            await self._server.ask(b"XGROUP", b"CREATE", stream, group, b"$", b"MKSTREAM")
            await self._server.ask(b"XGROUP", b"DESTROY", stream, group)

    async def first(self, topic: str) -> Place | None:
        """The id of the oldest entry that is left."""
        found = await self._server.ask(b"XRANGE", topic.encode(), b"-", b"+", b"COUNT", b"1")
        if not isinstance(found, list):
            raise SinkFailure(f"Redis does not say where {topic} begins")
        return parsed(found[0][0]) if found else None

    async def last(self, topic: str) -> Place:
        """The greatest id the stream ever had."""
        answer = await self._server.ask(b"XINFO", b"STREAM", topic.encode())
        if not isinstance(answer, list):
            raise SinkFailure(f"Redis does not describe {topic}")
        found = dict(zip(answer[::2], answer[1::2], strict=True)).get(b"last-generated-id")
        if not isinstance(found, bytes):
            raise SinkFailure(f"Redis does not say where {topic} ends")
        return parsed(found)

    async def ids(self, topic: str, start: Place) -> set[bytes]:
        """The ids of the events of all entries at or behind a place."""
        ids: set[bytes] = set()
        stream, begin = topic.encode(), entry_id(start)
        while True:
            page = await self._server.ask(b"EVAL", self._script, b"1", stream, begin, b"%d" % _PAGE)
            if not isinstance(page, list):
                raise SinkFailure(f"Redis does not give back entries of {topic}")
            if not page:
                return ids
            ids.update(page[1:])
            begin = b"(" + page[0]


def parsed(text: bytes) -> Place:
    """The place of an entry's id, `<first>-<second>`; places compare as the server compares ids."""
    first, _, second = text.partition(b"-")
    return Place(int(first), int(second))


def entry_id(place: Place) -> bytes:
    return b"%d-%d" % place


def behind(place: Place) -> Place:
    return Place(place.first, place.second + 1)


def before(place: Place) -> Place:
    """What it is behind."""
    return Place(place.first, place.second - 1)
