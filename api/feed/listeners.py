"""Who listens, and what is new for each tenant: kept once, however many of them there are.

A listener has a place and no buffer. What is new lies in its tenant's tail, which is short: whoever
is behind its beginning reads the table at its own pace, so nobody's slowness costs memory.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from api.feed.events import passes
from store.write.fair_queue import has_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from store.read.feed import FeedEvent, FeedFilters

# Events of a tenant, some 2.5 kB each. Who is further behind reads the table.
_TAIL_MAX: Final = 256
# Given to a listener at once: what it has not taken yet stays within a few hundred kilobytes.
TAKEN_MAX: Final = 50


class Full(Exception):
    """As many listen as may, of this tenant or of all."""


class Tail:
    """The last events of a tenant: all there are behind `begins`, up to where all is told."""

    __slots__ = ("begins", "events", "listeners")

    def __init__(self, begins: int) -> None:
        self.begins = begins
        self.events: list[FeedEvent] = []
        self.listeners: set[Listener] = set()

    def cut(self, keep_from: int) -> None:
        """Forget what no listener needs, and of what a slow one would need all but the last."""
        gone = max(
            bisect_right(self.events, keep_from, key=_position), len(self.events) - _TAIL_MAX
        )
        if gone > 0:
            self.begins = self.events[gone - 1].position
            del self.events[:gone]


class Listener:
    """One client that listens; `after` is the position behind which it has everything."""

    __slots__ = ("_all", "_new", "_tail", "after", "end_reason", "filters", "is_gone", "tenant_id")

    def __init__(
        self, tenant_id: str, filters: FeedFilters, after: int, is_gone: Callable[[], bool]
    ) -> None:
        self.tenant_id = tenant_id
        self.filters = filters
        self.after = after
        self.is_gone = is_gone
        # Why it is to end; None while it is not.
        self.end_reason: str | None = None
        self._new = asyncio.Event()
        self._tail = Tail(after)
        self._all: Listeners | None = None

    def follow(self, tail: Tail, listeners: Listeners) -> None:
        """Take from there from now on."""
        self._tail, self._all = tail, listeners

    def take(self) -> Sequence[FeedEvent] | None:
        """What is next for it, perhaps nothing; None if the table must be read for that."""
        self._new.clear()
        tail = self._tail
        assert self._all is not None, "it was let in"
        if self.after < tail.begins:
            return None
        while (first := bisect_right(tail.events, self.after, key=_position)) < len(tail.events):
            taken = tail.events[first : first + TAKEN_MAX]
            self.after = taken[-1].position
            if wanted := [each for each in taken if passes(each, self.filters)]:
                return wanted
        self.after = max(self.after, self._all.told)
        return ()

    async def wait(self, within_s: float) -> None:
        """Until there is something new, or it is to end; no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._new.wait()

    def wake(self) -> None:
        self._new.set()

    def end(self, reason: str) -> None:
        """Have it close, and say why."""
        self.end_reason = self.end_reason or reason
        self._new.set()


class Listeners:
    """All that a process has. `told` is up to where the tails have everything."""

    def __init__(self, listeners_max: int) -> None:
        self.told = 0
        self._max = listeners_max
        self._tails: dict[str, Tail] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Listener]:
        return (each for tail in [*self._tails.values()] for each in [*tail.listeners])

    @property
    def tenants(self) -> list[str]:
        return [*self._tails]

    def enter(self, listener: Listener) -> None:
        """Let it listen. Raises Full."""
        tail = self._tails.get(listener.tenant_id)
        own, tenants = len(tail.listeners) if tail else 0, len(self._tails) + (tail is None)
        if not has_room(own=own, total=self._count, tenants=tenants, total_max=self._max):
            raise Full
        if tail is None:
            tail = self._tails[listener.tenant_id] = Tail(self.told)
        tail.listeners.add(listener)
        self._count += 1
        listener.follow(tail, self)

    def leave(self, listener: Listener) -> None:
        """It listens no more; once is enough."""
        tail = self._tails.get(listener.tenant_id)
        if tail is None or listener not in tail.listeners:
            return
        tail.listeners.discard(listener)
        self._count -= 1
        if not tail.listeners:
            del self._tails[listener.tenant_id]

    def tell(self, events: Sequence[FeedEvent], tenants: Sequence[str], told: int) -> None:
        """These are all events of these tenants up to there."""
        for each in events:
            if each.tenant_id in self._tails:
                self._tails[each.tenant_id].events.append(each)
        for tenant_id in self._tails.keys() - set(tenants):
            # It came while these were read.
            self._tails[tenant_id].begins = told
        self.told = told
        somebodys = {each.tenant_id for each in events}
        for tenant_id in somebodys & self._tails.keys():
            self._tails[tenant_id].cut(0)
            for listener in self._tails[tenant_id].listeners:
                listener.wake()

    def sweep(self) -> None:
        """Forget whose client is gone, and what everybody has."""
        for listener in self:
            if listener.is_gone():
                listener.end("gone")
                self.leave(listener)
        for tail in self._tails.values():
            tail.cut(min(each.after for each in tail.listeners))

    def end(self, reason: str) -> None:
        """Have all of them close."""
        for listener in self:
            listener.end(reason)

    def begin_anew(self) -> None:
        """Places mean something else from now on: have all close, and keep nothing of theirs."""
        self.end("another history")
        self._tails, self._count, self.told = {}, 0, 0


_position: Final = attrgetter("position")
