"""Claimed work on its way through a provider: paced, traced, and recorded whatever happens.

A call belongs to nobody's stream any more: its claim is in Postgres, its event is
acknowledged. It ends with its outcome recorded; if this process dies first, the
lease runs out and the schedule sends the work to an inquiry.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final, Self

import structlog

from agents.durably import submit_durably
from agents.provider_work.provider_stage import ask, inquire, settling
from payments.outcome import MAKES_A_PAYMENT, Deferred, NotFound, Outcome, Unknown, Unresolvable
from payments.record import Struct
from providers.circuits import circuit_of
from store.write.group_commit import Submission
from telemetry.tracing import Trace, current_trace, remote_parent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from uuid import UUID

    from opentelemetry.trace import Tracer

    from agents.provider_work.locks import Locks
    from payments.dead_letter import SourceMessage
    from payments.decision import Claimed
    from payments.outcome import Operation
    from providers.gateway import Gateway
    from providers.health import Health
    from providers.protected import Protected
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

log = structlog.get_logger()

# Whoever holds it is at its call, and done with it within seconds.
_LOCKED_RETRY_S: Final = 1.0
# An answer that is not recorded within this time waits for somebody who holds its account, or for
# Postgres: it takes up no call's room any more, while so many wait like it at the most.
_HELD_S: Final = 1.0
_BEHIND_MAX: Final = 10_000


class Answer(Struct, frozen=True):
    """What an attempt ended in, and whether it ended with the question about an earlier one."""

    outcome: Outcome
    is_of_inquiry: bool = False


@dataclass(frozen=True, slots=True)
class Tools:
    """What every call uses."""

    committer: GroupCommitter
    gateways: Mapping[str, Protected]
    locks: Locks
    metrics: Metrics
    tracer: Tracer


class ProviderCalls:
    """The calls in flight, so many a provider; leaving the context waits for them."""

    def __init__(self, stage: str, tools: Tools) -> None:
        self._stage = stage
        self._tools = tools
        self._tasks = asyncio.TaskGroup()
        self._by_provider: Counter[str] = Counter()
        self._by_circuit: Counter[tuple[str, str]] = Counter()
        # Attempts with an answer that is not recorded yet, and that take up no room.
        self._behind: set[UUID] = set()
        self._changed = asyncio.Event()
        tools.metrics.stage.begin_work(stage)
        self._gauge = tools.metrics.stage.in_flight.labels(stage)
        self._seconds = tools.metrics.stage.handler_seconds.labels(stage)
        for name, gateway in tools.gateways.items():
            allowed = tools.metrics.stage.calls_allowed.labels(stage, name)
            allowed.set_function(partial(_allowed, gateway.health))

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for every call to be recorded."""
        await self._tasks.__aexit__(kind, error, trace)

    def knows(self, provider: str) -> bool:
        """Whether there is such a provider."""
        return provider in self._tools.gateways

    async def room(self, provider: str, operation: Operation | None) -> int:
        """Wait until the provider may be asked to do more; how much more.

        While it is not well this is not to be had but for one call at a time, and that seldom:
        what waits for it is not claimed, so it costs no attempt, no lease and no event.
        """
        health = self._tools.gateways[provider].health
        circuit = (provider, circuit_of(operation) if operation else "")
        while True:
            in_flight, in_circuit = self._by_provider[provider], self._by_circuit[circuit]
            admission = health.admits(operation, in_flight, in_circuit)
            if admission.calls:
                return admission.calls
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(admission.wait_s):
                    await self._changed.wait()

    def start(self, claimed: Claimed, source: SourceMessage) -> None:
        """Make the call and record its outcome, in a task of its own."""
        self._count(claimed, +1)
        task = self._tasks.create_task(self._made(claimed, source))
        task.add_done_callback(lambda _: self._ended(claimed))

    def _ended(self, claimed: Claimed) -> None:
        if claimed.attempt.id not in self._behind:
            self._count(claimed, -1)
        self._behind.discard(claimed.attempt.id)
        self._show()

    def _leave_behind(self, claimed: Claimed) -> None:
        """Make room for others: its call is over."""
        if len(self._behind) < _BEHIND_MAX:
            self._behind.add(claimed.attempt.id)
            self._count(claimed, -1)

    def _count(self, claimed: Claimed, change: int) -> None:
        attempt = claimed.attempt
        self._by_provider[attempt.provider] += change
        self._by_circuit[attempt.provider, circuit_of(attempt.operation)] += change
        self._changed.set()
        self._show()

    def _show(self) -> None:
        self._gauge.set(self._by_provider.total() + len(self._behind))

    async def _made(self, claimed: Claimed, source: SourceMessage) -> None:
        started = perf_counter()
        payment_id, stage = claimed.payment.id, self._stage
        parent = remote_parent(Trace.carried_by(source.headers))
        with (
            structlog.contextvars.bound_contextvars(payment_id=str(payment_id)),
            self._tools.tracer.start_as_current_span(f"{stage} attempt", context=parent) as span,
        ):
            span.set_attribute("payment.id", str(payment_id))
            answer = await self._locked(claimed)
            recording = asyncio.get_running_loop().call_later(_HELD_S, self._leave_behind, claimed)
            try:
                kind = await self._recorded(claimed, answer, source)
            finally:
                recording.cancel()
            log.info("attempt settled", stage=stage, outcome=kind, number=claimed.attempt.number)
        self._tools.metrics.stage.processed.labels(stage, kind).inc()
        self._seconds.observe(perf_counter() - started)

    async def _recorded(self, claimed: Claimed, answer: Answer, source: SourceMessage) -> str:
        """Record the outcome, or that nobody knows it; the name of what was recorded."""
        unrecordable = Unknown("unrecordable_outcome", type(answer.outcome).__name__)
        for each in (answer.outcome, unrecordable):
            command = settling(claimed, each, source, is_of_inquiry=answer.is_of_inquiry)
            tenant = claimed.payment.tenant_id
            submission = Submission(command, trace=current_trace(), tenant=tenant)
            try:
                await submit_durably(self._tools.committer, submission)
            except Exception:
                # One payment's answer that no column holds must not end everybody's calls.
                log.exception("an outcome could not be recorded", stage=self._stage)
            else:
                return type(each).__name__.lower()
        # The lease runs out, and the provider is asked again.
        return "unrecorded"

    async def _locked(self, claimed: Claimed) -> Answer:
        attempt, locks = claimed.attempt, self._tools.locks
        subject_id = attempt.refund_id or attempt.payment_id
        if attempt.number == 1:
            with locks.shown(subject_id):
                return await self._answered(claimed)
        async with locks.held(subject_id) as ours:
            if not ours:
                return Answer(Deferred("locked_elsewhere", _LOCKED_RETRY_S))
            return await self._answered(claimed)

    async def _answered(self, claimed: Claimed) -> Answer:
        try:
            return await self._asked(self._tools.gateways[claimed.attempt.provider], claimed)
        except Exception as error:
            # A bug between us and the provider: it may have been asked, so nobody knows.
            log.exception("a provider call failed")
            return Answer(Unknown("internal_error", type(error).__name__))

    async def _asked(self, gateway: Gateway, claimed: Claimed) -> Answer:
        if claimed.attempt.inquiry:
            found = await inquire(gateway, claimed)
            if not isinstance(found, NotFound):
                return Answer(found, is_of_inquiry=True)
            if _may_be_forgotten(gateway, claimed):
                forgotten = "found nothing, and the key may be forgotten"
                return Answer(Unresolvable("key_window_passed", forgotten), is_of_inquiry=True)
        return Answer(await ask(gateway, claimed))


def _allowed(health: Health) -> float:
    return health.allowed


def _may_be_forgotten(gateway: Gateway, claimed: Claimed) -> bool:
    """Whether to ask again could be to do it twice, though the inquiry found nothing.

    Past its window the provider may have forgotten the key that names a new payment. What is
    asked of one that exists is guarded by that object, which the inquiry has just read.
    """
    first_asked_at = claimed.payment.progress.first_asked_at
    if claimed.attempt.operation not in MAKES_A_PAYMENT or first_asked_at is None:
        return False
    age = claimed.attempt.started_at - first_asked_at
    return age.total_seconds() > gateway.capabilities.key_window_s
