"""A circuit breaker over outcomes: refuses calls to what keeps failing, then tries again.

Closed, it lets everything through and watches the last calls; when enough of them failed
it opens and refuses for a while; then it is half-open and lets one trial through, which
closes or reopens it. A provider that fails is left alone for half a minute; one that nobody
reaches, or that lets us in no more, is tried again after a second, and then less and less
often: nothing is lost there by trying, and healed it is to be noticed within seconds. Time is
an argument; nothing here sleeps.

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
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

from aiobreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerState

from payments.outcome import Deferred
from payments.provider_state import ProviderState

AnswerT = TypeVar("AnswerT")


class CircuitState(StrEnum):
    """Where the circuit stands."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong with a call: the state it is a sign of, and how, in words."""

    state: ProviderState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When to open and for how long; `failed_share_min` (0 to 1) of a full window opens it.

    So do `turned_away_in_a_row` calls that did not get as far as the provider's work, since such
    a lack is the same for every call; the pauses before their trials double from `probe_s` to
    `probe_s_max`.
    """

    window_calls: int = 10
    failed_share_min: float = 0.6
    open_s: float = 30.0
    turned_away_in_a_row: int = 3
    probe_s: float = 1.0
    probe_s_max: float = 15.0
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
        """Open until its pause is over, and then half-open whether or not a trial is made."""
        if self._window.state is CircuitBreakerState.CLOSED:
            return CircuitState.CLOSED
        is_over = self._window.reopens_at <= self._clock()
        half_open = is_over or self._window.state is CircuitBreakerState.HALF_OPEN
        return CircuitState.HALF_OPEN if half_open else CircuitState.OPEN

    @property
    def fault(self) -> Fault | None:
        """Why it is not closed."""
        return None if self.state is CircuitState.CLOSED else self._window.fault

    @property
    def reopens_at(self) -> float:
        """When its pause is, or was, over, by the clock."""
        return self._window.reopens_at

    def refusal(self) -> Deferred | None:
        """Why a call would not be let through now, and when it may be; None if it would."""
        match self.state:
            case CircuitState.CLOSED:
                return None
            case CircuitState.OPEN:
                return self._deferred(self._window.reopens_at - self._clock())
            case CircuitState.HALF_OPEN:
                return self._deferred(self._policy.trial_wait_s) if self._has_trial else None

    async def call(
        self, ask: Callable[[], Awaitable[AnswerT]], fault_of: Callable[[AnswerT], Fault | None]
    ) -> AnswerT | Deferred:
        """Call `ask` and count its answer, or defer.

        An exception counts as a failure and passes; a cancelled call counts as nothing.
        """
        if (refusal := self.refusal()) is not None:
            return refusal
        if self.state is not CircuitState.CLOSED:
            return await self._tried(ask, fault_of)
        try:
            answer = await ask()
            fault = fault_of(answer)
        except Exception:
            self._count(_BUG)
            raise
        self._count(fault)
        return answer

    def _count(self, fault: Fault | None) -> None:
        """A call that began while the circuit was closed has ended."""
        if self._window.state is not CircuitBreakerState.CLOSED:
            return
        self._window.said = fault
        if fault is None:
            # All that the machine would do, and what nearly every call ends in.
            self._window.reset_counter()
            return
        with suppress(_Failed, CircuitBreakerError):
            self._machine.call(_fail)

    async def _tried(
        self, ask: Callable[[], Awaitable[AnswerT]], fault_of: Callable[[AnswerT], Fault | None]
    ) -> AnswerT:
        answers: list[AnswerT] = []

        async def judged() -> None:
            fault: Fault | None = _BUG
            try:
                answers.append(await ask())
                fault = fault_of(answers[0])
            finally:
                # Between this and its being counted nothing awaits.
                self._window.said = fault
            if fault is not None:
                raise _Failed

        self._has_trial = True
        try:
            await self._machine.call_async(judged)
        except (_Failed, CircuitBreakerError):
            if not answers:
                raise
        finally:
            self._has_trial = False
        return answers[0]

    def _deferred(self, rest_s: float) -> Deferred:
        return Deferred(self._window.fault.state.value, rest_s)


class _Failed(Exception):
    """Tells aiobreaker, which knows failures by their being raised."""


def _fail() -> None:
    raise _Failed


_BUG: Final = Fault(ProviderState.CIRCUIT_OPEN, "calls end with an error of our own")
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
        self._last: deque[Fault | None] = deque(maxlen=policy.window_calls)
        self._openings = 0
        # What is to be said of the call that is counted now, and of the one that opened it last.
        self.said: Fault | None = None
        self.fault = _BUG
        self.reopens_at = -math.inf

    @property
    def state(self) -> CircuitBreakerState:
        return self._state

    @state.setter
    def state(self, state: CircuitBreakerState) -> None:
        self._state = state
        self._last.clear()
        if state is CircuitBreakerState.CLOSED:
            self._openings = 0

    def increment_counter(self) -> None:
        self._record(self.said)

    def reset_counter(self) -> None:
        # aiobreaker's word for a success.
        self._record(self.said)

    @property
    def counter(self) -> int:
        is_full = len(self._last) == self._policy.window_calls
        failed = sum(each is not None for each in self._last)
        has_failed = is_full and failed >= self._policy.failed_share_min * self._policy.window_calls
        return _TRIPPED if has_failed or self._is_turned_away else 0

    @property
    def opened_at(self) -> datetime:
        return datetime.min  # noqa: DTZ901 - aiobreaker compares with naive times

    @opened_at.setter
    def opened_at(self, _its_clock: datetime) -> None:
        self.fault = self.said or _BUG
        self._openings += 1
        self.reopens_at = self._clock() + self._pause_s

    @property
    def _is_turned_away(self) -> bool:
        """Whether the last calls failed alike, for a reason that lies before the provider."""
        count = self._policy.turned_away_in_a_row
        states = {each.state if each else None for each in list(self._last)[-count:]}
        return len(self._last) >= count and len(states) == 1 and states <= _TURNED_AWAY

    @property
    def _pause_s(self) -> float:
        if self.fault.state not in _TURNED_AWAY:
            return self._policy.open_s
        doubled = self._policy.probe_s * 2.0 ** min(self._openings - 1, 30)
        return min(doubled, self._policy.probe_s_max)

    def _record(self, fault: Fault | None) -> None:
        if self._state is CircuitBreakerState.CLOSED:
            self._last.append(fault)


_TURNED_AWAY: Final = frozenset({ProviderState.UNREACHABLE, ProviderState.REFUSING_CREDENTIALS})
