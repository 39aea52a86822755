"""Whether a process can do its work now: what it needs, asked all at once, each with a deadline.

It asks on connections of its own, so that no load of the process's is taken for an outage; and a
no of Postgres's is asked for twice, on another connection, before it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final, Self

import asyncpg

from process.closing import end
from store.migrations import pending
from store.pool import hanging_up
from store.queries import query
from telemetry.health import UNAVAILABLE, CheckResponse, CheckStatus, HealthResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg.pool import PoolConnectionProxy
    from redis.asyncio import Redis

    from store.migrations import Migration

# Shorter than the second or more an orchestrator waits, so that it gets an answer, not silence.
_SECONDS_MAX: Final = 0.9
# What was well and says nothing for so long is not well any more; a busy server takes a while.
_SILENT_S: Final = 2.0
# Longer than any busy server takes. What a network has swallowed is never answered, and the next
# one who asks needs another connection.
_SWALLOWED_S: Final = 5.0


@dataclass(slots=True)
class _Check:
    # Answers None when all is well, or what is wrong.
    ask: Callable[[], Awaitable[str | None]]
    # What it means when it is not well.
    otherwise: CheckStatus
    # The question under way: one that hangs is not asked again beside it.
    asking: asyncio.Task[CheckResponse] | None = None
    asked_at: float = 0.0
    # As it was answered last.
    answered: CheckResponse | None = None


class Readiness:
    """Asks Postgres to write, and for its migrations; and Redis, without which it is degraded.

    Whoever does not need Redis has none.
    """

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        migrations: Sequence[Migration],
        redis: Redis | None = None,
    ) -> None:
        self._pool = pool
        self._migrations = migrations
        self._draining = False
        self._tasks = asyncio.TaskGroup()
        self._checks = {
            "postgres": _Check(self._postgres, CheckStatus.UNAVAILABLE),
            "migrations": _Check(self._migrated, CheckStatus.UNAVAILABLE),
        }
        if redis is not None:
            self._checks["redis"] = _Check(_answering(redis), CheckStatus.DEGRADED)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """It is asked what there is until the context is left; then the answer is no."""
        async with self._tasks:
            try:
                yield self
            finally:
                self.drain()
                await end([each.asking for each in self._checks.values() if each.asking])

    def drain(self) -> None:
        """From now on the answer is no: this process is on its way out."""
        self._draining = True

    async def ask(self) -> HealthResponse:
        """How everything is, after at most a second, whatever hangs."""
        answers = [] if self._draining else await self._answers()
        # Perhaps it was told so meanwhile.
        if self._draining:
            return UNAVAILABLE
        checks = dict(zip(self._checks, answers, strict=True))
        found = {check.status for check in checks.values()}
        for worst in (CheckStatus.UNAVAILABLE, CheckStatus.DEGRADED):
            if worst in found:
                return HealthResponse(status=worst, checks=checks)
        return HealthResponse(status=CheckStatus.OK, checks=checks)

    async def _answers(self) -> list[CheckResponse]:
        asked = list(self._checks.values())
        for check in asked:
            if check.asking is None or check.asking.done():
                check.asked_at = perf_counter()
                check.asking = self._tasks.create_task(self._answer(check))
        # Not by cancelling: a driver may take long to let go of what it was cancelled in.
        await asyncio.wait([each.asking for each in asked if each.asking], timeout=_SECONDS_MAX)
        return [_answered(check) for check in asked]

    async def _postgres(self) -> str | None:
        async with self._connection() as connection:
            written = await connection.fetchval(query("write_probe"))
        return "takes no writes" if written is None else None

    async def _migrated(self) -> str | None:
        async with self._connection() as connection:
            missing = await pending(connection, self._migrations)
        return f"not applied: {', '.join(step.label for step in missing)}" if missing else None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PoolConnectionProxy]:
        async with asyncio.timeout(_SWALLOWED_S), self._pool.acquire() as connection:
            with hanging_up(connection):
                yield connection

    async def _answer(self, check: _Check) -> CheckResponse:
        started = perf_counter()
        detail = await _asked(check)
        if detail is not None and check.otherwise is CheckStatus.UNAVAILABLE:
            # It may be the session that is not well: one of a primary that was demoted, say.
            await self._pool.expire_connections()
            detail = await _asked(check)
        status = CheckStatus.OK if detail is None else check.otherwise
        seconds = round(perf_counter() - started, 6)
        check.answered = CheckResponse(status=status, seconds=seconds, detail=detail)
        return check.answered


def _answering(redis: Redis) -> Callable[[], Awaitable[str | None]]:
    async def ask() -> str | None:
        await redis.ping()
        return None

    return ask


async def _asked(check: _Check) -> str | None:
    try:
        return await check.ask()
    except Exception as error:  # noqa: BLE001 - a check that fails in a new way has failed
        return f"does not answer ({type(error).__name__})"


def _answered(check: _Check) -> CheckResponse:
    if check.asking is not None and check.asking.done() and not check.asking.cancelled():
        return check.asking.result()
    if check.answered is not None and perf_counter() - check.asked_at < _SILENT_S:
        return check.answered
    return CheckResponse(status=check.otherwise, seconds=_SECONDS_MAX, detail="does not answer")
