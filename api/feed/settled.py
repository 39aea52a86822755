"""Up to which position nothing is still to come. Pure.

Positions are drawn before their rows are committed, so that a later one may be seen first. Of those
drawn by a moment each is committed, or never will be, once none of the transactions that were
writing at that moment is left.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from store.read.feed import Look

# While somebody writes for very long some moments are left out, which makes nothing wrong.
_MOMENTS_MAX: Final = 256


class _Moment(NamedTuple):
    drawn: int
    writers: frozenset[str]
    at: float


class Settled:
    """What is settled, and since when that has been all there is."""

    def __init__(self) -> None:
        self.position = 0
        # When everything up to there had been drawn; seconds of a clock that never goes back.
        self.at = float("-inf")
        self._moments: deque[_Moment] = deque()

    def look(self, look: Look, at: float) -> None:
        """So it was at that time."""
        if len(self._moments) == _MOMENTS_MAX:
            self._moments = deque(list(self._moments)[::2])
        self._moments.append(_Moment(look.drawn, look.writers, at))
        ended = [each for each in self._moments if each.writers.isdisjoint(look.writers)]
        if ended:
            self.position, _, self.at = ended[-1]
            while self._moments[0] is not ended[-1]:
                self._moments.popleft()
            self._moments.popleft()
