"""How many calls at once a provider bears: more while it goes well, half when it limits our rate.

Nobody tells us a vendor's limits, and they change: so they are found as TCP finds a line's
capacity. From a modest beginning each success allows one call more, until the provider limits
us for the first time; from then on a round of successes does. A few calls that are limited are
tried again like any other and mean nothing. When they are many, each that is limited rests all
the others for as long as the provider asks, and each round of them halves the number; calls for
which there was no connection, among others for which there was one, tell the same of our own
sockets. When for seconds nothing but refusals comes, a quota is used up: one call at a time asks
whether it is so still, less and less often. What is not begun is not claimed: it waits, and
burns no attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from payments.outcome import Declined, Retriable, Succeeded
from providers.gateway import Trouble

if TYPE_CHECKING:
    from payments.outcome import InquiryOutcome

_BEGINNING: Final = 64
# Of so many answers. Five attempts in a row are limited once in a hundred times at the first
# share, where it begins to matter, and practically never at the second, where it ends.
_MEMORY: Final = 64
_MANY: Final = 0.4
_FEW: Final = 0.1
# Vendors count by the second; some say when to come back, and some do not.
_REST_S: Final = 0.25
# Whatever a provider wishes: it is asked again by then.
_REST_S_MAX: Final = 30.0
# So many refusals, and nothing else, over so long or with the wish to be left alone for so long:
# a limit by the second lets some through, and wishes for a second.
_USED_UP_CALLS: Final = 3
_USED_UP_S: Final = 2.0
# The rest grows to half of the time for which it has been so: healed, it is noticed in seconds.
_PROBE_S_MAX: Final = 15.0


@dataclass(slots=True)
class ConcurrencyLimit:
    """One provider's, as one worker knows it; `at_most` calls, however well it goes."""

    at_most: int
    rests_until: float = -inf
    # What was said of the last call that was limited.
    reason: str = ""
    _allowed: float = field(init=False)
    _limited_share: float = 0.0
    _is_limited: bool = False
    _is_used_up: bool = False
    _has_been_limited: bool = False
    _refused_in_a_row: int = 0
    _refused_since: float = inf
    _begun: int = 0
    _begun_when_halved: int = 0

    def __post_init__(self) -> None:
        """Begin modestly."""
        self._allowed = float(min(_BEGINNING, self.at_most))

    @property
    def allowed(self) -> int:
        """Calls at once, at least one."""
        return 1 if self._is_used_up else int(self._allowed)

    @property
    def is_limited(self) -> bool:
        """Whether the provider takes less than it is asked."""
        return self._is_limited or self._is_used_up

    def begins(self) -> int:
        """The number of a call that begins, to be told with its outcome."""
        self._begun += 1
        return self._begun

    def heard(self, number: int, outcome: InquiryOutcome, *, in_flight: int, now: float) -> None:
        """Learn from what a call ended in; `now` in seconds of the clock `rests_until` is of."""
        match outcome:
            case Retriable(Trouble.RATE_LIMITED | Trouble.NOT_SENT as code, message, wished_s):
                self.reason = message
                self._remember(1.0)
                rest_s = _REST_S if wished_s is None else wished_s
                if code == Trouble.RATE_LIMITED:
                    self._refused(rest_s, now)
                if self.is_limited:
                    self._slow_down(number, rest_s, now)
            case Succeeded() | Declined():
                self._remember(0.0)
                self._refused_in_a_row, self._refused_since, self._is_used_up = 0, inf, False
                if 2 * in_flight >= self._allowed:
                    more = 1 / self._allowed if self._has_been_limited else 1.0
                    self._allowed = min(float(self.at_most), self._allowed + more)
            case _:
                return

    def _refused(self, wished_s: float, now: float) -> None:
        self._refused_in_a_row += 1
        self._refused_since = min(self._refused_since, now)
        is_long = max(wished_s, now - self._refused_since) >= _USED_UP_S
        self._is_used_up = is_long and self._refused_in_a_row >= _USED_UP_CALLS

    def _remember(self, limited: float) -> None:
        self._limited_share += (limited - self._limited_share) / _MEMORY
        if self._limited_share > _MANY:
            self._is_limited = self._has_been_limited = True
        elif self._limited_share < _FEW:
            self._is_limited = False

    def _slow_down(self, number: int, wished_s: float, now: float) -> None:
        rest_s = min(wished_s, _REST_S_MAX)
        if self._is_used_up:
            # How many it bears is not learnt from a quota: that many it will bear again.
            rest_s = max(rest_s, min((now - self._refused_since) / 2, _PROBE_S_MAX))
        elif number > self._begun_when_halved:
            # Calls that had begun before the last halving say nothing new.
            self._allowed = max(1.0, self._allowed / 2)
            self._begun_when_halved = self._begun
        self.rests_until = max(self.rests_until, now + rest_s)
