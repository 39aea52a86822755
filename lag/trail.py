"""How far behind each was over the last half hour, for whoever wants to see where it goes.

Pure, and small: the worst of each quarter of a minute. It lives as long as who measures.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PART_SECONDS: Final = 15.0
PARTS: Final = 120
# Groups of others come and go: no more are remembered.
_NAMES_MAX: Final = 500

Name = tuple[str, str]


class Trail:
    """Of each name a figure for each part of the time; None where none is known."""

    def __init__(self) -> None:
        self._known: dict[Name, deque[tuple[int, float]]] = {}

    def add(self, figures: Iterable[tuple[Name, float | None]], at: float) -> None:
        """What was measured at a time, in seconds of whichever clock is used throughout."""
        part = int(at // PART_SECONDS)
        for name, figure in figures:
            if figure is None:
                continue
            known = self._known.setdefault(name, deque(maxlen=PARTS))
            if known and known[-1][0] == part:
                known[-1] = (part, max(figure, known[-1][1]))
            else:
                known.append((part, figure))
        while len(self._known) > _NAMES_MAX:
            del self._known[min(self._known, key=lambda name: self._known[name][-1][0])]

    def until(self, now: float) -> Mapping[Name, list[float | None]]:
        """What is known of the half hour that ends now; who has nothing in it is left out."""
        last = int(now // PART_SECONDS)
        parts = range(last - PARTS + 1, last + 1)
        told = {name: dict(known) for name, known in self._known.items()}
        return {
            name: [figures.get(part) for part in parts]
            for name, figures in told.items()
            if figures.keys() & parts
        }
