"""Group commit: concurrent commands share one transaction, and each gets its own outcome.

A command waits in a bounded queue in which tenants take turns, is decided with the others of its
batch under one set of row locks, and its caller is answered only after the COMMIT that backs
the answer. A batch is whatever came in while the one before it was being committed,
and goes beside that one only if it is slow; who comes to an idle committer waits for
nobody. Where nearly all of a batch are one tenant's, the others wait for it no longer: theirs go
beside it. Nobody stops anybody: a command that cannot be recorded fails alone, since a batch that
fails is run again in halves; one that needs what somebody else holds is set aside, and the others
of its batch go on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Final, Self, assert_never

import structlog

from store.faults import Fault, KeyHeldError, fault_of
from store.pool import hanging_up
from store.write.commit import (
    Answer,
    Committed,
    Idempotency,
    KeyInFlight,
    KeyReused,
    Reply,
    RowHeld,
    Submission,
    commit,
    is_kept,
    rehearsed,
)
from store.write.commit_rate import CommitRate
from store.write.counting import count
from store.write.fair_queue import FairQueue, has_room
from store.write.known_systems import KnownSystems
from store.write.set_aside import SetAside
from store.write.waiting import Held, Overloaded, StoreUnavailable, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from payments.commands import Command
    from payments.decision import Context
    from telemetry.metrics import Metrics

__all__ = [
    "Answer",
    "GroupCommitter",
    "Held",
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

# Twice is a race lost twice; three times is a bug that must be seen.
_TRIES: Final = 3
# A tenant that has at least so many of a batch, and this part of it, is a crowd.
_CROWD_MIN: Final = 3
_CROWD_PART: Final = 0.75
# Beside the batches in flight: what was set aside is tried on a connection of its own.
_CONNECTIONS_ASIDE: Final = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes, of a batch and of the queue, and paces.

    A batch of 256 commands holds its locks for some 60 milliseconds. One in flight for
    `slow_s` seconds waits for a lock or a disk that others need not wait for, so a second
    is begun; before, one batch of all costs a fifth less than two of half. For the same
    reason no batch begins within `pace_s` seconds of the one before, nor, after one of
    several commands, within twice the time which that one took, but for `gather_s` after its
    end at the most: where batches are slow they are large anyway, and what a batch costs by
    itself is little beside a longer wait. An idle committer does not gather at all.
    At most 4,096 wait, and of a tenant's no more than are done within `wait_s` seconds at the
    present rate, or one batch: where a client waits it is better told than kept longer. Another
    request with the same key is waited for `key_wait_s` seconds.
    """

    batch_max: int = 256
    in_flight: int = 2
    slow_s: float = 0.05
    pace_s: float = 0.005
    gather_s: float = inf
    queue_max: int = 4096
    wait_s: float = inf
    key_wait_s: float = 5.0

    @property
    def connections(self) -> int:
        """As many of them a committer uses at once."""
        return self.in_flight + _CONNECTIONS_ASIDE


@dataclass(slots=True)
class _Lane:
    """Batches that wait for each other: when each in flight was begun, and the last one of all.

    What the last one took that ended is 0 if it was of one command.
    """

    begun: list[float] = field(default_factory=list)
    last_begun: float = -inf
    last_ended: float = -inf
    last_took_s: float = 0.0

    def patience_s(self, limits: Limits) -> float:
        """For how long to gather before another batch begins."""
        slow_at = max(self.begun, default=-inf) + limits.slow_s
        twice_at = self.last_begun + 2 * min(self.last_took_s, limits.slow_s)
        gathered_at = min(twice_at, self.last_ended + limits.gather_s)
        return max(slow_at, self.last_begun + limits.pace_s, gathered_at) - perf_counter()


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
        self._queue = FairQueue[Waiting]()
        self._known_systems = KnownSystems()
        # As in the queue, and beside it: who waits here takes nobody's place there.
        self._aside = SetAside(self._again, tenant_max=(limits.queue_max + 1) // 2)
        self._metrics.set_aside.set_function(lambda: len(self._aside))
        self._arrived = asyncio.Event()
        self._closing = False
        self._lane = _Lane()
        # Beside a crowd everybody else's.
        self._others = _Lane()
        self._crowd: str | None = None
        self._flying: list[Sequence[Waiting]] = []
        # If all that waits needs what batches in flight have: all that this is.
        self._kept_by: set[object] = set()
        self._sooner = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._workers = 0
        self._rate = CommitRate()

    async def __aenter__(self) -> Self:
        """Start the workers."""
        await self._tasks.__aenter__()
        self._workers = self._limits.in_flight
        for number in range(self._workers):
            self._tasks.create_task(self._work(), name=f"group-commit-{number}")
        self._tasks.create_task(self._aside.run(), name="group-commit-aside")
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

    async def submit(self, submission: Submission, patience_s: float | None = None) -> Reply:
        """The command's own outcome, after its commit.

        Raises Overloaded (nothing was done), StoreUnavailable, KeyReused; KeyInFlight after
        `key_wait_s` where another request with the key is what it waits for; after `patience_s`
        seconds Held, and at once where too many of its tenant's wait for what is held.
        A cancelled caller's command may still be recorded.
        """
        self.admit(submission.tenant_id)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        waiting = Waiting(submission, answer, perf_counter())
        self._queue.put(waiting.tenant_id, waiting)
        self._metrics.queue_depth.set(len(self._queue))
        self._arrived.set()
        is_beside = self._crowd not in {None, waiting.tenant_id}
        if is_beside or (self._kept_by and self._kept_by.isdisjoint(waiting.needed)):
            self._sooner.set()
        if patience_s is None:
            return await answer
        patience = asyncio.get_running_loop().call_later(patience_s, waiting.give_up, patience_s)
        try:
            return await answer
        finally:
            patience.cancel()

    async def rehearse(self, connection: PoolConnectionProxy, command: Command) -> Reply:
        """What would become of a command by itself: decided and recorded, then undone.

        On the caller's connection, for nobody waits for it. Raises what recording raises.
        """
        return await rehearsed(connection, command, self._context)

    def admit(self, tenant_id: str) -> None:
        """Raises Overloaded where the tenant, or all of them together, have enough waiting.

        So does `submit`; who asks before has read nothing in vain.
        """
        own, total = self._queue.of(tenant_id), len(self._queue)
        tenants = self._queue.tenants + (not own)
        room = has_room(own=own, total=total, tenants=tenants, total_max=self._limits.queue_max)
        # One of each other tenant's, if there is one, goes before each of its own.
        wait_s = min(own * tenants, total) / self._rate.per_second
        is_long = own >= self._limits.batch_max and wait_s > self._limits.wait_s
        if self._closing or is_long or not room:
            raise Overloaded(wait_s)

    async def _work(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            elif self._goes_beside() and (
                batch := self._take(lambda tenant_id: tenant_id == self._crowd)
            ):
                await self._in_flight(self._others, batch)
            elif (patience_s := self._lane.patience_s(self._limits)) <= 0:
                if batch := self._take():
                    self._crowd = _crowd_of(batch)
                    await self._in_flight(self._lane, batch)
                elif self._kept_by:
                    await self._until_sooner(None)
            else:
                await self._until_sooner(patience_s)
        self._workers -= 1
        if not self._workers:  # nobody sets anything aside any more
            self._aside.close()

    async def _until_sooner(self, patience_s: float | None) -> None:
        """Until a batch has ended or somebody has come who need not wait for one, or so long."""
        self._sooner.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._sooner.wait()

    def _goes_beside(self) -> bool:
        """Whether others than the crowd wait, and for no batch of their own."""
        waits = self._crowd is not None and len(self._queue) > self._queue.of(self._crowd)
        return waits and not self._others.begun

    async def _in_flight(self, lane: _Lane, batch: Sequence[Waiting]) -> None:
        begun = lane.last_begun = perf_counter()
        lane.begun.append(begun)
        self._flying.append(batch)
        try:
            # While somebody waits for what is held, nobody waits for it once more.
            await self._run(batch, skips_held=len(self._aside) > 0)
        finally:
            lane.begun.remove(begun)
            self._flying.remove(batch)
            lane.last_ended = perf_counter()
            lane.last_took_s = lane.last_ended - begun if len(batch) > 1 else 0.0
            self._sooner.set()

    def _take(self, skips: Callable[[str], bool] = lambda _: False) -> list[Waiting]:
        taken = self._queue.take(self._limits.batch_max, skips)
        oldest = min((each.since for each in taken), default=None)
        self._metrics.queue_age.set(0.0 if oldest is None else perf_counter() - oldest)
        batch = [each for each in taken if not each.answer.done()]
        self._kept_by = set()
        if self._flying:
            batch = self._but_for_what_is_taken(batch)
        self._metrics.queue_depth.set(len(self._queue))
        return batch

    def _but_for_what_is_taken(self, batch: Sequence[Waiting]) -> list[Waiting]:
        """Those that need nothing which a batch in flight has; the others go on waiting.

        They would have to wait for that one in a transaction, and these with them.
        """
        taken = {each for flying in self._flying for waiting in flying for each in waiting.needed}
        free, kept = [], []
        for waiting in batch:
            needed = set(waiting.needed)
            if needed.isdisjoint(taken):
                free.append(waiting)
            else:
                kept.append(waiting)
                # Whoever comes behind it stays there.
                taken |= needed
        for waiting in reversed(kept):
            self._queue.put_back(waiting.tenant_id, waiting)
        if kept and not free:
            self._kept_by = taken
        return free

    async def _again(self, batch: Sequence[Waiting]) -> None:
        await self._run(batch, skips_held=True)

    async def _run(self, batch: Sequence[Waiting], *, skips_held: bool) -> None:
        """Answer each, but for those that are set aside."""
        remaining = _TRIES
        while True:
            remaining -= 1
            try:
                await self._recorded(batch, skips_held=skips_held)
            except Exception as error:  # noqa: BLE001 - every waiting caller gets the failure as its own
                fault = fault_of(error)
                self._rate.interrupt()
                self._metrics.retries.labels(_reason(error, fault)).inc()
                match fault:
                    case Fault.AWAY:
                        _unavailable(batch, error)
                    case Fault.HELD if not skips_held:
                        skips_held = True
                        continue
                    case Fault.HELD:
                        self._hold(batch, error)
                    case Fault.RACE if remaining:
                        continue
                    case Fault.RACE | Fault.BUG:
                        await self._apart(batch, error, skips_held=skips_held)
                    case never:
                        assert_never(never)
            return

    async def _recorded(self, batch: Sequence[Waiting], *, skips_held: bool) -> None:
        started = perf_counter()
        committed = await self._commit(batch, skips_held=skips_held)
        seconds = perf_counter() - started
        self._metrics.batch_size.observe(len(batch))
        self._metrics.seconds.observe(seconds)
        self._answered(batch, committed)
        held = sum(isinstance(reply, RowHeld) for reply in committed.replies)
        self._rate.learn(len(batch) - held, perf_counter(), len(self._queue))

    def _answered(self, batch: Sequence[Waiting], committed: Committed) -> None:
        held = []
        for waiting, reply in zip(batch, committed.replies, strict=True):
            if isinstance(reply, RowHeld):
                held.append(waiting)
            else:
                waiting.give(reply)
        for command, outcome in committed.outcomes:
            count(command, outcome, self._all_metrics)
        # Of those that wait for rows any number can be tried at once.
        self._aside.put(held, self._limits.batch_max)

    async def _commit(self, batch: Sequence[Waiting], *, skips_held: bool) -> Committed:
        async with self._pool.acquire() as connection:
            try:
                with hanging_up(connection):
                    return await self._committed(connection, batch, skips_held=skips_held)
            except Exception as error:
                if fault_of(error) is Fault.AWAY:
                    self._known_systems.forget()
                    # It, and the idle ones, may be those of a server that is the primary no more.
                    connection.terminate()
                    await self._pool.expire_connections()
                raise

    async def _committed(
        self, connection: PoolConnectionProxy, batch: Sequence[Waiting], *, skips_held: bool
    ) -> Committed:
        submissions = [each.submission for each in batch]
        transaction = connection.transaction()
        await transaction.start()
        try:
            committed = await commit(
                connection,
                submissions,
                self._context,
                skips_held=skips_held,
                known_systems=self._known_systems,
            )
        except Exception as error:
            # A server that is away hears of no ROLLBACK, and is not waited for a second time.
            if fault_of(error) is not Fault.AWAY:
                await transaction.rollback()
            raise
        await transaction.commit()
        self._known_systems.learn(committed.systems)
        return committed

    def _hold(self, batch: Sequence[Waiting], error: Exception) -> None:
        """Set all aside: what holds them up together is found by asking for fewer at once."""
        key_is_held = isinstance(error, KeyHeldError) and len(batch) == 1
        for waiting in batch:
            if key_is_held and not waiting.key_is_held:
                told_after_s = waiting.since + self._limits.key_wait_s - perf_counter()
                asyncio.get_running_loop().call_later(told_after_s, waiting.tell_of_key)
            waiting.key_is_held = key_is_held
        self._aside.put(batch, len(batch) // 2)

    async def _apart(self, batch: Sequence[Waiting], error: Exception, *, skips_held: bool) -> None:
        """Nothing of the batch was committed: find out whose fault it is, half by half."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._run(batch[:middle], skips_held=skips_held)
            await self._run(batch[middle:], skips_held=skips_held)
            return
        for waiting in batch:
            command = waiting.submission.command
            log.error("a command could not be recorded", command=command, exc_info=error)
            waiting.give(error)


def _crowd_of(batch: Sequence[Waiting]) -> str | None:
    """The tenant of nearly all of them, if there is one."""
    ((tenant_id, count_of_it),) = Counter(each.tenant_id for each in batch).most_common(1)
    is_crowd = count_of_it >= max(_CROWD_MIN, _CROWD_PART * len(batch))
    return tenant_id if is_crowd else None


def _reason(error: Exception, fault: Fault) -> str:
    return "unavailable" if fault is Fault.AWAY else type(error).__name__


def _unavailable(batch: Sequence[Waiting], error: Exception) -> None:
    log.warning("postgres is away", error=repr(error), commands=len(batch))
    for waiting in batch:
        waiting.give(StoreUnavailable(str(error)))
