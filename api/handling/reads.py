"""Reading from Postgres on behalf of a request: bounded in time, and never a reason for a 500."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

from api.http.problems import UNAVAILABLE, Problem
from store.pool import hanging_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg.pool import PoolConnectionProxy

RETRY_SOON: Final = {"Retry-After": "1"}

# A read is a few milliseconds; one that takes seconds is a database in trouble.
_SECONDS_MAX: Final = 10.0
_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@asynccontextmanager
async def reading(
    pool: asyncpg.Pool[asyncpg.Record], within_s: float = _SECONDS_MAX
) -> AsyncIterator[PoolConnectionProxy]:
    """A connection to read with. Raises Problem (503) when Postgres is away or too slow."""
    try:
        async with asyncio.timeout(within_s), pool.acquire() as connection:
            with hanging_up(connection):
                yield connection
    except _AWAY as error:
        raise Problem(UNAVAILABLE, "the database cannot be read now", headers=RETRY_SOON) from error
