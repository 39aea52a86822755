"""What a stage has taken and not begun, a queue a lane; and what it need not keep.

A lane holds so many and then makes whoever takes wait, which is right while it moves. One that
does not move (its provider hangs, or lets nobody in) must hold up nobody else: what waits in it,
and all that comes beyond its bound, is left to Postgres, which has known of the work all along
and will send it again when it is due. What is left in the lane is begun sooner than that when the
lane moves again; nothing is lost if it is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.consumer.delivery import Delivery
    from agents.consumer.key_order import KeyTurn

# Some 2 MB of messages: at a hundred a second ten seconds' work, enough to begin anew with.
LANE_MAX: Final = 1_000
# Beyond it, until Postgres has said that it knows of them.
OVERFLOW_MAX: Final = 1_000
# A lane that begins nothing for so long stands still; one whose first has waited for so long
# moves too slowly for the others to wait for it.
_STILL_S: Final = 2.0
_SLOW_S: Final = 30.0


@dataclass(slots=True, eq=False)
class Waiting:
    """A delivery in a lane, or `is_taken` from it.

    `is_left`: it is acknowledged already, and Postgres will send it again.
    """

    delivery: Delivery
    turn: KeyTurn
    since: float
    is_left: bool = False
    is_taken: bool = False


@dataclass(slots=True, eq=False)
class Lane:
    """A queue in the order of taking. `clock` gives seconds that never go back."""

    size_max: int = LANE_MAX
    clock: Callable[[], float] = monotonic
    # Beyond the bound: they are given no turn yet, for most are forgotten at once.
    overflow: list[Delivery] = field(default_factory=list)
    _waiting: deque[Waiting] = field(default_factory=deque)
    _moved_at: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether it holds as many as it may, or some are beyond it, whom nobody may overtake."""
        return len(self._waiting) >= self.size_max or bool(self.overflow)

    @property
    def is_stuck(self) -> bool:
        """Whether what waits in it waits for too long."""
        if not self._waiting:
            return False
        now, first = self.clock(), self._waiting[0].since
        return now - max(first, self._moved_at) > _STILL_S or now - first > _SLOW_S

    def put(self, delivery: Delivery, turn: KeyTurn) -> None:
        """Add it at the end."""
        self._waiting.append(Waiting(delivery, turn, self.clock()))
        self._changed.set()

    def take(self, count: int) -> list[Waiting]:
        """The first so many, or fewer if there are no more."""
        taken = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        for each in taken:
            each.is_taken = True
        self._moved_at = self.clock()
        self._changed.set()
        return taken

    def leavable(self) -> list[Waiting]:
        """Of a lane that is stuck, what waits in it unacknowledged."""
        return [each for each in self._waiting if not each.is_left] if self.is_stuck else []

    async def arrived(self) -> None:
        """Wait until there is something."""
        while not self._waiting:
            await self._change()

    async def room(self, *, may_overflow: bool) -> None:
        """Wait until it has room, or stands still and there is room beyond it."""
        while self.is_full and not (
            may_overflow and self.is_stuck and len(self.overflow) < OVERFLOW_MAX
        ):
            # That it stands still is nothing that happens.
            await self._change(within_s=_STILL_S / 4 if may_overflow else None)

    def spilt(self, count: int) -> list[Delivery]:
        """The first so many of those beyond the bound; they are the caller's now."""
        spilt, self.overflow = self.overflow[:count], self.overflow[count:]
        self._changed.set()
        return spilt

    async def _change(self, within_s: float | None = None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return
