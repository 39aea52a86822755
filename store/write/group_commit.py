"""Group commit: concurrent commands share one transaction, and each gets its own outcome.

A command waits in a bounded queue, is decided with the others of its batch under
one set of row locks, and its caller is answered only after the COMMIT that backs
the answer. A batch is whatever came in while the one before it was being committed,
and goes beside that one only if it is slow; who comes to an idle committer waits for
nobody. A command that cannot be recorded fails alone, since a batch that fails is run
again one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Self

import asyncpg
import structlog

from store.write.commit import (
    Answer,
    Committed,
    Idempotency,
    KeyInFlight,
    KeyReused,
    Reply,
    Submission,
    commit,
    is_kept,
)
from store.write.counting import count
from store.write.record import VersionConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from payments.decision import Context
    from telemetry.metrics import Metrics

__all__ = [
    "Answer",
    "GroupCommitter",
    "Idempotency",
    "KeyInFlight",
    "KeyReused",
    "Limits",
    "Overloaded",
    "Reply",
    "StoreUnavailable",
    "Submission",
    "is_kept",
]

log = structlog.get_logger()

# The database is away, going away or coming back: nothing is wrong with the command.
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
)
# Another transaction was faster; decided again, the command sees what it did.
_CONFLICT = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    VersionConflictError,
)
# Twice is a race lost twice; three times is a bug that must be seen.
_TRIES = 3


class StoreUnavailable(Exception):
    """Postgres is away. If it left during COMMIT, the command may be recorded."""


class Overloaded(Exception):
    """The queue is full; `retry_after_s` is how long it needs to drain at its present rate."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the queue is full, try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes, of a batch and of the queue, and paces.

    A batch of 256 commands holds its locks for some 60 milliseconds. One in flight for
    `slow_s` seconds waits for a lock or a disk that others need not wait for, so a second
    is begun; before, one batch of all costs a fifth less than two of half. For the same
    reason no batch begins within `pace_s` seconds of the one before, nor, after one of
    several commands, within twice the time which that one took: a busy committer gathers
    half of the time, an idle one not at all. 4,096 waiting are about a second of work, and
    a client is better told than kept longer.
    """

    batch_max: int = 256
    in_flight: int = 2
    slow_s: float = 0.05
    pace_s: float = 0.005
    queue_max: int = 4096


@dataclass(slots=True)
class _Waiting:
    submission: Submission
    answer: asyncio.Future[Reply]
    since: float


class GroupCommitter:
    """Use as an async context manager: leaving it drains the queue."""

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        context: Callable[[], Context],
        metrics: Metrics,
        limits: Limits = Limits(),
    ) -> None:
        self._pool = pool
        self._context = context
        self._all_metrics = metrics
        self._metrics = metrics.group_commit
        self._limits = limits
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._begun: list[float] = []  # when each batch in flight was
        self._last_begun = -inf
        self._last_took_s = 0.0
        self._ended = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._drain_rate = 1000.0  # commands a second, a moving average

    async def __aenter__(self) -> Self:
        """Start the workers."""
        await self._tasks.__aenter__()
        for number in range(self._limits.in_flight):
            self._tasks.create_task(self._work(), name=f"group-commit-{number}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit what is queued, then stop."""
        self._closing = True
        self._arrived.set()
        await self._tasks.__aexit__(kind, error, trace)

    async def submit(self, submission: Submission) -> Reply:
        """The command's own outcome, after its commit.

        Raises Overloaded (nothing was done), StoreUnavailable, KeyReused, KeyInFlight.
        A cancelled caller's command may still be recorded.
        """
        if len(self._queue) >= self._limits.queue_max or self._closing:
            raise Overloaded(len(self._queue) / self._drain_rate)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(submission, answer, perf_counter()))
        self._metrics.queue_depth.set(len(self._queue))
        self._arrived.set()
        return await answer

    async def _work(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            elif (patience_s := self._patience_s()) > 0:
                self._ended.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await self._ended.wait()
            elif batch := self._take():
                await self._in_flight(batch)

    def _patience_s(self) -> float:
        """For how long to gather before another batch begins."""
        slow_at = max(self._begun, default=-inf) + self._limits.slow_s
        pace_s = max(self._limits.pace_s, 2 * min(self._last_took_s, self._limits.slow_s))
        return max(slow_at, self._last_begun + pace_s) - perf_counter()

    async def _in_flight(self, batch: Sequence[_Waiting]) -> None:
        begun = self._last_begun = perf_counter()
        self._begun.append(begun)
        try:
            await self._run(batch)
        finally:
            self._begun.remove(begun)
            self._last_took_s = perf_counter() - begun if len(batch) > 1 else 0.0
            self._ended.set()

    def _take(self) -> list[_Waiting]:
        size = min(self._limits.batch_max, len(self._queue))
        taken = [self._queue.popleft() for _ in range(size)]
        self._metrics.queue_depth.set(len(self._queue))
        self._metrics.queue_age.set(perf_counter() - taken[0].since if taken else 0.0)
        return [each for each in taken if not each.answer.done()]

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        started = perf_counter()
        try:
            committed = await self._commit(batch)
        except Exception as error:  # noqa: BLE001 - every waiting caller gets the failure as its own
            await self._failed(batch, error)
            return
        seconds = perf_counter() - started
        self._metrics.batch_size.observe(len(batch))
        self._metrics.seconds.observe(seconds)
        self._drain_rate += (len(batch) / seconds - self._drain_rate) / 16
        self._answered(batch, committed)

    def _answered(self, batch: Sequence[_Waiting], committed: Committed) -> None:
        for waiting, reply in zip(batch, committed.replies, strict=True):
            _answer(waiting, reply)
        for command, outcome in committed.outcomes:
            count(command, outcome, self._all_metrics)

    async def _commit(self, batch: Sequence[_Waiting]) -> Committed:
        async with self._pool.acquire() as connection, connection.transaction():
            submissions = [each.submission for each in batch]
            return await commit(connection, submissions, self._context)

    async def _failed(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """Nothing of the batch was committed: find out whose fault it is, if anybody's."""
        if isinstance(error, _UNAVAILABLE):
            self._metrics.retries.labels("unavailable").inc()
            log.warning("postgres is away", error=repr(error), commands=len(batch))
            for waiting in batch:
                _answer(waiting, StoreUnavailable(str(error)))
            return
        self._metrics.retries.labels(type(error).__name__).inc()
        for waiting in batch:
            await self._alone(waiting)

    async def _alone(self, waiting: _Waiting) -> None:
        for remaining in reversed(range(_TRIES)):
            try:
                committed = await self._commit([waiting])
            except asyncpg.LockNotAvailableError as error:
                in_flight = KeyInFlight() if waiting.submission.idempotency else None
                _answer(waiting, in_flight or StoreUnavailable(str(error)))
            except _UNAVAILABLE as error:
                _answer(waiting, StoreUnavailable(str(error)))
            except _CONFLICT as error:
                if remaining:
                    continue
                _answer(waiting, error)
            except Exception as error:
                log.exception("a command could not be recorded", command=waiting.submission.command)
                _answer(waiting, error)
            else:
                self._answered([waiting], committed)
            return


def _answer(waiting: _Waiting, reply: Reply | Exception) -> None:
    if waiting.answer.done():  # its caller went away
        return
    if isinstance(reply, Exception):
        waiting.answer.set_exception(reply)
    else:
        waiting.answer.set_result(reply)
