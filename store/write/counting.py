"""Counts what was committed, once, in whichever process committed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payments.commands import SettleRefund, WakeRefund
from payments.dead_letter import DeadLetterState
from payments.decision import Decision, RefusalCode, Refused
from payments.events import EventType
from payments.payment import TERMINAL, PaymentStatus
from payments.resolution import ResolveRefund
from topics.names import STAGES

if TYPE_CHECKING:
    from payments.commands import Command
    from payments.events import Event
    from payments.payment import Payment
    from payments.refund import Refund
    from telemetry.metrics import Metrics

_ACCEPTED: Final = frozenset({EventType.PAYMENT_CREATED, EventType.TRANSFER_COMPLETED})
_FINISHED: Final = frozenset(
    {
        EventType.PAYMENT_COMPLETED,
        EventType.PAYMENT_CAPTURED_ELSEWHERE,
        EventType.PAYMENT_FAILED,
        EventType.PAYMENT_CANCELLED,
        EventType.TRANSFER_COMPLETED,
    }
)

# A letter of a stranger's may name anything, and each name would be a series of its own.
_STAGES: Final = frozenset(each.name for each in STAGES)
_NO_STAGE: Final = "other"

# What stages are told of duplicates, and anybody of what is not there.
_NO_ERROR: Final = frozenset(
    {
        RefusalCode.NOT_CLAIMABLE,
        RefusalCode.BEHIND_DEAD_LETTER,
        RefusalCode.PAYMENT_NOT_FOUND,
        RefusalCode.REFUND_NOT_FOUND,
    }
)


def count(command: Command, outcome: Decision | Refused, metrics: Metrics) -> None:
    """Count what became of a command; to be called after the commit, never before."""
    if isinstance(outcome, Refused):
        if outcome.code not in _NO_ERROR:
            metrics.payments.errors.labels("refused", outcome.code.value).inc()
        return
    for event in outcome.events:
        _count_event(event, metrics)
    _count_work(command, outcome, metrics)
    for letter in outcome.dead_letters:
        if letter.state is DeadLetterState.PARKED and letter.version == 1:
            stage = letter.stage if letter.stage in _STAGES else _NO_STAGE
            metrics.stage.dead_letters.labels(stage, letter.reason.value).inc()


def _count_work(command: Command, outcome: Decision, metrics: Metrics) -> None:
    """Only the command knows whose work it was: a refund's outcome may change its payment too."""
    stage = "refund" if isinstance(command, SettleRefund | WakeRefund | ResolveRefund) else "charge"
    for result in outcome.attempt_results:
        if result.outcome == "lease_expired":
            metrics.stage.lease_expiries.labels(stage).inc()
    put_off: list[Payment | Refund] = [
        each.payment for each in outcome.events if each.type is EventType.RETRY_SCHEDULED
    ]
    if isinstance(command, SettleRefund) and not outcome.events:
        put_off = [*outcome.refunds]  # a refund's retries are no events of its payment
    for each in put_off:
        reason = each.last_error_code or "deferred"
        metrics.stage.retries_scheduled.labels(stage, reason).inc()


def _count_event(event: Event, metrics: Metrics) -> None:
    payment, counted = event.payment, metrics.payments
    provider = payment.provider or "none"
    if event.type in _ACCEPTED:
        counted.accepted.labels(payment.payment_type.value, provider).inc()
    if event.type in _FINISHED:
        counted.finished.labels(payment.status.value, provider).inc()
    if event.type in _FINISHED and payment.status in TERMINAL:
        seconds = (payment.updated_at - payment.created_at).total_seconds()
        counted.accept_to_terminal.labels(provider).observe(seconds)
    if payment.status is PaymentStatus.FAILED and event.type in _FINISHED:
        counted.errors.labels("failed", payment.last_error_code or "none").inc()
    if event.refund is not None:
        counted.refunds.labels(event.refund.status.value, provider).inc()
