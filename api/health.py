"""Whether the ingress can do its work: what it needs, asked all at once, each with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

import asyncpg
from redis.exceptions import RedisError

from api.responses import CheckResponse, CheckStatus, HealthResponse
from store.migrations import pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from store.migrations import Migration

# Shorter than the second or more an orchestrator waits, so that it gets an answer, not silence.
_CHECK_SECONDS_MAX: Final = 0.9
_FAILURES: Final = (
    OSError,
    TimeoutError,
    RedisError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


@dataclass(frozen=True, slots=True)
class _Check:
    # Answers None when all is well, or what is wrong.
    ask: Callable[[], Awaitable[str | None]]
    # What it means when it is not well.
    otherwise: CheckStatus


class Readiness:
    """Asks Postgres, for its migrations too, and Redis, without which the ingress is degraded."""

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        redis: Redis,
        migrations: Sequence[Migration],
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._migrations = migrations
        self._draining = False
        self._checks: Mapping[str, _Check] = {
            "postgres": _Check(self._postgres, CheckStatus.UNAVAILABLE),
            "migrations": _Check(self._migrated, CheckStatus.UNAVAILABLE),
            "redis": _Check(self._redis_answers, CheckStatus.DEGRADED),
        }

    def drain(self) -> None:
        """From now on the answer is no: this process is on its way out."""
        self._draining = True

    async def ask(self) -> HealthResponse:
        """How everything is, after at most a second."""
        answers = await asyncio.gather(*(_asked(check) for check in self._checks.values()))
        checks = dict(zip(self._checks, answers, strict=True))
        found = {check.status for check in checks.values()}
        if self._draining or CheckStatus.UNAVAILABLE in found:
            return HealthResponse(status=CheckStatus.UNAVAILABLE, checks=checks)
        worst = CheckStatus.DEGRADED if CheckStatus.DEGRADED in found else CheckStatus.OK
        return HealthResponse(status=worst, checks=checks)

    async def _postgres(self) -> str | None:
        async with self._pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
        return None

    async def _migrated(self) -> str | None:
        async with self._pool.acquire() as connection:
            missing = await pending(connection, self._migrations)
        return f"not applied: {', '.join(step.label for step in missing)}" if missing else None

    async def _redis_answers(self) -> str | None:
        await self._redis.ping()
        return None


async def _asked(check: _Check) -> CheckResponse:
    started = perf_counter()
    try:
        async with asyncio.timeout(_CHECK_SECONDS_MAX):
            detail = await check.ask()
    except _FAILURES as error:
        detail = f"does not answer ({type(error).__name__})"
    status = CheckStatus.OK if detail is None else check.otherwise
    return CheckResponse(status=status, seconds=round(perf_counter() - started, 6), detail=detail)
