"""Reading from Postgres on behalf of a request: bounded in time, and never a reason for a 500."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import asyncpg

from api.http.problems import UNAVAILABLE, Problem
from store.pool import hanging_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from asyncpg.pool import PoolConnectionProxy

RETRY_SOON: Final = {"Retry-After": "1"}

# A read is a few milliseconds; one that takes seconds is a database in trouble.
_SECONDS_MAX: Final = 10.0
# For who has nobody to share with.
_ROOM: Final = nullcontext()
_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@asynccontextmanager
async def reading(
    pool: asyncpg.Pool[asyncpg.Record],
    within_s: float = _SECONDS_MAX,
    room: AbstractAsyncContextManager[None] = _ROOM,
) -> AsyncIterator[PoolConnectionProxy]:
    """A connection to read with. Raises Problem (503) when Postgres is away or too slow."""
    try:
        async with asyncio.timeout(within_s), room, pool.acquire() as connection:
            with hanging_up(connection):
                yield connection
    except _AWAY as error:
        raise Problem(UNAVAILABLE, "the database cannot be read now", headers=RETRY_SOON) from error


class Reads:
    """Connections to read with for clients, of which no tenant has more than half.

    What is read must be rendered, too: who reads long lists one beside the other would have the
    event loop do nothing else.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._own_max = max(1, pool.get_max_size() // 2)
        # Of those that read or wait just now.
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant_id: str) -> AbstractAsyncContextManager[PoolConnectionProxy]:
        """A connection for the tenant's request; as `reading`. To be held once at a time."""
        room = self._rooms.get(tenant_id)
        if room is None:
            room = self._rooms[tenant_id] = asyncio.Semaphore(self._own_max)
        return reading(self._pool, room=room)

    def by_turns(self) -> AbstractAsyncContextManager[PoolConnectionProxy]:
        """A connection for who has waited for a turn among all tenants; as `reading`."""
        return reading(self._pool)
