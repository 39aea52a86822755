"""What one process knows of one provider: its circuits, what it bears at once, the state of both.

The claim asks here before it claims, each call before it is made, and each call's end is told:
so there is one truth of what may be asked of the provider now, and of why not. With nothing
heard for two minutes nobody waits for it, and it is taken to be well until it shows otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar, assert_never

import structlog

from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Deferred,
    InquiryOutcome,
    NotFound,
    Operation,
    Outcome,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
    Unresolvable,
)
from payments.payment import Provider
from payments.provider_state import SEVERITY, ProviderCondition, ProviderState
from payments.record import replace
from providers.breaker import Breaker, BreakerPolicy, CircuitState, Fault
from providers.circuits import CIRCUITS, INQUIRE, circuit_of
from providers.concurrency_limit import ConcurrencyLimit
from providers.gateway import PROVIDER_FAULTS, Trouble
from telemetry.metrics.pipeline import (
    BREAKER_CLOSED,
    BREAKER_HALF_OPEN,
    BREAKER_OPEN,
    ProviderMetrics,
)

log = structlog.get_logger()

# What waits is tried every half minute at the least.
_STALE_S: Final = 120.0
_GAUGE_VALUES: Final = {
    CircuitState.CLOSED: BREAKER_CLOSED,
    CircuitState.HALF_OPEN: BREAKER_HALF_OPEN,
    CircuitState.OPEN: BREAKER_OPEN,
}

AnswerT = TypeVar("AnswerT", Outcome, InquiryOutcome)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds that never go back, and the time of day."""

    seconds: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Admission:
    """How many calls may be begun now; if none, after how many seconds to ask again.

    `wait_s` None: not before one of the calls under way has ended.
    """

    calls: int
    wait_s: float | None = None


class Health:
    """One provider's, as this process knows it. For use on one event loop."""

    def __init__(
        self, provider: Provider, at_once: int, policy: BreakerPolicy, clocks: Clocks | None = None
    ) -> None:
        self._clocks = clocks or Clocks()
        self._limit = ConcurrencyLimit(at_once)
        self._breakers = {name: Breaker(policy, self._clocks.seconds) for name in CIRCUITS}
        self._in_flight = 0
        self._heard_at = self._clocks.seconds()
        self._told = ProviderCondition(provider, ProviderState.WELL, "", self._clocks.now())

    @property
    def allowed(self) -> int:
        """Calls at once that the provider has shown to bear."""
        return self._limit.allowed

    def condition(self) -> ProviderCondition:
        """Its state now, with what was heard last; a change is logged when it is first seen."""
        state, reason = self._seen()
        if state is self._told.state:
            self._told = replace(self._told, reason=reason)
            return self._told
        self._told = replace(self._told, state=state, reason=reason, since=self._clocks.now())
        say = log.info if state is ProviderState.WELL else log.warning
        provider = self._told.provider
        say("a provider's state changed", provider=provider, state=state.value, reason=reason)
        return self._told

    def admits(self, operation: Operation | None, in_flight: int, in_circuit: int) -> Admission:
        """What may be begun beside so many calls, `in_circuit` of them of the same circuit.

        A trial is asked for alone; and since it may have to inquire first, both circuits must
        let it through. Of an operation nobody knows only the pace is.
        """
        now = self._clocks.seconds()
        circuits = self._on_trial(operation)
        refusals = [refused for each in circuits if (refused := each.refusal())]
        rests = [self._limit.rests_until - now, *(each.retry_after_s for each in refusals)]
        if (rest_s := max(rests)) > 0:
            return Admission(0, rest_s)
        if circuits:
            return Admission(0 if in_circuit else 1)
        return Admission(max(0, self._limit.allowed - in_flight))

    def refusal(self, circuit: str) -> Deferred | None:
        """Why a call through the circuit would not be made now; None if it would."""
        return self._breakers[circuit].refusal()

    async def call(self, circuit: str, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT | Deferred:
        """Make the call unless the circuit is open, and learn from its end."""
        breaker, number = self._breakers[circuit], self._limit.begins()
        is_trial = breaker.state is not CircuitState.CLOSED
        self._in_flight += 1
        try:
            answer = await breaker.call(ask, fault_of)
        finally:
            self._in_flight -= 1
        self._learn(number, answer, is_trial=is_trial)
        return answer

    def show(self, metrics: ProviderMetrics) -> None:
        """Put state and circuits on the page of metrics, read anew at each scrape."""
        provider = self._told.provider
        for name, breaker in self._breakers.items():
            gauge = metrics.breaker_state.labels(provider, name)
            gauge.set_function(partial(_gauge_value, breaker))
        for state in ProviderState:
            metrics.state.labels(provider, state.value).set_function(partial(self._is, state))
        metrics.state_seconds.labels(provider).set_function(self._seconds)

    def _learn(self, number: int, answer: InquiryOutcome, *, is_trial: bool) -> None:
        if isinstance(answer, Deferred):
            return
        self._heard_at = now = self._clocks.seconds()
        # That a trial met no connection says nothing of how many calls there is one for.
        if not (is_trial and _is_not_sent(answer)):
            self._limit.heard(number, answer, in_flight=self._in_flight + 1, now=now)
        self.condition()

    def _on_trial(self, operation: Operation | None) -> list[Breaker]:
        """The circuits that are not closed, on the way of an operation that is not let through."""
        if operation is None:
            return []
        breaker = self._breakers[circuit_of(operation)]
        if breaker.state is CircuitState.CLOSED:
            return []
        inquiries = self._breakers[INQUIRE]
        return [breaker] if inquiries.state is CircuitState.CLOSED else [breaker, inquiries]

    def _seen(self) -> tuple[ProviderState, str]:
        if self._clocks.seconds() - self._heard_at > _STALE_S:
            return ProviderState.WELL, ""
        faults = [fault for each in self._breakers.values() if (fault := each.fault)]
        if faults:
            worst = max(faults, key=lambda fault: SEVERITY[fault.state])
            return worst.state, worst.reason
        if self._limit.is_limited:
            return ProviderState.LIMITED, self._limit.reason
        return ProviderState.WELL, ""

    def _is(self, state: ProviderState) -> float:
        return self.condition().state is state

    def _seconds(self) -> float:
        return max(0.0, (self._clocks.now() - self.condition().since).total_seconds())


def fault_of(outcome: InquiryOutcome) -> Fault | None:
    """What an outcome says against the provider; a decline, and not finding anything, are answers.

    A limited rate is no fault: the provider answers, promptly, and says itself when to come
    back; to open the circuit would stop the calls it still accepts.
    """
    match outcome:
        case Retriable(Trouble.NOT_SENT, message):
            return Fault(ProviderState.UNREACHABLE, message)
        case Retriable(Trouble.UNAUTHORIZED | Trouble.FORBIDDEN, message):
            return Fault(ProviderState.REFUSING_CREDENTIALS, message)
        case Retriable(code, message) | Unknown(code, message):
            is_fault = code in PROVIDER_FAULTS
            return Fault(ProviderState.CIRCUIT_OPEN, message) if is_fault else None
        case Declined() | Deferred() | NotFound() | Pending() | Unresolvable():
            return None
        case Succeeded() | CapturedElsewhere():
            return None
        case _:
            assert_never(outcome)


def _is_not_sent(outcome: InquiryOutcome) -> bool:
    return isinstance(outcome, Retriable) and outcome.code == Trouble.NOT_SENT


def _gauge_value(breaker: Breaker) -> float:
    return _GAUGE_VALUES[breaker.state]
