"""Those who read the feed of events: by pages, or by listening; and one who commits late."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import aiohttp
import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from tests.support.api.ingress import Client, Reply

Event = dict[str, object]

_LISTENS_S: Final = 30.0

# An event of a payment, as another transaction would write it, in the place of its tenant's first.
_ANOTHER = """
INSERT INTO outbox (
    id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, occurred_at, recorded_at
)
SELECT gen_random_uuid(), aggregatetype, aggregateid, $1, payload, tenant_id, sequence,
    occurred_at, recorded_at
FROM outbox WHERE aggregatetype = 'payments.events' ORDER BY position LIMIT 1
"""


async def tell_another(connection: PoolConnectionProxy, event_type: str) -> None:
    """Write one more event of the tenant that has the first one, of such a type."""
    await connection.execute(_ANOTHER, event_type)


@asynccontextmanager
async def late(
    pool: asyncpg.Pool[asyncpg.Record], event_type: str = "payment.review"
) -> AsyncIterator[PoolConnectionProxy]:
    """Somebody has drawn a position and written an event, and commits when this is left."""
    async with pool.acquire() as connection, connection.transaction():
        # However slow the machine is, it does not end before the test says so.
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await tell_another(connection, event_type)
        yield connection


@dataclass(frozen=True)
class Page:
    """A page of the feed."""

    data: list[Event]
    next_cursor: str
    has_more: bool


async def page(client: Client, **asked: object) -> Page:
    """What is asked for."""
    reply = await client.get("/api/v1/events" + query(asked))
    assert reply.status == 200, reply.body
    return Page(**orjson.loads(reply.body))


def refused(reply: Reply) -> tuple[int, object, str]:
    """The status of a refusal, its code, and the parameter it names."""
    (error,) = cast("list[dict[str, str]]", reply.json["errors"])
    return reply.status, reply.code, error["parameter"]


async def read_all(client: Client, cursor: str | None = None, **asked: object) -> list[Event]:
    """All events behind a cursor, page by page."""
    events: list[Event] = []
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        found = await page(client, **asked, **more)
        events += found.data
        cursor = found.next_cursor
        if not found.has_more:
            return events


async def end_of_feed(client: Client) -> str:
    """The cursor behind all there is."""
    found = await page(client, limit=100)
    while found.has_more:
        found = await page(client, limit=100, cursor=found.next_cursor)
    return found.next_cursor


def query(asked: Mapping[str, object]) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in asked.items()) if asked else ""


@dataclass
class Ear:
    """One who listens: what came so far, and the last id."""

    response: aiohttp.ClientResponse
    events: list[Event] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    last_id: str = ""
    retry: int | None = None

    async def hear(self, count: int = 1) -> list[Event]:
        """The next so many events."""
        until = len(self.events) + count
        while len(self.events) < until:
            assert await self.block(), f"it ended: {self.comments}"
        return self.events[until - count : until]

    async def block(self) -> bool:
        """Take what comes up to the next empty line; False at the end."""
        is_more = False
        while line := await self.response.content.readline():
            is_more = True
            name, _, value = line.decode().rstrip("\n").partition(":")
            match name:
                case "id":
                    self.last_id = value.removeprefix(" ")
                case "data":
                    self.events.append(orjson.loads(value))
                case "retry":
                    self.retry = int(value)
                case "" if value:
                    self.comments.append(value.removeprefix(" "))
                case _:
                    return True
        return is_more

    async def end(self) -> None:
        """Take all there is, to the end."""
        while await self.block():
            continue


@asynccontextmanager
async def listening(
    client: Client, last_id: str | None = None, **asked: object
) -> AsyncIterator[Ear]:
    """Listen while the context is open, and not for ever."""
    headers = {"Accept": "text/event-stream"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    if client.token:
        headers["Authorization"] = f"Bearer {client.token}"
    url = f"{client.address}/api/v1/events/stream{query(asked)}"
    async with (
        asyncio.timeout(_LISTENS_S),
        client.session.get(url, headers=headers, timeout=aiohttp.ClientTimeout()) as response,
    ):
        assert response.status == 200, await response.read()
        yield Ear(response)
