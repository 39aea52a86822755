"""One worker's locks with what keeps them beside it, as a stage runs them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from agents.locks import Locks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from telemetry.metrics import Metrics

# Longer than any test.
LONG_S: Final = 30.0


@asynccontextmanager
async def kept(redis: Redis, metrics: Metrics, ttl_s: float = LONG_S) -> AsyncIterator[Locks]:
    """Locks that are sent, extended and released until the block ends."""
    locks = Locks(redis, ttl_s, metrics)
    keeping = asyncio.ensure_future(locks.keep())
    try:
        yield locks
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
