"""Which database we speak to, as long as that is certain: what is cached of another is not true.

A database that was restored from a backup, or lost its last transactions with its primary, has
not committed all that it once answered. It is another one as soon as its server was started
again or its keys' table was written anew, which is looked at every second and whenever a
connection breaks. In between, and while the database is away, nothing is certain.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from store.pool import AWAY, hanging_up
from store.queries import query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

_INTERVAL_SECONDS: Final = 1.0
# A busy pool may keep a question waiting; longer than this it could be a dead server's.
_TRUSTED_SECONDS: Final = 3.0


class KnownDatabase:
    """Asks a pool's database who it is, by a task that lives as long as `running()`."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._identity: bytes | None = None
        self._trusted_until = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Know the database, if it can be asked, until the context is left."""
        await self._ask()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self._keep_asking(), name="known-database")
            try:
                yield self
            finally:
                asking.cancel()

    @property
    def identity(self) -> bytes | None:
        """What tells it from every other, and from itself after a restore; None: who knows."""
        return self._identity if monotonic() < self._trusted_until else None

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            await self._ask()

    async def _ask(self) -> None:
        asked_at = monotonic()
        try:
            async with asyncio.timeout(_INTERVAL_SECONDS), self._pool.acquire() as connection:
                connection.add_termination_listener(self._doubt)
                with hanging_up(connection):
                    identity = await connection.fetchval(query("database_identity"))
        except TimeoutError:
            return  # it may be busy: what is known holds for a while
        except AWAY:
            self._identity = None
            return
        self._identity = identity.encode()
        self._trusted_until = asked_at + _TRUSTED_SECONDS

    def _doubt(self, _: object) -> None:
        self._identity = None
