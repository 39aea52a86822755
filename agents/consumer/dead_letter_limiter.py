"""When a stage must stop: too many of the last messages could not be processed. Pure.

A poisoned message is parked and the stage goes on. But where most messages are parked the fault
is the stage's own, or its producer's, and going on would turn a whole topic into dead letters.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# Fewer say nothing: one poisoned message in a quiet minute would be a ratio of 1.
WINDOW_MIN: Final = 20


class DeadLetterLimiter:
    """Watches the last `window` messages; exceeded, it stays so.

    The ratio is of the whole window even before so many messages were seen, so that it takes
    more than `ratio_max * window` parked ones to stop a stage that has only just begun.
    """

    def __init__(self, ratio_max: float = 0.5, window: int = 100) -> None:
        if window < WINDOW_MIN or not 0 < ratio_max <= 1:
            raise ValueError(f"{ratio_max} of {window} messages is no bound")
        self._parked_max = ratio_max * window
        self._last: deque[bool] = deque(maxlen=window)
        self._parked = 0
        self._is_exceeded = False

    @property
    def is_exceeded(self) -> bool:
        """Whether the stage must begin nothing more."""
        return self._is_exceeded

    def saw(self, *, parked: bool) -> None:
        """A message was parked, or was not."""
        if len(self._last) == self._last.maxlen:
            self._parked -= self._last[0]
        self._last.append(parked)
        self._parked += parked
        self._is_exceeded = self._is_exceeded or self._parked > self._parked_max
