"""The Redis lock: keeps two workers off one payment, and with it the calls that would be wasted.

It saves work and is not what makes the outcome right: versions, claims by number and
the provider's idempotency key are, and they hold with Redis gone. So a Redis that
does not answer means going on without. A lock has an owner token, expires by itself,
and is released and extended only by its owner (compare in Lua, on the server).
A first attempt finds nobody to be kept off by, and nearly always ends before anybody
could come: it asks for no lock, and shows one when its call takes long.
Source: redis.io, "Distributed Locks with Redis", single instance.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, Self

from store.batched_redis import BatchedRedis, RedisAway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from uuid import UUID

    from redis.asyncio import Redis

    from telemetry.metrics import Metrics

_PREFIX: Final = "payments:lock:"
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_EXTEND: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_EXTENSIONS_PER_TTL: Final = 3
# Whoever comes second comes after a lease (30 s), or after the first has ended.
_LONG_S: Final = 1.0


class Locks:
    """The locks one worker holds; `kept()` must be open while any is asked for."""

    def __init__(
        self, redis: Redis, ttl_s: float, metrics: Metrics, long_s: float = _LONG_S
    ) -> None:
        self._redis = BatchedRedis(redis)
        self._long_s = long_s
        self._ttl_ms = int(ttl_s * 1000)
        self._degraded = metrics.protection.redis_degraded.labels("lock")
        self._token = secrets.token_hex(16)
        self._held: set[str] = set()

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
                self._release(name)

    @contextmanager
    def shown(self, subject_id: UUID) -> Iterator[None]:
        """For who comes first: the lock is set if this takes long, and released on leaving."""
        name = f"{_PREFIX}{subject_id}"
        showing = asyncio.get_running_loop().call_later(self._long_s, self._show, name)
        try:
            yield
        finally:
            showing.cancel()
            self._release(name)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[Self]:
        """Send what is asked for, extend what is held; on leaving, what was let go is released."""
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._keep(), name="locks")
            try:
                yield self
            finally:
                keeping.cancel()

    async def _keep(self) -> None:
        async with self._redis.running():
            while True:
                await asyncio.sleep(self._ttl_ms / 1000 / _EXTENSIONS_PER_TTL)
                for name in self._held:
                    self._redis.tell("EVAL", _EXTEND, 1, name, self._token, self._ttl_ms)

    def _show(self, name: str) -> None:
        self._held.add(name)
        self._redis.tell("SET", name, self._token, "NX", "PX", self._ttl_ms)

    def _release(self, name: str) -> None:
        if name in self._held:
            self._held.discard(name)
            # Nobody waits for a release; one that is lost expires.
            self._redis.tell("EVAL", _RELEASE, 1, name, self._token)

    async def _acquire(self, name: str) -> bool:
        try:
            answer = await self._redis.ask("SET", name, self._token, "NX", "PX", self._ttl_ms)
        except RedisAway:
            self._degraded.inc()
            return True
        return answer is not None
