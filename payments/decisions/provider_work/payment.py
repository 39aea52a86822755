"""What the charge stage and the schedule ask: claim a payment's next attempt, settle it, wake it.

An attempt is claimed by its number, once. Only an outcome that certainly had no
effect ever releases a hold; an outcome nobody knows keeps it and is asked after.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never

from payments import holds
from payments.attempt import Attempt, AttemptResult, lease_expired, provider_key, result_of
from payments.change import changed, charge_work
from payments.dead_letter import DeadLetterReason, letter_about
from payments.decision import Claimed, Context, Decision, RefusalCode, Refused, State
from payments.decisions.amend import owing
from payments.events import EventType
from payments.outcome import (
    Declined,
    Deferred,
    Operation,
    Retriable,
    Succeeded,
    Unknown,
    was_asked,
)
from payments.payment import CAPTURED, OPEN, TERMINAL, Payment, PaymentStatus
from payments.progress import REVIEW_INTERVAL, backoff, inquiry_delay, retry_delay

if TYPE_CHECKING:
    from uuid import UUID

    from payments.commands import ClaimPayment, SettlePayment, WakePayment
    from payments.dead_letter import DeadLetter
    from payments.progress import Progress

STAGE: Final = "charge"


def claim_payment(command: ClaimPayment, state: State, at: Context) -> Decision | Refused:
    """Take the attempt the message asks for, unless it was taken or nothing is owed."""
    payment = state.payments.get(command.payment_id)
    if payment is None:
        return _not_found(command.payment_id)
    progress = payment.progress
    is_next = command.attempt == progress.attempt_count + 1
    if payment.operation is None or progress.lease_id or not is_next:
        return Refused(
            RefusalCode.NOT_CLAIMABLE,
            f"attempt {command.attempt} of payment {payment.id} is taken or not needed",
        )
    if payment.charge_blocked_by:
        return behind(payment.charge_blocked_by)
    if payment.asked_operation is not payment.operation:
        progress = progress.unasked()
    attempt = _attempt(command, payment, progress, at)
    begins = payment.status is PaymentStatus.PENDING
    claimed = replace(
        payment,
        status=PaymentStatus.PROCESSING if begins else payment.status,
        progress=progress.leased(attempt.id, at.now, attempt.lease_expires_at),
        asked_operation=payment.operation,
    )
    change = changed(claimed, EventType.ATTEMPT_STARTED, at)
    return Decision(
        result=Claimed(attempt, change.payment),
        payments=(change.payment,),
        attempts=(attempt,),
        events=(change.event,),
    )


def settle_payment(command: SettlePayment, state: State, at: Context) -> Decision | Refused:
    """Record an outcome: of the attempt that holds the lease, or a late one that is certain."""
    payment = state.payments.get(command.payment_id)
    if payment is None:
        return _not_found(command.payment_id)
    if payment.operation is not command.operation:
        decision = _too_late(payment, command, at)
    elif payment.progress.lease_id == command.attempt_id:
        decision = _settled(payment, command, state, at)
    elif isinstance(command.outcome, Succeeded | Declined):
        # Its lease ran out, but a certain answer is certain whoever brings it.
        decision = _settled(payment, command, state, at)
    else:
        decision = Decision(result=payment)
    result = result_of(command.attempt_id, command.outcome, at.now)
    return replace(decision, attempt_results=(result,))


def wake_payment(command: WakePayment, state: State, at: Context) -> Decision | Refused:
    """Send due work again; a worker whose lease ran out leaves an outcome nobody knows."""
    payment = state.payments.get(command.payment_id)
    if payment is None:
        return _not_found(command.payment_id)
    progress = payment.progress
    if payment.operation is None or progress.due_at is None or progress.due_at > at.now:
        return Refused(RefusalCode.NOT_CLAIMABLE, f"payment {payment.id} is not due")
    patience = at.now + timedelta(seconds=at.policy.patience_s)
    expired: tuple[AttemptResult, ...] = ()
    what = EventType.WOKEN
    if progress.lease_id is None:
        woken = replace(payment, progress=progress.waiting(patience))
    else:
        expired = (lease_expired(progress.lease_id, at.now),)
        woken = replace(payment, progress=progress.inquiring(patience))
        if payment.status in {PaymentStatus.PROCESSING, PaymentStatus.AUTHORIZED}:
            woken, what = replace(woken, status=PaymentStatus.UNKNOWN), EventType.PAYMENT_UNKNOWN
    change = changed(woken, what, at)
    return Decision(
        result=change.payment,
        payments=(change.payment,),
        attempt_results=expired,
        events=(change.event,),
        work=(charge_work(change.payment, at, change.event),),
    )


def _attempt(command: ClaimPayment, payment: Payment, progress: Progress, at: Context) -> Attempt:
    """What was asked for before is asked after first, whatever was heard or recorded of it."""
    operation = payment.operation
    assert operation is not None, "only what is owed is claimed"
    key = provider_key(operation, payment.id)
    if operation is Operation.CAPTURE:
        # A capture asked for again after a failed one may be of another amount.
        key = f"{key}-{payment.operation_minor}"
    return Attempt(
        id=at.new_id(),
        tenant_id=payment.tenant_id,
        payment_id=payment.id,
        refund_id=None,
        number=progress.attempt_count + 1,
        operation=operation,
        inquiry=progress.first_asked_at is not None,
        provider=holds.provider_of(payment),
        provider_key=key,
        worker=command.worker,
        lease_expires_at=at.now + timedelta(seconds=at.policy.lease_s),
        started_at=at.now,
    )


def _settled(payment: Payment, command: SettlePayment, state: State, at: Context) -> Decision:
    outcome = command.outcome
    if command.is_first and not was_asked(outcome):
        payment = replace(payment, progress=payment.progress.unasked())
    match outcome:
        case Succeeded():
            return _succeeded(replace(payment, provider_reference=outcome.reference), state, at)
        case Declined():
            if payment.operation is Operation.VOID:
                return _given_up(_with_error(payment, outcome), command, state, at)
            return _failed(_with_error(payment, outcome), state, at)
        case Deferred():
            until = at.now + backoff(0, outcome.retry_after_s, outcome.retry_after_s, at.jitter)
            waiting = replace(payment, progress=payment.progress.waiting(until))
            return _changed(waiting, EventType.RETRY_SCHEDULED, at)
        case Retriable() | Unknown() if payment.status in OPEN:
            return _still_unknown(_with_error(payment, outcome), command, at)
        case Unknown() if payment.operation is not Operation.VOID:
            return _unknown(_with_error(payment, outcome), at)
        case Retriable() | Unknown():
            return _retried(_with_error(payment, outcome), command, state, at)
        case _:
            assert_never(outcome)


def _succeeded(payment: Payment, state: State, at: Context) -> Decision:
    owed_minor = payment.operation_minor
    done = payment.owed_nothing()
    match payment.operation:
        case Operation.CHARGE | Operation.CAPTURE:
            assert owed_minor is not None, "an operation has an amount"
            moved = holds.post(payment, owed_minor, state, at)
            completed = replace(
                done,
                status=PaymentStatus.COMPLETED,
                captured_minor=owed_minor,
                last_error_code=None,
                last_error=None,
                completed_at=at.now,
            )
            return replace(
                _changed(completed, EventType.PAYMENT_COMPLETED, at),
                accounts=moved.accounts,
                transfers=(moved.transfer,),
                account_events=holds.balance_facts(moved, at),
            )
        case Operation.AUTHORIZE:
            until = at.now + timedelta(seconds=at.policy.authorization_ttl_s)
            authorized = replace(payment, authorization_expires_at=until).left_to_client()
            return _changed(authorized, EventType.PAYMENT_AUTHORIZED, at)
        case _:
            return _changed(done, EventType.VOIDED, at)


def _failed(payment: Payment, state: State, at: Context) -> Decision:
    """Certainly nothing was taken: the hold is released, and the provider is to let go its own."""
    moved = holds.void(payment, state, at)
    failed = replace(payment.owed_nothing(), status=PaymentStatus.FAILED)
    is_held_there = payment.operation is Operation.CAPTURE
    if is_held_there:
        failed = owing(failed, Operation.VOID, payment.amount, at)
    decision = _changed(failed, EventType.PAYMENT_FAILED, at)
    (after,), (event,) = decision.payments, decision.events
    return replace(
        decision,
        accounts=moved.accounts,
        transfers=(moved.transfer,),
        work=(charge_work(after, at, event),) if is_held_there else (),
    )


def _retried(payment: Payment, command: SettlePayment, state: State, at: Context) -> Decision:
    progress, outcome = payment.progress, command.outcome
    if progress.exhausted:
        return _given_up(payment, command, state, at)
    wish_s = outcome.retry_after_s if isinstance(outcome, Retriable) else None
    delay = retry_delay(progress, at.policy, at.jitter, wish_s)
    retrying = replace(payment, progress=progress.retrying(at.now + delay))
    return _changed(retrying, EventType.RETRY_SCHEDULED, at)


def _given_up(payment: Payment, command: SettlePayment, state: State, at: Context) -> Decision:
    """Tried as often as allowed: a dead letter, and no further work but by an operator's word."""
    assert isinstance(command.outcome, Declined | Retriable | Unknown), "something went wrong"
    blamed = _blamed(payment, command.outcome)
    letter = _letter(blamed, command, DeadLetterReason.RETRIES_EXHAUSTED, at)
    if payment.operation in {Operation.CHARGE, Operation.AUTHORIZE}:
        return replace(_failed(payment, state, at), dead_letters=(letter,))
    # A capture leaves the authorization as it was, a void the cancellation.
    is_capture = payment.operation is Operation.CAPTURE
    idle = payment.left_to_client() if is_capture else payment.owed_nothing()
    return replace(_changed(idle, EventType.RETRY_SCHEDULED, at), dead_letters=(letter,))


def _unknown(payment: Payment, at: Context) -> Decision:
    until = at.now + inquiry_delay(payment.progress, at.policy, at.jitter)
    asked = payment.progress.inquiring(until)
    unknown = replace(payment, status=PaymentStatus.UNKNOWN, progress=asked)
    return _changed(unknown, EventType.PAYMENT_UNKNOWN, at)


def _still_unknown(payment: Payment, command: SettlePayment, at: Context) -> Decision:
    progress = payment.progress
    if (
        payment.status is PaymentStatus.UNKNOWN
        and progress.inquiry_count >= at.policy.max_inquiries
    ):
        reviewed = replace(
            payment,
            status=PaymentStatus.REVIEW,
            progress=progress.waiting(at.now + REVIEW_INTERVAL),
        )
        letter = _letter(payment, command, DeadLetterReason.OUTCOME_UNRESOLVED, at)
        return replace(_changed(reviewed, EventType.PAYMENT_REVIEW, at), dead_letters=(letter,))
    review = payment.status is PaymentStatus.REVIEW
    delay = REVIEW_INTERVAL if review else inquiry_delay(progress, at.policy, at.jitter)
    waiting = replace(payment, progress=progress.inquiring(at.now + delay))
    return _changed(waiting, EventType.RETRY_SCHEDULED, at)


def _too_late(payment: Payment, command: SettlePayment, at: Context) -> Decision:
    """The payment has moved on; money taken for nothing must not be forgotten."""
    outcome = command.outcome
    if not (isinstance(outcome, Succeeded) and contradicts(payment, command.operation)):
        return Decision(result=payment)
    letter = _letter(payment, command, DeadLetterReason.CONTRADICTION, at)
    error = f"{command.operation.value} succeeded after all, as {outcome.reference}"
    return Decision(result=payment, dead_letters=(replace(letter, error=error),))


def contradicts(payment: Payment, succeeded: Operation) -> bool:
    """Whether the provider holds or has money for a payment that says otherwise."""
    match succeeded:
        case Operation.CHARGE | Operation.CAPTURE:
            return payment.status not in CAPTURED
        case Operation.AUTHORIZE:
            # Whose authorization we knew of has been voided since, or is about to be.
            return payment.status is PaymentStatus.FAILED and not payment.was_authorized
        case _:
            return False


def _changed(payment: Payment, what: EventType, at: Context) -> Decision:
    change = changed(payment, what, at)
    return Decision(result=change.payment, payments=(change.payment,), events=(change.event,))


def _with_error(payment: Payment, outcome: Declined | Retriable | Unknown) -> Payment:
    """What went wrong last; but why a payment ended is not hidden by the troubles of its void."""
    return payment if payment.status in TERMINAL else _blamed(payment, outcome)


def _blamed(payment: Payment, outcome: Declined | Retriable | Unknown) -> Payment:
    return replace(payment, last_error_code=outcome.code, last_error=outcome.message)


def _letter(
    payment: Payment, command: SettlePayment, reason: DeadLetterReason, at: Context
) -> DeadLetter:
    return letter_about(payment, STAGE, reason, command.source, at.now)


def behind(letter_id: UUID) -> Refused:
    """An earlier message of the payment is parked: this one is to wait for its turn."""
    return Refused(RefusalCode.BEHIND_DEAD_LETTER, f"dead letter {letter_id} is in its way")


def _not_found(payment_id: UUID) -> Refused:
    return Refused(RefusalCode.PAYMENT_NOT_FOUND, f"there is no payment {payment_id}")
