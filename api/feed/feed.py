"""The feed of a process: one question to Postgres for all who listen, and for all who wait.

A task looks at the outbox once a second, five or ten times while somebody listens, and at once for
who asks how far it is. Nothing is told of a position that is not settled, so nobody skips what
commits late; how long that takes is what `behind` says.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self
from weakref import WeakValueDictionary

import structlog

from api.feed.listeners import Full, Listener, Listeners
from api.feed.positions import Place, mark_of, place_of
from api.feed.settled import Settled
from api.http.problems import (
    CURSOR_EXPIRED,
    FEED_BEHIND,
    OVERLOADED,
    UNAVAILABLE,
    FieldError,
    Problem,
    invalid,
)
from process.closing import end
from store.pool import AWAY, hanging_up
from store.read.feed import (
    EventsBehind,
    FeedFilters,
    Look,
    Stretch,
    events_behind,
    events_since,
    look,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from telemetry.metrics.ingress import FeedMetrics

log = structlog.get_logger()

_AT_REST_S: Final = 1.0
_WHILE_HEARD_S: Final = 0.1
# Nothing was written since the last look: half the price, for who hears the next event later.
_WHILE_QUIET_S: Final = 0.2
_WHILE_ASKED_S: Final = 0.02
# However many ask.
_AT_MOST_EVERY_S: Final = 0.005
_TURN_S_MAX: Final = 5.0
_LOOK_S_MAX: Final = 5.0
_SWEEP_EVERY_S: Final = 1.0
# Of 2.5 kB: a megabyte at once, and what is left comes with the next.
_TOLD_MAX: Final = 400
# Of a filter that hardly anything passes, and so reads on: some tens of milliseconds.
_READ_MAX: Final = 2_000
_RETRY_SOON: Final = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLimits:
    """How many may listen, and how long in seconds.

    A listener is told that we are there every `heartbeat`, more often than proxies lose patience,
    and closed after its `lifetime`, so that listeners spread anew over processes; one that takes
    nothing of what is written for `patience` is cut off.
    """

    listeners_max: int = 2000
    heartbeat_s: float = 15.0
    lifetime_s: float = 900.0
    patience_s: float = 10.0


class Readers(Protocol):
    """Connections to read with for clients. Raise Problem (503) when Postgres is away."""

    def of(self, tenant_id: str) -> AbstractAsyncContextManager[PoolConnectionProxy]:
        """One of those that the tenant may have."""
        ...

    def by_turns(self) -> AbstractAsyncContextManager[PoolConnectionProxy]:
        """One for who has waited for a turn among all tenants."""
        ...


class Now(NamedTuple):
    """How far the feed is: what is settled, and what was drawn; the mark of its history."""

    mark: bytes
    settled: int
    drawn: int


@dataclass(eq=False)
class _Asker:
    """Who waits for a look, and then for a position to be settled: by default all drawn by then."""

    target: int | None
    looked: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """`running()` keeps it going; `pool` is its own, and `readers` what clients read with."""

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        readers: Readers,
        metrics: FeedMetrics,
        limits: FeedLimits,
    ) -> None:
        self.limits = limits
        self.metrics = metrics
        self.listeners = Listeners(limits.listeners_max)
        self._pool = pool
        self._readers = readers
        self._settled = Settled()
        self._now: Now | None = None
        self._askers: set[_Asker] = set()
        self._hurry = asyncio.Event()
        self._released = False
        self._swept_at = 0.0
        self._is_quiet = False
        # One at a time: those who are behind, however many, do not keep others from reading.
        self._reading_on = asyncio.Semaphore(1)
        # One of each tenant waits for that, and the others of its own behind it.
        self._lines: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        started_at = monotonic()
        metrics.listeners.set_function(lambda: len(self.listeners))
        metrics.behind.set_function(lambda: monotonic() - max(started_at, self._settled.at))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Look and tell until the context is left."""
        await self._turn()
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._run(), name="event-feed")
            try:
                yield self
            finally:
                await end([telling])

    def release(self) -> None:
        """Nobody listens or waits any more: the process is on its way out."""
        self._released = True
        self.listeners.end("closing")
        for asker in self._askers:
            asker.settled.set()

    # What others ask

    async def now(self, within_s: float, position: int | None = None) -> Now:
        """How far it is, once a position is settled, or else all that was drawn by now.

        No later than after `within_s` seconds. Raises Problem (503) while Postgres is away.
        """
        asker = _Asker(position)
        self._askers.add(asker)
        self._hurry.set()
        try:
            async with asyncio.timeout(_LOOK_S_MAX):
                await asker.looked
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._released else within_s):
                    await asker.settled.wait()
        except TimeoutError:
            raise _unavailable() from None
        finally:
            self._askers.discard(asker)
        if self._now is None:
            raise _unavailable()
        return self._now

    async def reached(self, token: str, tenant_id: str, within_s: float) -> Now:
        """How far it is, beyond a position that the tenant was given. Raises Problem."""
        now = await self.now(0)
        position = self.position(token, tenant_id, now, parameter="after_position")
        if now.settled < position:
            now = await self.now(within_s, position)
        if now.settled < position:
            detail = "somebody is writing still what comes before that position"
            raise Problem(FEED_BEHIND, detail, headers=_RETRY_SOON)
        return now

    def position(self, token: str, tenant_id: str, now: Now, *, parameter: str) -> int:
        """The position that a tenant was given. Raises Problem: 422, 410 for another history."""
        try:
            place = place_of(token, tenant_id)
        except ValueError:
            raise invalid(FieldError("is none that was given", parameter=parameter)) from None
        if place.mark != now.mark or place.position > now.drawn:
            raise _expired("the database was restored since, or lost what it had told last")
        return place.position

    def token(self, tenant_id: str, position: int) -> str | None:
        """A position as its tenant is given it; None while it is not known of which history."""
        return Place(self._now.mark, position).token(tenant_id) if self._now else None

    async def read(
        self, tenant_id: str, filters: FeedFilters, after: int | None, settled: int, limit: int
    ) -> EventsBehind:
        """Events behind a position; of all that are kept, behind None. Raises Problem (410)."""
        part = _part(filters, after or 0, settled, limit)
        async with self._readers.of(tenant_id) as connection:
            found = await events_behind(connection, tenant_id, filters, part)
        return found if after is None else _whole(found, after)

    async def read_on(self, listener: Listener, limit: int) -> EventsBehind:
        """What is next for one that is behind the tails. Raises Problem."""
        now = self._now
        if now is None:
            raise _unavailable()
        tenant_id, filters, after = listener.tenant_id, listener.filters, listener.after
        part = _part(filters, after, max(now.settled, after), limit)
        # Whoever has the turn waits for no room of its tenant: all others would wait with it.
        async with (
            self._line_of(tenant_id),
            self._reading_on,
            self._readers.by_turns() as connection,
        ):
            found = _whole(await events_behind(connection, tenant_id, filters, part), after)
        listener.after = found.read_to
        return found

    def _line_of(self, tenant_id: str) -> asyncio.Semaphore:
        line = self._lines.get(tenant_id)
        if line is None:
            line = self._lines[tenant_id] = asyncio.Semaphore(1)
        return line

    def enter(self, listener: Listener) -> None:
        """Let it listen. Raises Problem (503)."""
        if self._released:
            raise _unavailable()
        try:
            self.listeners.enter(listener)
        except Full:
            detail = "as many listen as may; ask for a page instead, or come again"
            raise Problem(OVERLOADED, detail, headers={"Retry-After": "10"}) from None
        self._hurry.set()

    # The task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_AT_MOST_EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace_s()):
                    await self._hurry.wait()
            self._hurry.clear()
            await self._turn()

    def _pace_s(self) -> float:
        if self._askers:
            return _WHILE_ASKED_S
        if not len(self.listeners):
            return _AT_REST_S
        return _WHILE_QUIET_S if self._is_quiet else _WHILE_HEARD_S

    async def _turn(self) -> None:
        """One look, and whatever follows from it."""
        asked, at = [*self._askers], monotonic()
        try:
            async with asyncio.timeout(_TURN_S_MAX), self._pool.acquire() as connection:
                with hanging_up(connection):
                    looked = await look(connection)
                    self._see(looked, at)
                    self._answer(asked, looked)
                    await self._tell(connection)
        except AWAY as error:
            if self._now is not None:
                log.warning("the feed stands still: Postgres is away", error=repr(error))
            self._now = None
            for asker in asked:
                _resolve(asker.looked)
        if at - self._swept_at > _SWEEP_EVERY_S:
            self._swept_at = at
            self.listeners.sweep()

    def _see(self, looked: Look, at: float) -> None:
        mark = mark_of(looked.history)
        if self._now is not None and self._now.mark != mark:
            # Places of before mean nothing in this one: who comes again is told.
            self._settled = Settled()
            self.listeners.begin_anew()
        self._settled.look(looked, at)
        drawn_before = self._now.drawn if self._now else None
        self._is_quiet = looked.drawn == drawn_before == self._settled.position
        self._now = Now(mark, self._settled.position, looked.drawn)

    def _answer(self, asked: list[_Asker], looked: Look) -> None:
        for asker in asked:
            if asker.target is None:
                asker.target = looked.drawn
            _resolve(asker.looked)
        for asker in self._askers:
            if asker.target is not None and asker.target <= self._settled.position:
                asker.settled.set()

    async def _tell(self, connection: PoolConnectionProxy) -> None:
        listeners, settled = self.listeners, self._settled.position
        tenants = listeners.tenants
        if not tenants:
            listeners.told = settled
            return
        if listeners.told >= settled:
            return
        events = await events_since(
            connection, tenants, after=listeners.told, settled=settled, limit=_TOLD_MAX
        )
        is_all = len(events) < _TOLD_MAX
        listeners.tell(events, tenants, settled if is_all else events[-1].position)
        if not is_all:
            self._hurry.set()


def _part(filters: FeedFilters, after: int, settled: int, limit: int) -> Stretch:
    read_max = limit if filters == FeedFilters() else _READ_MAX
    return Stretch(after, settled, limit, read_max)


def _whole(found: EventsBehind, after: int) -> EventsBehind:
    """What was found behind a position, if nothing is missing. Raises Problem (410)."""
    if after < found.dropped_to:
        raise _expired("what came after it is not kept any more")
    return found


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _unavailable() -> Problem:
    return Problem(UNAVAILABLE, "the feed cannot be read now", headers=_RETRY_SOON)


def _expired(why: str) -> Problem:
    return Problem(CURSOR_EXPIRED, f"{why}: begin again without a cursor")
