"""What follows from a provider's notification: ask sooner, doubt what is closed, or nothing.

A hint moves no money and closes nothing. What is open is made due, so that the ordinary
inquiry asks; what is closed otherwise is doubted, and only the provider's own answer to a
question (`confront_*`) makes a dead letter of it, or ends an authorization it let go.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never

from payments.change import changed
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.authorization import lapse
from payments.decisions.provider_work.payment import contradicts
from payments.decisions.provider_work.refund import touched
from payments.events import EventType
from payments.ids import dead_letter_id
from payments.money import Money
from payments.notification import (
    NotificationEffect,
    NotificationTaken,
    ProviderNotification,
    Question,
    RecordedNotification,
    Reported,
)
from payments.outcome import Declined, NotFound, Operation, Succeeded, Unknown
from payments.payment import CAPTURED, OPEN, CaptureMethod, Payment, PaymentStatus
from payments.refund import REFUND_OPEN, Refund, RefundStatus

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.commands import ComparePayment, CompareRefund, NotifyPayment, NotifyRefund
    from payments.outcome import Finding
    from payments.progress import Progress

STAGE: Final = "webhooks"
_REASONS: Final = {
    NotificationEffect.CONTRADICTION: DeadLetterReason.CONTRADICTION,
    NotificationEffect.UNRESOLVED: DeadLetterReason.OUTCOME_UNRESOLVED,
}


def notify_payment(command: NotifyPayment, state: State, at: Context) -> Decision | Refused:
    """Make an open payment due; doubt a closed one that the provider speaks of otherwise."""
    event = command.event
    payment = _payment(command.payment_id, event, state)
    if isinstance(payment, Refused):
        return payment
    if event.key in state.provider_events:
        return Decision(NotificationTaken(NotificationEffect.DUPLICATE, payment))
    if payment.operation is None:
        question = _question_about(payment, event)
        if question is not None:
            return Decision(NotificationTaken(NotificationEffect.DOUBTED, payment, None, question))
        return _noted(event, NotificationEffect.NOTHING, at, payment)
    until = _sooner(payment.progress, at, is_open=payment.status in OPEN)
    if until is None:
        return _noted(event, NotificationEffect.NOTHING, at, payment)
    hinted = replace(payment, progress=replace(payment.progress, due_at=until))
    change = changed(hinted, EventType.HINTED, at)
    noted = _noted(event, NotificationEffect.ASKED, at, change.payment)
    return replace(noted, payments=(change.payment,), events=(change.event,))


def notify_refund(command: NotifyRefund, state: State, at: Context) -> Decision | Refused:
    """Make an open refund due; doubt a closed one that the provider speaks of otherwise."""
    event = command.event
    refund = _refund(command.refund_id, event, state)
    if isinstance(refund, Refused):
        return refund
    payment = state.payments[refund.payment_id]
    if event.key in state.provider_events:
        return Decision(NotificationTaken(NotificationEffect.DUPLICATE, payment, refund))
    if refund.progress.due_at is None:
        if _differs(refund, event.reported):
            question = Question(Operation.REFUND, refund.amount, payment.provider_reference)
            return Decision(
                NotificationTaken(NotificationEffect.DOUBTED, payment, refund, question)
            )
        return _noted(event, NotificationEffect.NOTHING, at, payment, refund)
    until = _sooner(refund.progress, at, is_open=refund.status in REFUND_OPEN)
    if until is None:
        return _noted(event, NotificationEffect.NOTHING, at, payment, refund)
    hinted = touched(replace(refund, progress=replace(refund.progress, due_at=until)), at)
    return replace(_noted(event, NotificationEffect.ASKED, at, payment, hinted), refunds=(hinted,))


def compare_payment(command: ComparePayment, state: State, at: Context) -> Decision | Refused:
    """Hold what the provider answered against a payment that is closed."""
    event = command.event
    payment = _payment(command.payment_id, event, state)
    if isinstance(payment, Refused):
        return payment
    if event.key in state.provider_events:
        return Decision(NotificationTaken(NotificationEffect.DUPLICATE, payment))
    if payment.operation is not None:
        # Redriven while the provider was asked: whoever works on it now will learn more.
        return _noted(event, NotificationEffect.NOTHING, at, payment)
    is_about_hold = payment.awaits_capture and command.operation is Operation.AUTHORIZE
    if is_about_hold and isinstance(command.found, Declined):
        ended = lapse(payment, command.found, state, at)
        (cancelled,) = ended.payments
        noted = _noted(event, NotificationEffect.LAPSED, at, cancelled)
        return replace(ended, result=noted.result, provider_events=noted.provider_events)
    effect = _effect(_is_contradicted(payment, command.operation, command.found), command.found)
    error = _error(event, command.operation, command.found, payment.status)
    return _answered(_noted(event, effect, at, payment), error, payment.progress)


def compare_refund(command: CompareRefund, state: State, at: Context) -> Decision | Refused:
    """Hold what the provider answered against a refund that is closed."""
    event = command.event
    refund = _refund(command.refund_id, event, state)
    if isinstance(refund, Refused):
        return refund
    payment = state.payments[refund.payment_id]
    if event.key in state.provider_events:
        return Decision(NotificationTaken(NotificationEffect.DUPLICATE, payment, refund))
    effect = _effect(_is_refund_contradicted(refund, command.found), command.found)
    error = _error(event, Operation.REFUND, command.found, refund.status)
    return _answered(_noted(event, effect, at, payment, refund), error, refund.progress)


def _sooner(progress: Progress, at: Context, *, is_open: bool) -> datetime | None:
    """When to ask instead; None where asking sooner is no use.

    A worker at its call is given a moment for its own answer, which is what the provider has
    just told the world. Who waits for a retry has a provider that certainly did nothing:
    asking it sooner than it wished would only burn the tries.
    """
    if progress.lease_id is not None:
        until = at.now + timedelta(seconds=at.policy.notification_patience_s)
    elif is_open:
        until = at.now
    else:
        return None
    return until if progress.due_at is None or until < progress.due_at else None


def _question_about(payment: Payment, event: ProviderNotification) -> Question | None:
    """What would settle the doubt, if what is said of a closed payment is not what we say."""
    manual = payment.capture_method is CaptureMethod.MANUAL
    taking = Operation.CAPTURE if manual else Operation.CHARGE
    taken = payment.status in CAPTURED
    known = payment.provider_reference
    match event.reported:
        case Reported.DONE if not taken:
            return Question(taking, payment.amount, event.reference or known)
        case Reported.NOT_DONE if taken:
            captured = Money(payment.captured_minor, payment.currency)
            return Question(taking, captured, known or event.reference)
        case Reported.NOT_DONE if payment.status is PaymentStatus.AUTHORIZED:
            return Question(Operation.AUTHORIZE, payment.amount, known or event.reference)
        case Reported.HELD if payment.status is PaymentStatus.FAILED:
            return Question(Operation.AUTHORIZE, payment.amount, event.reference or known)
        case Reported.DONE | Reported.NOT_DONE | Reported.HELD:
            return None
        case _:
            assert_never(event.reported)


def _is_contradicted(payment: Payment, operation: Operation, found: Finding) -> bool:
    if isinstance(found, Succeeded):
        return contradicts(payment, operation)
    if operation is Operation.AUTHORIZE:
        return payment.status is PaymentStatus.AUTHORIZED
    return payment.status in CAPTURED


def _is_refund_contradicted(refund: Refund, found: Finding) -> bool:
    given_back = refund.status is RefundStatus.COMPLETED
    return given_back is not isinstance(found, Succeeded)


def _effect(is_contradicted: bool, found: Finding) -> NotificationEffect:  # noqa: FBT001 - the first says what of the second
    if isinstance(found, Unknown):
        return NotificationEffect.UNRESOLVED
    return NotificationEffect.CONTRADICTION if is_contradicted else NotificationEffect.CONFIRMED


def _differs(refund: Refund, said: Reported) -> bool:
    return said is (Reported.NOT_DONE if refund.status is RefundStatus.COMPLETED else Reported.DONE)


def _error(
    event: ProviderNotification,
    operation: Operation,
    found: Finding,
    status: PaymentStatus | RefundStatus,
) -> str:
    match found:
        case Succeeded(reference):
            answer = f"it succeeded, as {reference}"
        case NotFound():
            answer = "nothing is known of it"
        case Declined(code, message) | Unknown(code, message):
            answer = f"{code}: {message}"
        case _:
            assert_never(found)
    return (
        f"{status.value} here, but asked after the {operation.value} {event.provider} "
        f"answers: {answer} (asked because of {event.type} {event.id})"
    )


def _answered(decision: Decision, error: str, progress: Progress) -> Decision:
    """With a letter where the answer is no confirmation.

    One an event, whose name stands in for what was sent: that holds more than may be passed on.
    """
    (noted,) = decision.provider_events
    reason = _REASONS.get(noted.effect)
    if reason is None:
        return decision
    event = noted.event
    named = {"event_id": event.id, "event_type": event.type, "reference": event.reference}
    letter = DeadLetter(
        id=dead_letter_id(STAGE, "/".join(event.key)),
        tenant_id=noted.tenant_id,
        stage=STAGE,
        reason=reason,
        error=error,
        source=SourceMessage(
            topic=f"{STAGE}/{event.provider}",
            partition=0,
            offset=0,
            key=str(noted.refund_id or noted.payment_id).encode(),
            value=json.dumps(named).encode(),
        ),
        attempts=progress.attempt_count,
        first_failed_at=noted.received_at,
        last_failed_at=noted.received_at,
        payment_id=noted.payment_id,
        refund_id=noted.refund_id,
    )
    return replace(decision, dead_letters=(letter,))


def _noted(
    event: ProviderNotification,
    effect: NotificationEffect,
    at: Context,
    payment: Payment,
    refund: Refund | None = None,
) -> Decision:
    refund_id = refund.id if refund else None
    noted = RecordedNotification(event, payment.tenant_id, payment.id, refund_id, effect, at.now)
    return Decision(NotificationTaken(effect, payment, refund), provider_events=(noted,))


def _payment(payment_id: UUID, event: ProviderNotification, state: State) -> Payment | Refused:
    payment = state.payments.get(payment_id)
    if payment is None or payment.provider != event.provider:
        what = f"{event.provider} has no payment {payment_id} of ours"
        return Refused(RefusalCode.PAYMENT_NOT_FOUND, what)
    return payment


def _refund(refund_id: UUID, event: ProviderNotification, state: State) -> Refund | Refused:
    refund = state.refunds.get(refund_id)
    if refund is None or refund.provider != event.provider:
        what = f"{event.provider} has no refund {refund_id} of ours"
        return Refused(RefusalCode.REFUND_NOT_FOUND, what)
    return refund
