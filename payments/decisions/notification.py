"""What follows from a provider's notification: ask sooner, doubt what is closed, or nothing.

A hint moves no money and closes nothing. What is open is made due, so that the ordinary
inquiry asks; what is closed otherwise is doubted, and only how it stands at its provider
(`observe_payment`) changes anything.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never

from payments.change import changed
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.observation import observed
from payments.decisions.provider_work.refund import touched
from payments.events import EventType
from payments.ids import dead_letter_id
from payments.notification import (
    NotificationEffect,
    NotificationTaken,
    ProviderNotification,
    RecordedNotification,
    Reported,
)
from payments.outcome import Unknown
from payments.payment import CAPTURED, OPEN, Payment, PaymentStatus
from payments.record import replace
from payments.refund import REFUND_OPEN, Refund, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from payments.commands import NotifyPayment, NotifyRefund, ObservePayment
    from payments.progress import Progress

STAGE: Final = "webhooks"


def notify_payment(command: NotifyPayment, state: State, at: Context) -> Decision | Refused:
    """Make an open payment due; doubt a closed one that the provider speaks of otherwise."""
    event = command.event
    payment = _payment(command.payment_id, event, state)
    if isinstance(payment, Refused):
        return payment
    if event.key in state.provider_events:
        return Decision(NotificationTaken(NotificationEffect.DUPLICATE, payment))
    if payment.operation is None:
        if _is_doubted(payment, event):
            return _doubted(payment, event)
        return _noted(event, NotificationEffect.NOTHING, at, payment)
    until = _sooner(payment.progress, at, is_open=payment.status in OPEN)
    if until is None:
        return _kept(_noted(event, NotificationEffect.NOTHING, at, payment))
    hinted = replace(payment, progress=replace(payment.progress, due_at=until))
    change = changed(hinted, EventType.HINTED, at)
    noted = _kept(_noted(event, NotificationEffect.ASKED, at, change.payment))
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
        if _differs(refund, event):
            return _doubted(payment, event, refund)
        return _noted(event, NotificationEffect.NOTHING, at, payment, refund)
    until = _sooner(refund.progress, at, is_open=refund.status in REFUND_OPEN)
    if until is None:
        return _noted(event, NotificationEffect.NOTHING, at, payment, refund)
    hinted = touched(replace(refund, progress=replace(refund.progress, due_at=until)), at)
    return replace(_noted(event, NotificationEffect.ASKED, at, payment, hinted), refunds=(hinted,))


def observe_payment(command: ObservePayment, state: State, at: Context) -> Decision | Refused:
    """Have the books follow what its provider showed, and a person what they cannot follow."""
    event = command.event
    payment = _payment(command.payment_id, event, state)
    if isinstance(payment, Refused):
        return payment
    if event.key in state.provider_events:
        return Decision(NotificationTaken(NotificationEffect.DUPLICATE, payment))
    if payment.operation is not None or payment.version != command.seen_version:
        # It went on while it was looked at: what was seen may be older than what is known.
        return Decision(NotificationTaken(NotificationEffect.DOUBTED, payment))
    if isinstance(command.found, Unknown):
        problems = [f"{command.found.code}: {command.found.message}"]
        noted = _noted(event, NotificationEffect.UNRESOLVED, at, payment)
        return _told(noted, DeadLetterReason.OUTCOME_UNRESOLVED, problems)
    followed, problems = observed(payment, command.found, state, at)
    after = followed.payments[-1] if followed.payments else payment
    if problems:
        noted = _noted(event, NotificationEffect.CONTRADICTION, at, after)
        return followed.then(_told(noted, DeadLetterReason.CONTRADICTION, problems))
    effect = NotificationEffect.RECORDED if followed.payments else NotificationEffect.CONFIRMED
    return followed.then(_noted(event, effect, at, after))


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


def _kept(noted: Decision) -> Decision:
    """Not taken yet, if it says that more has changed than whoever works on it will ask about.

    Delivered again when that has ended, it is looked at.
    """
    (record,) = noted.provider_events
    assert isinstance(noted.result, NotificationTaken), "a note says what was taken"
    if record.event.reported is not Reported.CHANGED:
        return noted
    doubted = replace(noted.result, effect=NotificationEffect.DOUBTED)
    return replace(noted, result=doubted, provider_events=())


def _doubted(
    payment: Payment, event: ProviderNotification, refund: Refund | None = None
) -> Decision:
    """To be looked at first, by its own name there and by the one that the event gives."""
    # A refund's event names the refund, which its payment shows.
    names = (payment.provider_reference, None if refund else event.reference)
    references = tuple(dict.fromkeys(filter(None, names)))
    doubted = NotificationEffect.DOUBTED
    return Decision(NotificationTaken(doubted, payment, refund, references))


def _is_doubted(payment: Payment, event: ProviderNotification) -> bool:
    """Whether what is said of a closed payment is not what we say."""
    is_taken = payment.status in CAPTURED
    match event.reported:
        case Reported.DONE:
            return not is_taken or event.reference not in {None, payment.provider_reference}
        case Reported.NOT_DONE:
            return is_taken or payment.status is PaymentStatus.AUTHORIZED
        case Reported.HELD:
            return payment.status is PaymentStatus.FAILED
        case Reported.CHANGED:
            return True
        case _:
            assert_never(event.reported)


def _differs(refund: Refund, event: ProviderNotification) -> bool:
    is_given_back = refund.status is RefundStatus.COMPLETED
    match event.reported:
        case Reported.DONE:
            is_named = event.reference in {None, refund.provider_reference}
            return not (is_given_back and is_named)
        case Reported.NOT_DONE:
            return is_given_back
        case Reported.HELD:
            return False
        case Reported.CHANGED:
            return True
        case _:
            assert_never(event.reported)


def _told(noted: Decision, reason: DeadLetterReason, problems: Sequence[str]) -> Decision:
    """With a letter of all that is wrong.

    One an event, whose name stands in for what was sent: that holds more than may be passed on.
    """
    (record,) = noted.provider_events
    assert isinstance(noted.result, NotificationTaken), "a note says what was taken"
    event, payment = record.event, noted.result.payment
    named = {"event_id": event.id, "event_type": event.type, "reference": event.reference}
    error = (
        f"{payment.status.value} here, but {event.provider}, looked at because of {event.type} "
        f"{event.id}, shows: {'; '.join(problems)}"
    )
    letter = DeadLetter(
        id=dead_letter_id(STAGE, "/".join(event.key)),
        tenant_id=record.tenant_id,
        stage=STAGE,
        reason=reason,
        error=error,
        source=SourceMessage(
            topic=f"{STAGE}/{event.provider}",
            partition=0,
            offset=0,
            key=str(record.payment_id).encode(),
            value=json.dumps(named).encode(),
        ),
        attempts=payment.progress.attempt_count,
        first_failed_at=record.received_at,
        last_failed_at=record.received_at,
        payment_id=record.payment_id,
    )
    return replace(noted, dead_letters=(letter,))


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
