"""A circuit breaker over outcomes: refuses calls to what keeps failing, then tries again.

Closed, it lets everything through and watches the last calls; when enough of them failed
it opens and refuses for a while; then it is half-open and lets one trial through, which
closes or reopens it. Time is an argument; nothing here sleeps.

The states and their transitions are aiobreaker's. The rest of it does not serve as it is:
- it counts failures in a row and forgets them at a success, so a provider that fails
  every other call never opens it: `_Window` answers its counter from the last calls;
- it reads the wall clock, in UTC here and in local time there: `_Window` keeps our own
  clock, and shows it a time of opening so old that it never refuses by itself;
- half-open, it lets any number of calls through, and the last to end has its way:
  `Breaker` lets one through, so a provider that is coming back is not run over;
- it raises its own error in place of the failure that opens the circuit, when that call's
  outcome is the one that must not be lost: `Breaker` keeps the answer beside the raising.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

from aiobreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerState

from payments.outcome import Deferred

CIRCUIT_OPEN: Final = "circuit_open"

AnswerT = TypeVar("AnswerT")


class CircuitState(StrEnum):
    """Where the circuit stands."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When to open and for how long; `failed_share_min` (0 to 1) of a full window opens it."""

    window_calls: int = 10
    failed_share_min: float = 0.6
    open_s: float = 30.0
    # How long to stay away while the trial is under way: about as long as one takes.
    trial_wait_s: float = 1.0


class Breaker:
    """The circuit of one provider's one operation. For use on one event loop."""

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], float]) -> None:
        """`clock` gives seconds and never goes back."""
        self._policy = policy
        self._clock = clock
        self._window = _Window(policy, clock)
        self._machine = CircuitBreaker(fail_max=_TRIPPED, state_storage=self._window)
        self._has_trial = False

    @property
    def state(self) -> CircuitState:
        return _STATES[self._window.state]

    def refusal(self) -> Deferred | None:
        """Why a call would not be let through now, and when it may be; None if it would."""
        match self.state:
            case CircuitState.CLOSED:
                return None
            case CircuitState.OPEN if (rest_s := self._window.reopens_at - self._clock()) > 0:
                return Deferred(CIRCUIT_OPEN, rest_s)
            case CircuitState.OPEN | CircuitState.HALF_OPEN:
                if self._has_trial:
                    return Deferred(CIRCUIT_OPEN, self._policy.trial_wait_s)
                return None

    async def call(
        self, ask: Callable[[], Awaitable[AnswerT]], is_failure: Callable[[AnswerT], bool]
    ) -> AnswerT | Deferred:
        """Call `ask` and count its answer, or defer.

        An exception counts as a failure and passes; a cancelled call counts as nothing.
        """
        if (refusal := self.refusal()) is not None:
            return refusal
        answers: list[AnswerT] = []

        async def judged() -> None:
            answers.append(await ask())
            if is_failure(answers[0]):
                raise _Failed

        is_trial = self._has_trial = self.state is not CircuitState.CLOSED
        try:
            await self._machine.call_async(judged)
        except (_Failed, CircuitBreakerError):
            if not answers:
                raise
        finally:
            if is_trial:
                self._has_trial = False
        return answers[0]


class _Failed(Exception):
    """Tells aiobreaker, which knows failures by their being raised."""


# What `_Window.counter` says when the circuit must open, and 0 otherwise.
_TRIPPED: Final = 1


class _Window:
    """aiobreaker's storage: the state, and the results of the last calls while closed.

    What ends while the circuit is not closed is not recorded: calls made before it opened
    say nothing about the provider's recovery.
    """

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._state: CircuitBreakerState = CircuitBreakerState.CLOSED
        self._failed: deque[bool] = deque(maxlen=policy.window_calls)
        self.reopens_at = -math.inf

    @property
    def state(self) -> CircuitBreakerState:
        return self._state

    @state.setter
    def state(self, state: CircuitBreakerState) -> None:
        self._state = state
        self._failed.clear()

    def increment_counter(self) -> None:
        self._record(failed=True)

    def reset_counter(self) -> None:
        # aiobreaker's word for a success.
        self._record(failed=False)

    @property
    def counter(self) -> int:
        is_full = len(self._failed) == self._policy.window_calls
        share = sum(self._failed) / self._policy.window_calls
        return _TRIPPED if is_full and share >= self._policy.failed_share_min else 0

    @property
    def opened_at(self) -> datetime:
        return datetime.min  # noqa: DTZ901 - aiobreaker compares with naive times

    @opened_at.setter
    def opened_at(self, _its_clock: datetime) -> None:
        self.reopens_at = self._clock() + self._policy.open_s

    def _record(self, *, failed: bool) -> None:
        if self._state is CircuitBreakerState.CLOSED:
            self._failed.append(failed)


_STATES: Final = {
    CircuitBreakerState.CLOSED: CircuitState.CLOSED,
    CircuitBreakerState.HALF_OPEN: CircuitState.HALF_OPEN,
    CircuitBreakerState.OPEN: CircuitState.OPEN,
}
