"""How many commands are committed a second while there is more to do than that."""

from __future__ import annotations

from typing import Final

# Until it is known: what a machine does that has nothing else to do.
_FIRST: Final = 1000.0
# A queue that never is as long says nothing of what could be committed, but of who comes.
_WAITING_MIN: Final = 64
# How much of what is known stays with each batch that says more.
_KEPT: Final = 0.75


class CommitRate:
    """Of the last few batches that ended while others waited, all lanes together."""

    def __init__(self) -> None:
        self._commands = _FIRST
        self._seconds = 1.0
        # When the last batch ended, if enough were waiting then.
        self._since: float | None = None

    @property
    def per_second(self) -> float:
        """Never 0."""
        return self._commands / self._seconds

    def learn(self, commands: int, now: float, waiting: int) -> None:
        """A batch has ended in which so many were committed; times are of any one clock."""
        if self._since is not None and not commands and waiting >= _WAITING_MIN:
            return  # all of it was set aside: it is part of the time that the next one takes
        if self._since is not None and commands:
            self._commands = _KEPT * self._commands + commands
            self._seconds = _KEPT * self._seconds + now - self._since
        self._since = now if waiting >= _WAITING_MIN else None

    def interrupt(self) -> None:
        """A batch failed: how long that took says nothing of the next ones."""
        self._since = None
