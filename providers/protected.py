"""A Gateway that is safe to lean on: its health is asked and told, and there is a deadline.

What is not asked at all is `Deferred`; what is asked ends within its deadline. Providers
share nothing, so one that hangs fills its own slots only. Every call is a client span, a
count and a duration, and what goes wrong is a log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter
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
from payments.payment import Provider
from payments.record import replace
from payments.standing import Standing
from providers.breaker import BreakerPolicy
from providers.circuits import INQUIRE
from providers.gateway import (
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
from providers.health import Clocks, Health
from telemetry.metrics import Metrics
from telemetry.tracing import Trace, current_traceparent, remote_parent

log = structlog.get_logger()

NO_CAPACITY: Final = "no_capacity"

RequestT = TypeVar("RequestT", ChargeRequest, CaptureRequest, VoidRequest, RefundRequest, Inquiry)
AnswerT = TypeVar("AnswerT", Outcome, InquiryOutcome)
AnyT = TypeVar("AnyT")
AnyQuery = AnyRequest | StandingQuery
Ending = InquiryOutcome | Standing


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
        clocks: Clocks | None = None,
    ) -> None:
        self.name = gateway.name
        self.capabilities = gateway.capabilities
        self._gateway = gateway
        self._limits = limits
        self._metrics = metrics.provider
        self._tracer = tracer
        self._in_flight = self._metrics.in_flight.labels(self.name)
        self._slots = asyncio.Semaphore(limits.concurrent_calls_max)
        self.health = Health(
            Provider(self.name), limits.concurrent_calls_max, limits.breaker, clocks
        )
        self.health.show(self._metrics)

    async def charge(self, request: ChargeRequest) -> Outcome:
        return await self._call("charge", request, self._gateway.charge)

    async def capture(self, request: CaptureRequest) -> Outcome:
        return await self._call("capture", request, self._gateway.capture)

    async def void(self, request: VoidRequest) -> Outcome:
        return await self._call("void", request, self._gateway.void)

    async def refund(self, request: RefundRequest) -> Outcome:
        return await self._call("refund", request, self._gateway.refund)

    async def inquire(self, inquiry: Inquiry) -> InquiryOutcome:
        return await self._call(INQUIRE, inquiry, self._gateway.inquire)

    async def look(self, query: StandingQuery) -> Look:
        """As asked: it moves nothing, so that what it ends in says nothing of those who pay."""
        with self._span("look", query) as span:
            traced = replace(query, traceparent=current_traceparent() or query.traceparent)
            found = await self._in_turn(
                lambda: self._ask("look", lambda: self._gateway.look(traced))
            )
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
        if (refusal := self.health.refusal(operation)) is not None:
            return refusal
        return await self._in_turn(
            lambda: self.health.call(operation, lambda: self._ask(operation, ask))
        )

    async def _in_turn(self, ask: Callable[[], Awaitable[AnyT]]) -> AnyT | Deferred:
        try:
            # A place that is free costs no timer.
            async with asyncio.timeout(self._limits.turn_s_max if self._slots.locked() else None):
                await self._slots.acquire()
        except TimeoutError:
            return Deferred(NO_CAPACITY, self._limits.no_capacity_retry_s)
        try:
            return await ask()
        finally:
            self._slots.release()

    async def _ask(self, operation: str, ask: Callable[[], Awaitable[AnyT]]) -> AnyT | Unknown:
        """The answer, or that it was given up: a gateway's own timeouts should come first."""
        started = perf_counter()
        self._in_flight.inc()
        try:
            async with asyncio.timeout(self._limits.call_s_max):
                return await ask()
        except TimeoutError:
            return Unknown(Trouble.DEADLINE, "given up at the deadline")
        finally:
            self._in_flight.dec()
            self._metrics.seconds.labels(self.name, operation).observe(perf_counter() - started)

    def _span(self, operation: str, request: AnyQuery) -> AbstractContextManager[Span]:
        """A client span, in the request's own trace if it names one, else in the current one."""
        attributes = {"payment.id": str(request.payment_id), "payment.provider": self.name}
        if isinstance(request, RefundRequest | Inquiry) and request.refund_id is not None:
            attributes["refund.id"] = str(request.refund_id)
        return self._tracer.start_as_current_span(
            f"{self.name} {operation}",
            context=remote_parent(Trace(request.traceparent)) if request.traceparent else None,
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )

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
