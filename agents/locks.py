"""The Redis lock: keeps two workers off one payment, and with it the calls that would be wasted.

It saves work and is not what makes the outcome right: versions, claims by number and
the provider's idempotency key are, and they hold with Redis gone. So a Redis that
does not answer means going on without. A lock has an owner token, expires by itself,
and is released and extended only by its owner (compare in Lua, on the server).
Source: redis.io, "Distributed Locks with Redis", single instance.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from redis.asyncio import Redis

    from telemetry.metrics import Metrics

log = structlog.get_logger()

_PREFIX: Final = "payments:lock:"
_RELEASE: Final = """
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 0
"""
_EXTEND: Final = """
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then redis.call('PEXPIRE', key, ARGV[2]) end
end
return 0
"""
# Releases gathered for so long share a round trip; nobody waits for them.
_GATHER_S: Final = 0.005


class Locks:
    """The locks one worker holds; `keep()` must run while any is held."""

    def __init__(self, redis: Redis, ttl_s: float, metrics: Metrics) -> None:
        self._redis = redis
        self._ttl_ms = int(ttl_s * 1000)
        self._degraded = metrics.protection.redis_degraded.labels("lock")
        self._token = secrets.token_hex(16)
        self._held: set[str] = set()
        self._released: list[str] = []
        self._some_released = asyncio.Event()

    @asynccontextmanager
    async def held(self, subject_id: UUID) -> AsyncIterator[bool]:
        """Whether the lock is ours, or would be if Redis answered; released on leaving."""
        name = f"{_PREFIX}{subject_id}"
        acquired = await self._acquire(name)
        if acquired:
            self._held.add(name)
        try:
            yield acquired
        finally:
            if acquired:
                self._held.discard(name)
                self._released.append(name)
                self._some_released.set()

    async def _acquire(self, name: str) -> bool:
        try:
            return bool(await self._redis.set(name, self._token, nx=True, px=self._ttl_ms))
        except RedisError as error:
            self._degraded.inc()
            log.debug("going on without a lock", error=repr(error))
            return True

    async def keep(self) -> None:
        """Release what was let go, extend what is held; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._release_forever(), name="locks-release")
            tasks.create_task(self._extend_forever(), name="locks-extend")

    async def _release_forever(self) -> None:
        while True:
            await self._some_released.wait()
            await asyncio.sleep(_GATHER_S)
            self._some_released.clear()
            names, self._released = self._released, []
            await self._run(_RELEASE, names, self._token)

    async def _extend_forever(self) -> None:
        while True:
            await asyncio.sleep(self._ttl_ms / 3000)
            if self._held:
                await self._run(_EXTEND, list(self._held), self._token, str(self._ttl_ms))

    async def _run(self, script: str, names: list[str], *arguments: str) -> None:
        try:
            await self._redis.eval(script, len(names), *names, *arguments)
        except RedisError as error:
            # What was not released expires; what was not extended is guarded by its lease.
            self._degraded.inc()
            log.debug("a lock was left to expire", error=repr(error))
