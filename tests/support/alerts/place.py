"""The platform of the fault matrix, watched, and what is done to it and through it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp
from redis.asyncio import Redis

from local import traffic
from store.pool import connect_single
from tests.support.alerts.watch import Watch
from tests.support.matrix.clients import Clients
from tests.support.matrix.site import site
from tests.support.waiting import eventually
from topics.names import EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import asyncpg

    from tests.support.fixtures.processes import OurProcess, Platform
    from tests.support.matrix.site import Site

# What the scrape calls them, where that is not the site's name.
_SCRAPED_AS: Final = {"ingress": "api"}
# A circuit that opened rests for half a minute at a time.
_ENDED_WITHIN_S: Final = 150.0
_DEMO_RATE: Final = 8.0
_READER: Final = "somebody"


@dataclass(slots=True)
class Place:
    """Everything at work, watched; its clients pay when told to."""

    site: Site
    watch: Watch
    clients: Clients

    @property
    def platform(self) -> Platform:
        return self.site.platform

    @property
    def admin(self) -> asyncpg.Connection[asyncpg.Record]:
        return self.site.admin

    def process(self, name: str) -> OurProcess:
        return self.site.processes[name]

    @asynccontextmanager
    async def without(self, *names: str) -> AsyncIterator[None]:
        """These are told to stop, and are started again afterwards."""
        for name in names:
            await self.site.stop(name)
        try:
            yield
        finally:
            await self.back(*names)

    async def back(self, *names: str) -> None:
        """Those that do not run do again, and all of them are ready."""
        for name in names:
            if not self.process(name).is_running:
                self.process(name).launch()
        for name in names:
            await self.process(name).until_ready()

    @asynccontextmanager
    async def demonstrated(self) -> AsyncIterator[None]:
        """The traffic of `--demo`, somewhat livelier; and somebody who reads from Redis."""
        stopping, address = asyncio.Event(), self.site.redis_address
        async with (
            Redis(host=address.host, port=address.port) as redis,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(traffic.send(self.site.url, _DEMO_RATE, Random(1), stopping))

            async def is_there() -> bool:
                return bool(await redis.exists(EVENTS.name))

            await eventually(is_there, within=30.0)
            await redis.xgroup_create(EVENTS.name, _READER, id="$")
            try:
                yield
            finally:
                stopping.set()
                await redis.xgroup_destroy(EVENTS.name, _READER)

    async def paid(self, count: int = 1) -> None:
        """So many more payments are accepted."""
        async with self.clients.at_work():
            await self.clients.get_through(count)

    async def until_ended(self) -> None:
        """All that was accepted has ended."""

        async def have() -> bool:
            return not await self.admin.fetchval(
                "SELECT count(*) FROM payments WHERE due_at IS NOT NULL AND operation IS NOT NULL"
            )

        await eventually(have, within=_ENDED_WITHIN_S)

    async def until_read(self) -> None:
        """All that is on the topics was acknowledged, as whoever measures it sees it."""
        measured = self.process("lag")

        async def is_so() -> bool:
            return not await measured.metric("payments_stage_lag_messages")

        await eventually(is_so, within=60.0)

    async def counted(self, statement: str, expected: int) -> None:
        """Return when the database counts so many."""

        async def is_so() -> bool:
            found = await self.admin.fetchval(statement)
            assert found == expected, found
            return True

        await eventually(is_so, within=30.0)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Somebody's own session, whose transaction is not forgotten for it."""
        connection = await connect_single(self.site.database, application_name="somebody")
        try:
            yield connection
        finally:
            connection.terminate()

    async def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        async with (
            aiohttp.ClientSession(self.site.url, raise_for_status=True) as http,
            http.post(path, json=body, headers={"Idempotency-Key": str(uuid4())}) as answer,
        ):
            return dict(await answer.json())

    async def delete(self, path: str) -> None:
        async with (
            aiohttp.ClientSession(self.site.url, raise_for_status=True) as http,
            http.delete(path),
        ):
            return


@asynccontextmanager
async def place_in(directory: Path) -> AsyncIterator[Place]:
    async with site(directory) as opened:
        clients = Clients(opened.url)
        await clients.open_account()
        targets = {_SCRAPED_AS.get(name, name): each for name, each in opened.processes.items()}
        yield Place(opened, Watch(targets), clients)
