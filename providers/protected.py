"""A Gateway that is safe to lean on: circuit breakers, a bound on concurrency, a deadline.

What is not asked at all is `Deferred`; what is asked ends within its deadline. Providers
share nothing, so one that hangs fills its own slots only. Every call is a client span, a
count and a duration, and what goes wrong is a log line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar, assert_never

import structlog
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Deferred,
    InquiryOutcome,
    NotFound,
    Outcome,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
    Unresolvable,
)
from payments.standing import Standing
from providers.breaker import Breaker, BreakerPolicy, CircuitState
from providers.gateway import (
    PROVIDER_FAULTS,
    AnyRequest,
    CaptureRequest,
    ChargeRequest,
    Gateway,
    Inquiry,
    Look,
    RefundRequest,
    StandingQuery,
    Trouble,
    VoidRequest,
)
from telemetry.metrics import Metrics
from telemetry.metrics.pipeline import BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN
from telemetry.tracing import current_traceparent, remote_parent

log = structlog.get_logger()

NO_CAPACITY: Final = "no_capacity"
_OPERATIONS: Final = ("charge", "capture", "void", "refund", "inquire", "look")
_GAUGE_VALUES: Final = {
    CircuitState.CLOSED: BREAKER_CLOSED,
    CircuitState.HALF_OPEN: BREAKER_HALF_OPEN,
    CircuitState.OPEN: BREAKER_OPEN,
}

AnyQuery = AnyRequest | StandingQuery
Ending = InquiryOutcome | Standing
RequestT = TypeVar("RequestT", ChargeRequest, CaptureRequest, VoidRequest, RefundRequest, Inquiry)
AnswerT = TypeVar("AnswerT", Outcome, InquiryOutcome, Look)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one provider may cost us.

    `concurrent_calls_max` is how many calls may be under way at once. A call waits
    `turn_s_max` for its turn and then takes `call_s_max`: separate, so that a call whose
    turn comes late is not cut short, into doubt; together well within a claim's lease.
    """

    concurrent_calls_max: int = 64
    turn_s_max: float = 5.0
    call_s_max: float = 20.0
    # For a call whose turn did not come. It has waited already, so it may come back soon.
    no_capacity_retry_s: float = 1.0
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


class Protected:
    """A gateway behind its limits, itself a Gateway. For use on one event loop."""

    def __init__(
        self,
        gateway: Gateway,
        limits: Limits,
        metrics: Metrics,
        tracer: Tracer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = gateway.name
        self.capabilities = gateway.capabilities
        self._gateway = gateway
        self._limits = limits
        self._metrics = metrics.provider
        self._tracer = tracer
        self._slots = asyncio.Semaphore(limits.concurrent_calls_max)
        self._breakers = {name: Breaker(limits.breaker, clock) for name in _OPERATIONS}
        for operation, breaker in self._breakers.items():
            gauge = self._metrics.breaker_state.labels(self.name, operation)
            # Read at each scrape: an open circuit becomes half-open without anything happening.
            gauge.set_function(partial(_gauge_value, breaker))

    async def charge(self, request: ChargeRequest) -> Outcome:
        return await self._call("charge", request, self._gateway.charge)

    async def capture(self, request: CaptureRequest) -> Outcome:
        return await self._call("capture", request, self._gateway.capture)

    async def void(self, request: VoidRequest) -> Outcome:
        return await self._call("void", request, self._gateway.void)

    async def refund(self, request: RefundRequest) -> Outcome:
        return await self._call("refund", request, self._gateway.refund)

    async def inquire(self, inquiry: Inquiry) -> InquiryOutcome:
        return await self._call("inquire", inquiry, self._gateway.inquire)

    async def look(self, query: StandingQuery) -> Look:
        with self._span("look", query) as span:
            traced = replace(query, traceparent=current_traceparent() or query.traceparent)
            found = await self._limited("look", lambda: self._gateway.look(traced))
            self._report(span, query, "look", found)
            return found

    async def aclose(self) -> None:
        await self._gateway.aclose()

    async def _call(
        self,
        operation: str,
        request: RequestT,
        ask: Callable[[RequestT], Awaitable[AnswerT]],
    ) -> AnswerT | Declined | Deferred | Unknown:
        """Ask what it can be asked under all limits, seen by whoever watches."""
        with self._span(operation, request) as span:
            # The provider's own spans, and its logs, hang below ours.
            traced = replace(request, traceparent=current_traceparent() or request.traceparent)
            outcome = self.capabilities.refusal(request) or await self._limited(
                operation, lambda: ask(traced)
            )
            self._report(span, request, operation, outcome)
            return outcome

    async def _limited(
        self, operation: str, ask: Callable[[], Awaitable[AnswerT]]
    ) -> AnswerT | Deferred | Unknown:
        """Wait for a turn, unless the circuit is open; then ask, if it still is not."""
        breaker = self._breakers[operation]
        if (refusal := breaker.refusal()) is not None:
            return refusal
        try:
            async with asyncio.timeout(self._limits.turn_s_max):
                await self._slots.acquire()
        except TimeoutError:
            return Deferred(NO_CAPACITY, self._limits.no_capacity_retry_s)
        try:
            return await breaker.call(lambda: self._ask(operation, ask), _is_fault)
        finally:
            self._slots.release()

    async def _ask(
        self, operation: str, ask: Callable[[], Awaitable[AnswerT]]
    ) -> AnswerT | Unknown:
        """The answer, or that it was given up: a gateway's own timeouts should come first."""
        try:
            with (
                self._metrics.in_flight.labels(self.name).track_inprogress(),
                self._metrics.seconds.labels(self.name, operation).time(),
            ):
                async with asyncio.timeout(self._limits.call_s_max):
                    return await ask()
        except TimeoutError:
            return Unknown(Trouble.DEADLINE, "given up at the deadline")

    @contextmanager
    def _span(self, operation: str, request: AnyQuery) -> Iterator[Span]:
        """A client span, in the request's own trace if it names one, else in the current one."""
        attributes = {"payment.id": str(request.payment_id), "payment.provider": self.name}
        if isinstance(request, RefundRequest | Inquiry) and request.refund_id is not None:
            attributes["refund.id"] = str(request.refund_id)
        with self._tracer.start_as_current_span(
            f"{self.name} {operation}",
            context=remote_parent(request.traceparent) if request.traceparent else None,
            kind=SpanKind.CLIENT,
            attributes=attributes,
        ) as span:
            yield span

    def _report(self, span: Span, request: AnyQuery, operation: str, outcome: Ending) -> None:
        name, code, message = _words(outcome)
        self._metrics.calls.labels(self.name, operation, name).inc()
        span.set_attribute("payment.outcome", name)
        if code:
            span.set_attribute("payment.outcome_code", code)
        if name in _TROUBLED:
            span.set_status(Status(StatusCode.ERROR, code))
            log.warning(
                "provider call went wrong",
                provider=self.name,
                operation=operation,
                payment_id=str(request.payment_id),
                outcome=name,
                code=code,
                reason=message,
            )


def _gauge_value(breaker: Breaker) -> float:
    return _GAUGE_VALUES[breaker.state]


def _is_fault(outcome: Ending) -> bool:
    """Whether the provider is to blame; a decline, and not finding anything, are answers."""
    match outcome:
        case Retriable(code) | Unknown(code):
            return code in PROVIDER_FAULTS
        case Declined() | Deferred() | NotFound() | Pending() | Unresolvable():
            return False
        case Succeeded() | CapturedElsewhere() | Standing():
            return False
        case _:
            assert_never(outcome)


_TROUBLED: Final = frozenset({"retriable", "unknown"})


def _words(outcome: Ending) -> tuple[str, str, str]:
    """Name, code and message of an outcome: the first for a label, all for a log line."""
    match outcome:
        case Succeeded():
            return "succeeded", "", ""
        case Standing():
            return "found", "", ""
        case CapturedElsewhere(reference):
            return "captured_elsewhere", "", reference
        case Pending(code, message):
            return "pending", code, message
        case Declined(code, message):
            return "declined", code, message
        case Retriable(code, message):
            return "retriable", code, message
        case Deferred(reason):
            return "deferred", reason, ""
        case Unknown(code, message) | Unresolvable(code, message):
            return "unknown", code, message
        case NotFound():
            return "not_found", "", ""
        case _:
            assert_never(outcome)
