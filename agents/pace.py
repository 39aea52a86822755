"""How many calls at once a provider bears: more while it goes well, half when it says 429.

Nobody tells us a vendor's limits, and they change: so they are found as TCP finds a line's
capacity. From a modest beginning each success allows one call more, until the provider limits
us for the first time; from then on a round of successes does. A limited call halves the number
and rests everything for as long as the provider asks. What is not begun is not claimed: it
waits on its topic, and burns no attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from payments.outcome import Declined, Retriable, Succeeded
from providers.gateway import Trouble

if TYPE_CHECKING:
    from payments.outcome import Outcome

_BEGINNING: Final = 64
# Vendors count by the second, and say so in Retry-After or not at all.
_REST_S: Final = 1.0
# Whatever a provider wishes: it is asked again by then.
_REST_S_MAX: Final = 30.0


@dataclass(slots=True)
class Pace:
    """One provider's, as one worker knows it; `at_most` calls, however well it goes."""

    at_most: int
    rests_until: float = -inf
    _allowed: float = field(init=False)
    _has_been_limited: bool = False
    _begun: int = 0
    _begun_when_halved: int = 0

    def __post_init__(self) -> None:
        """Begin modestly."""
        self._allowed = float(min(_BEGINNING, self.at_most))

    @property
    def allowed(self) -> int:
        """Calls at once, at least one."""
        return int(self._allowed)

    def begins(self) -> int:
        """The number of a call that begins, to be told with its outcome."""
        self._begun += 1
        return self._begun

    def heard(self, number: int, outcome: Outcome, *, in_flight: int, now: float) -> None:
        """Learn from what a call ended in; `now` in seconds of the clock `rests_until` is of."""
        match outcome:
            case Retriable(Trouble.RATE_LIMITED, _, wished_s):
                rest_s = _REST_S if wished_s is None else min(wished_s, _REST_S_MAX)
                self.rests_until = max(self.rests_until, now + rest_s)
                # Calls that had begun before the last halving say nothing new.
                if number > self._begun_when_halved:
                    self._allowed = max(1.0, self._allowed / 2)
                    self._begun_when_halved = self._begun
                    self._has_been_limited = True
            case Succeeded() | Declined() if 2 * in_flight >= self._allowed:
                more = 1 / self._allowed if self._has_been_limited else 1.0
                self._allowed = min(float(self.at_most), self._allowed + more)
            case _:
                return
