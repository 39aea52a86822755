"""Commands that wait for what somebody else holds, apart from all others.

They are tried again with growing pauses, until they are recorded or nobody waits for them any
more. A try takes what is free and waits for no row. What kept several waiting together (a table
that is locked, a statement that is cut off) is asked of the halves of them next time, so that one
command's trouble does not stay that of all. Those of which many are tried at once, and those of
which few are, take turns: nobody waits for all tries of the others. So many of one tenant's may
wait, and the next are told at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from store.write.waiting import Held

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from store.write.waiting import Waiting

log = structlog.get_logger()

# Whoever holds a row as we do has let it go by then.
_FIRST_PAUSE_S: Final = 0.05
# Who waits for a lock that was held for long has waited this much longer at the most.
_LONGEST_PAUSE_S: Final = 0.5


@dataclass(slots=True, eq=False)
class _Aside:
    waiting: Waiting
    # At most so many, itself included, are tried in one transaction with it.
    together_max: int
    pause_s: float
    due: float


class SetAside:
    """Tries `again` with what is due, one transaction after the other, while `run` runs."""

    def __init__(
        self,
        again: Callable[[Sequence[Waiting]], Awaitable[None]],
        tenant_max: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._again = again
        self._tenant_max = tenant_max
        self._clock = clock
        self._asides: list[_Aside] = []
        self._by_tenant: Counter[str] = Counter()
        self._trying: dict[Waiting, _Aside] = {}
        # Of whom the last try was, if it was of those that may be the most at once.
        self._most_tried = 0
        self._changed = asyncio.Event()
        self._closing = False

    def __len__(self) -> int:
        return len(self._asides) + len(self._trying)

    def put(self, batch: Sequence[Waiting], together_max: int) -> None:
        """Set them aside, to be tried with fewer than `together_max` others at once."""
        for waiting in batch:
            tried = self._trying.pop(waiting, None)
            if tried is not None:
                self._again_later(tried, together_max)
            elif self._by_tenant[waiting.tenant_id] < self._tenant_max:
                self._by_tenant[waiting.tenant_id] += 1
                self._wait(waiting, max(1, together_max), _FIRST_PAUSE_S)
            else:
                waiting.give(Held("too many wait for what somebody else holds"))
        self._changed.set()

    def close(self) -> None:
        """End as soon as nobody waits any more."""
        self._closing = True
        self._changed.set()

    async def run(self) -> None:
        """Try what is due, until closed."""
        while self._asides or not self._closing:
            until = min((each.due for each in self._asides), default=None)
            pause_s = None if until is None else until - self._clock()
            if pause_s is not None and pause_s <= 0:
                await self._try()
                continue
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()

    def _again_later(self, tried: _Aside, together_max: int) -> None:
        pause_s = min(2 * tried.pause_s, _LONGEST_PAUSE_S)
        if pause_s == _LONGEST_PAUSE_S > tried.pause_s:
            command = type(tried.waiting.submission.command).__name__
            log.warning("waiting for what somebody else holds", command=command)
        self._wait(tried.waiting, max(1, together_max), pause_s)

    def _wait(self, waiting: Waiting, together_max: int, pause_s: float) -> None:
        self._asides.append(_Aside(waiting, together_max, pause_s, self._clock() + pause_s))

    async def _try(self) -> None:
        for each in (due := self._due()):
            self._trying[each.waiting] = each
        try:
            if wanted := [each.waiting for each in due if not each.waiting.answer.done()]:
                await self._again(wanted)
        finally:
            for each in due:
                # Those that are not set aside again have their outcome, or nobody who wants it.
                if self._trying.pop(each.waiting, None) is not None:
                    self._forget(each.waiting.tenant_id)

    def _due(self) -> list[_Aside]:
        """As many of those that are due as may be tried at once, who has been due longest first.

        None with others that may be more at once: they would be as few as it, and wait with it.
        """
        now = self._clock()
        due = sorted((each for each in self._asides if each.due <= now), key=lambda each: each.due)
        at_once = self._at_once(due)
        taken = [each for each in due if each.together_max == at_once][:at_once]
        chosen = set(map(id, taken))
        self._asides = [each for each in self._asides if id(each) not in chosen]
        return taken

    def _at_once(self, due: Sequence[_Aside]) -> int:
        """Whose turn it is: of those that may be the most, then of whoever of the others is first.

        All that wait for rows are told by one try which of these are free, while each that stands
        still by itself has a try wait: they wait for one of those at the most, and nobody for ever.
        """
        others = [each.together_max for each in due if each.together_max != self._most_tried]
        if self._most_tried and others:
            self._most_tried = 0
            return others[0]
        self._most_tried = max(each.together_max for each in due)
        return self._most_tried

    def _forget(self, tenant_id: str) -> None:
        self._by_tenant[tenant_id] -= 1
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]
