"""Requests begin by turns, so that nobody stands behind somebody else's crowd.

What a handler does between two waits holds up everybody whose own wait is over, and a commit waits
a dozen times: with sixty requests of one client at work, each of these waits lasts as long as sixty
steps. So one begins in each pass of the event loop, or a few where a pass takes long; and while
others ask too, an asker has so many at work at once. Those that must wait go by turns, one of each
asker before the next one of any, and strangers begin a little apart: all that there is to do for
one is done at once. Who would wait for longer than is useful is told so at once.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import Final

from store.write.fair_queue import FairQueue

# Who does not say who it is, or not truly.
NOBODY: Final = ""

# As many as a busy asker needs for batches that are worth their while.
_PLACES: Final = 4
# Whoever is at work for longer waits for something else than us, and takes nobody's place.
_AT_WORK_S: Final = 0.25
# Since somebody else asked last.
_ALONE_AFTER_S: Final = 1.0
# Between one stranger and the next, while others ask: a sixth of a core is enough to refuse with.
_APART_S: Final = 0.002
# A pass that lasts longer has done the work of several, or waited for a core: more begin in the
# next, or a crowd at the door would have less of the process the longer it is.
_STEP_S: Final = 0.001
# A commit comes behind it, and clients give up after ten seconds or so, knowing nothing.
_WAIT_S_MAX: Final = 0.5
# So many may wait, however long the last ones took: whoever stood still has no pace.
_WAITING_MIN: Final = 128
# Of an asker's last ones that began, how many its pace is an average of.
_PACE_OF: Final = 64


class Crowded(Exception):
    """Too many of the asker's wait; in `retry_after_s` those of now will have begun."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many wait, try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class Place:
    """Of one request at work."""

    __slots__ = ("asker", "since")

    def __init__(self, asker: str) -> None:
        self.asker = asker
        self.since = monotonic()


class _Pace:
    """How far apart an asker's begin while some of them wait, in seconds, and when one did last."""

    __slots__ = ("apart_s", "begun_at")

    def __init__(self) -> None:
        self.apart_s = 0.0
        self.begun_at = monotonic()

    def begun(self, now: float) -> None:
        self.apart_s += (now - self.begun_at - self.apart_s) / _PACE_OF
        self.begun_at = now


class Turns:
    """Places for requests; to be given back."""

    def __init__(
        self,
        *,
        places: int = _PLACES,
        at_work_s: float = _AT_WORK_S,
        alone_after_s: float = _ALONE_AFTER_S,
        apart_s: float = _APART_S,
        step_s: float = _STEP_S,
        wait_s_max: float = _WAIT_S_MAX,
    ) -> None:
        self._places_max = places
        self._at_work_s = at_work_s
        self._alone_after_s = alone_after_s
        self._apart_s = apart_s
        self._step_s = step_s
        self._wait_s_max = wait_s_max
        self._waiting = FairQueue[tuple[str, asyncio.Future[Place]]]()
        # Of each asker, the longest at work first.
        self._places: dict[str, dict[Place, None]] = {}
        # Who asked last, and when that one and any other did.
        self._last_asker = ""
        self._last_at = self._other_at = -inf
        # When the next stranger may begin.
        self._next_stranger_at = -inf
        # Whether one began in this pass of the event loop, or waits for the next one.
        self._is_taken = False
        self._timer: asyncio.TimerHandle | None = None
        # When it was put off to the next pass.
        self._looked_at = -inf
        # Of those of whom some wait.
        self._paces: dict[str, _Pace] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def take(self, asker: str, *, is_heard: bool = True) -> Place:
        """A place, once it is the asker's turn. For who is not heard nobody makes room.

        Raises Crowded at once for whom that would be too late, unless it is a probe.
        """
        if is_heard:
            self._hear(asker)
        if not (self._is_taken or self._waiting or self._has_all(asker)):
            self._look_again()
            return self._place(asker)
        if is_heard or asker == NOBODY:
            self._refuse_crowd(asker)
        turn: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.put(asker, (asker, turn))
        if asker not in self._paces:
            self._paces[asker] = _Pace()
        if not self._is_taken:
            self._look_again()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(turn.result())
            raise

    def give_back(self, place: Place) -> None:
        """Whoever had it is done."""
        places = self._places.get(place.asker, {})
        places.pop(place, None)
        if not places:
            self._places.pop(place.asker, None)
        if self._waiting and not self._is_taken:
            self._look_again()

    def _refuse_crowd(self, asker: str) -> None:
        own = self._waiting.of(asker)
        if own < _WAITING_MIN:
            return
        wait_s = own * self._paces[asker].apart_s
        if wait_s > self._wait_s_max:
            raise Crowded(wait_s)

    def _hear(self, asker: str) -> None:
        now = monotonic()
        if asker != self._last_asker:
            self._last_asker, self._other_at = asker, self._last_at
        self._last_at = now

    def _place(self, asker: str) -> Place:
        place = Place(asker)
        if asker == NOBODY:
            self._next_stranger_at = place.since + self._apart_s
        self._places.setdefault(asker, {})[place] = None
        return place

    def _has_all(self, asker: str) -> bool:
        """Whether it has as many as it may, while others ask."""
        places = self._places.get(asker, {})
        if asker != NOBODY and len(places) < self._places_max:
            return False
        now = monotonic()
        others_at = self._other_at if asker == self._last_asker else self._last_at
        if others_at < now - self._alone_after_s:
            return False
        if asker == NOBODY and now < self._next_stranger_at:
            return True
        while places and (longest := next(iter(places))).since < now - self._at_work_s:
            del places[longest]
        return len(places) >= self._places_max

    def _look_again(self) -> None:
        """In the next pass of the event loop."""
        self._is_taken = True
        self._looked_at = monotonic()
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._is_taken = False
        now = monotonic()
        if self._begin(now, 1 + int((now - self._looked_at) / self._step_s)):
            self._look_again()
        elif self._waiting and self._timer is None:
            # Those who have all places need not give one back, and strangers wait for nobody.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._apart_s, self._look_once_more)

    def _begin(self, now: float, count_max: int) -> int:
        """How many began, of those whose turn it is."""
        begun = 0
        while begun < count_max and (taken := self._waiting.take(1, self._has_all)):
            ((asker, turn),) = taken
            if not turn.done():  # who is gone has none
                turn.set_result(self._place(asker))
                self._paces[asker].begun(now)
                begun += 1
            if not self._waiting.of(asker):
                del self._paces[asker]
        return begun

    def _look_once_more(self) -> None:
        self._timer = None
        if not self._is_taken:
            self._looked_at = monotonic()
            self._next()
