"""A vendor's own limit on how often something may be asked."""

from __future__ import annotations

from collections import deque

_SECOND = 1.0


class RateLimit:
    """So many in any second; what is refused does not count."""

    def __init__(self, per_second: int) -> None:
        self._taken: deque[float] = deque(maxlen=per_second)

    def admits(self, at: float) -> bool:
        """Whether there is room at a time in Unix seconds, which is then taken."""
        is_full = len(self._taken) == self._taken.maxlen
        if is_full and at < self._taken[0] + _SECOND:
            return False
        self._taken.append(at)
        return True
