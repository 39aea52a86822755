"""What the refund stage and the schedule ask: claim a refund's next attempt, settle it, wake it.

The amount was promised when the refund was accepted; it is given back when the
provider has, and returned to what may be refunded when it certainly has not.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never

from payments import holds, ledger
from payments.attempt import Attempt, AttemptResult, lease_expired, provider_key, result_of
from payments.change import changed, refund_work
from payments.dead_letter import DeadLetterReason, letter_about
from payments.decision import Claimed, Context, Decision, RefusalCode, Refused, State
from payments.decisions.amend import refunded
from payments.decisions.provider_work.payment import behind
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
from payments.progress import REVIEW_INTERVAL, backoff, inquiry_delay, retry_delay
from payments.refund import REFUND_OPEN, Refund, RefundStatus

if TYPE_CHECKING:
    from uuid import UUID

    from payments.commands import ClaimRefund, SettleRefund, WakeRefund
    from payments.payment import Payment

STAGE: Final = "refund"


def claim_refund(command: ClaimRefund, state: State, at: Context) -> Decision | Refused:
    """Take the attempt the message asks for, unless it was taken or nothing is owed."""
    refund = state.refunds.get(command.refund_id)
    if refund is None:
        return _not_found(command.refund_id)
    progress, payment = refund.progress, state.payments[refund.payment_id]
    is_next = command.attempt == progress.attempt_count + 1
    if progress.due_at is None or progress.lease_id or not is_next:
        return Refused(
            RefusalCode.NOT_CLAIMABLE,
            f"attempt {command.attempt} of refund {refund.id} is taken or not needed",
        )
    if payment.refund_blocked_by:
        return behind(payment.refund_blocked_by)
    attempt = Attempt(
        id=at.new_id(),
        tenant_id=refund.tenant_id,
        payment_id=refund.payment_id,
        refund_id=refund.id,
        number=progress.attempt_count + 1,
        operation=Operation.REFUND,
        inquiry=progress.first_asked_at is not None,
        provider=holds.provider_of(payment),
        provider_key=provider_key(Operation.REFUND, refund.id),
        worker=command.worker,
        lease_expires_at=at.now + timedelta(seconds=at.policy.lease_s),
        started_at=at.now,
    )
    begins = refund.status is RefundStatus.PENDING
    claimed = _touched(
        refund,
        at,
        status=RefundStatus.PROCESSING if begins else refund.status,
    )
    leased = progress.leased(attempt.id, at.now, attempt.lease_expires_at)
    claimed = replace(claimed, progress=leased)
    return Decision(
        result=Claimed(attempt, payment, claimed), refunds=(claimed,), attempts=(attempt,)
    )


def settle_refund(command: SettleRefund, state: State, at: Context) -> Decision | Refused:
    """Record an outcome: of the attempt that holds the lease, or a late one that is certain."""
    refund = state.refunds.get(command.refund_id)
    if refund is None:
        return _not_found(command.refund_id)
    if refund.progress.due_at is None:
        decision = _too_late(refund, command, at)
    elif refund.progress.lease_id == command.attempt_id or isinstance(
        command.outcome, Succeeded | Declined
    ):
        decision = _settled(refund, command, state, at)
    else:
        decision = Decision(result=refund)
    result = result_of(command.attempt_id, command.outcome, at.now)
    return replace(decision, attempt_results=(result,))


def wake_refund(command: WakeRefund, state: State, at: Context) -> Decision | Refused:
    """Send due work again; a worker whose lease ran out leaves an outcome nobody knows."""
    refund = state.refunds.get(command.refund_id)
    if refund is None:
        return _not_found(command.refund_id)
    progress = refund.progress
    if progress.due_at is None or progress.due_at > at.now:
        return Refused(RefusalCode.NOT_CLAIMABLE, f"refund {refund.id} is not due")
    patience = at.now + timedelta(seconds=at.policy.patience_s)
    if progress.lease_id is None:
        woken = replace(
            _touched(refund, at, status=refund.status), progress=progress.waiting(patience)
        )
        return Decision(result=woken, refunds=(woken,), work=(refund_work(woken, at),))
    expired: tuple[AttemptResult, ...] = (lease_expired(progress.lease_id, at.now),)
    status = RefundStatus.REVIEW if refund.status is RefundStatus.REVIEW else RefundStatus.UNKNOWN
    woken = replace(_touched(refund, at, status=status), progress=progress.inquiring(patience))
    if refund.status is status:
        decision = Decision(result=woken, refunds=(woken,))
    else:
        decision = _announced(
            state.payments[refund.payment_id], woken, EventType.REFUND_UNKNOWN, at
        )
    return replace(decision, attempt_results=expired, work=(refund_work(woken, at),))


def _settled(refund: Refund, command: SettleRefund, state: State, at: Context) -> Decision:
    outcome, payment = command.outcome, state.payments[refund.payment_id]
    if command.is_first and not was_asked(outcome):
        refund = replace(refund, progress=refund.progress.unasked())
    match outcome:
        case Succeeded():
            return _succeeded(refund, outcome.reference, state, at)
        case Declined():
            return _failed(payment, _with_error(refund, outcome), at)
        case Deferred():
            until = at.now + backoff(0, outcome.retry_after_s, outcome.retry_after_s, at.jitter)
            waiting = _touched(refund, at, status=refund.status)
            return _quietly(replace(waiting, progress=refund.progress.waiting(until)))
        case Retriable() | Unknown() if refund.status in REFUND_OPEN:
            return _still_unknown(_with_error(refund, outcome), command, payment, at)
        case Unknown():
            until = at.now + inquiry_delay(refund.progress, at.policy, at.jitter)
            unknown = _touched(_with_error(refund, outcome), at, status=RefundStatus.UNKNOWN)
            unknown = replace(unknown, progress=refund.progress.inquiring(until))
            return _announced(payment, unknown, EventType.REFUND_UNKNOWN, at)
        case Retriable():
            return _retried(_with_error(refund, outcome), command, payment, at)
        case _:
            assert_never(outcome)


def _succeeded(refund: Refund, reference: str, state: State, at: Context) -> Decision:
    payment = state.payments[refund.payment_id]
    amount_minor = refund.amount.amount_minor
    done = replace(
        _touched(refund, at, status=RefundStatus.COMPLETED),
        provider_reference=reference,
        progress=refund.progress.settled(),
        last_error_code=None,
        last_error=None,
        completed_at=at.now,
    )
    entry = ledger.Entry(
        id=at.new_id(),
        amount_minor=amount_minor,
        transaction_type=ledger.TransactionType.REFUND,
        recorded_at=at.now,
        description=refund.reason,
        payment_id=payment.id,
        refund_id=refund.id,
    )
    customer = state.accounts[payment.source_account_id]
    moved = ledger.transfer(holds.clearing_of(payment), customer, entry)
    kept = replace(payment, refund_pending_minor=payment.refund_pending_minor - amount_minor)
    return replace(
        _announced(refunded(kept, amount_minor), done, EventType.REFUND_COMPLETED, at),
        accounts=moved.accounts,
        transfers=(moved.transfer,),
        account_events=holds.balance_facts(moved, at),
    )


def _failed(payment: Payment, refund: Refund, at: Context) -> Decision:
    """Certainly nothing was given back: the amount may be refunded again."""
    failed = replace(
        _touched(refund, at, status=RefundStatus.FAILED), progress=refund.progress.settled()
    )
    pending = payment.refund_pending_minor - refund.amount.amount_minor
    kept = replace(payment, refund_pending_minor=pending)
    return _announced(kept, failed, EventType.REFUND_FAILED, at)


def _retried(refund: Refund, command: SettleRefund, payment: Payment, at: Context) -> Decision:
    progress, outcome = refund.progress, command.outcome
    if progress.exhausted:
        letter = letter_about(
            refund, STAGE, DeadLetterReason.RETRIES_EXHAUSTED, command.source, at.now
        )
        return replace(_failed(payment, refund, at), dead_letters=(letter,))
    wish_s = outcome.retry_after_s if isinstance(outcome, Retriable) else None
    delay = retry_delay(progress, at.policy, at.jitter, wish_s)
    waiting = _touched(refund, at, status=refund.status)
    return _quietly(replace(waiting, progress=progress.retrying(at.now + delay)))


def _still_unknown(
    refund: Refund, command: SettleRefund, payment: Payment, at: Context
) -> Decision:
    progress = refund.progress
    if refund.status is RefundStatus.UNKNOWN and progress.inquiry_count >= at.policy.max_inquiries:
        reviewed = _touched(refund, at, status=RefundStatus.REVIEW)
        reviewed = replace(reviewed, progress=progress.waiting(at.now + REVIEW_INTERVAL))
        letter = letter_about(
            refund, STAGE, DeadLetterReason.OUTCOME_UNRESOLVED, command.source, at.now
        )
        return replace(
            _announced(payment, reviewed, EventType.REFUND_REVIEW, at), dead_letters=(letter,)
        )
    review = refund.status is RefundStatus.REVIEW
    delay = REVIEW_INTERVAL if review else inquiry_delay(progress, at.policy, at.jitter)
    waiting = _touched(refund, at, status=refund.status)
    return _quietly(replace(waiting, progress=progress.inquiring(at.now + delay)))


def _too_late(refund: Refund, command: SettleRefund, at: Context) -> Decision:
    """The refund is closed; one that failed here and succeeded there must not be forgotten."""
    outcome = command.outcome
    if not (isinstance(outcome, Succeeded) and refund.status is RefundStatus.FAILED):
        return Decision(result=refund)
    letter = letter_about(refund, STAGE, DeadLetterReason.CONTRADICTION, command.source, at.now)
    error = f"refund succeeded after all, as {outcome.reference}"
    return Decision(result=refund, dead_letters=(replace(letter, error=error),))


def _announced(payment: Payment, refund: Refund, what: EventType, at: Context) -> Decision:
    """A change of the refund that is a public fact of its payment."""
    change = changed(payment, what, at, refund=refund)
    return Decision(
        result=refund, payments=(change.payment,), refunds=(refund,), events=(change.event,)
    )


def _quietly(refund: Refund) -> Decision:
    return Decision(result=refund, refunds=(refund,))


def _touched(refund: Refund, at: Context, *, status: RefundStatus) -> Refund:
    return replace(refund, status=status, version=refund.version + 1, updated_at=at.now)


def _with_error(refund: Refund, outcome: Declined | Retriable | Unknown) -> Refund:
    return replace(refund, last_error_code=outcome.code, last_error=outcome.message)


def _not_found(refund_id: UUID) -> Refused:
    return Refused(RefusalCode.REFUND_NOT_FOUND, f"there is no refund {refund_id}")
