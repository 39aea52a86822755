"""One machine for everything a provider is asked: charge, authorize, capture, void and refund.

A stage claims the next attempt and settles it with what the provider answered; the schedule
wakes what is due. An attempt is claimed by its number, once, and what was asked for before is
asked after first (but a void, which made twice is a void). Only an answer that certainly had no
effect ends the work for good; one that nobody knows is inquired after, so often, and is then for
a person to review. It knows payments and refunds by what `work.py` asks of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never

from payments import holds
from payments.attempt import Attempt, lease_expired, result_of
from payments.change import work_for
from payments.dead_letter import DeadLetterReason, SourceMessage, letter_about
from payments.decision import Claimed, Context, Decision, RefusalCode, Refused
from payments.decisions.provider_work.work import Doubt, Step, attempt_of, name_of
from payments.ids import dead_letter_id
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Deferred,
    Failure,
    Operation,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
    Unresolvable,
    was_asked,
)
from payments.progress import (
    REVIEW_INTERVAL,
    backoff,
    inquiry_delay,
    pending_delay,
    retry_delay,
    unasked_delay,
)
from payments.record import replace

if TYPE_CHECKING:
    from datetime import datetime

    from payments.commands import ClaimPayment, ClaimRefund, SettlePayment, SettleRefund
    from payments.dead_letter import DeadLetter
    from payments.decisions.provider_work.work import ProviderWork
    from payments.outcome import Outcome
    from payments.progress import Progress

_LEASE_EXPIRED: Final = Unknown("lease_expired", "worker after worker fell silent")


def claim(
    work: ProviderWork, command: ClaimPayment | ClaimRefund, at: Context
) -> Decision | Refused:
    """Take the attempt of that number, unless it was taken or nothing is owed."""
    operation, progress, number = work.operation, work.progress, command.attempt
    if operation and progress.due_at and progress.lease_id == command.claim_id is not None:
        # Nobody heard of its commit. Whether it was the first to ask is not known any more.
        again = _attempt(work, operation, command, progress.due_at, at, was_asked=True)
        return Decision(result=Claimed(again, work.payment, work.refund))
    if operation is None or progress.lease_id or number != progress.attempt_count + 1:
        return Refused(
            RefusalCode.NOT_CLAIMABLE,
            f"attempt {number} of {name_of(work)} is taken or not needed",
        )
    if work.blocked_by:
        return Refused(
            RefusalCode.BEHIND_DEAD_LETTER, f"dead letter {work.blocked_by} is in its way"
        )
    # Whatever was heard or recorded of what was asked before.
    was_asked = progress.first_asked_at is not None or work.doubt is not Doubt.NONE
    until = at.now + timedelta(seconds=at.policy.lease_s)
    attempt = _attempt(work, operation, command, until, at, was_asked=was_asked)
    # Of what nobody knows when it was asked, it is as old as can be.
    asked_at = work.payment.created_at if was_asked else at.now
    leased = progress.leased(attempt.id, asked_at, attempt.lease_expires_at)
    decision = work.stepped(Step.CLAIMED, leased)
    payment = decision.payments[0] if decision.payments else work.payment
    refund = decision.refunds[0] if decision.refunds else None
    return replace(decision, result=Claimed(attempt, payment, refund), attempts=(attempt,))


def _attempt(
    work: ProviderWork,
    operation: Operation,
    command: ClaimPayment | ClaimRefund,
    until: datetime,
    at: Context,
    *,
    was_asked: bool,
) -> Attempt:
    return Attempt(
        id=command.claim_id or at.new_id(),
        tenant_id=work.payment.tenant_id,
        payment_id=work.payment.id,
        refund_id=work.refund.id if work.refund else None,
        number=command.attempt,
        operation=operation,
        # A void made twice is a void.
        inquiry=was_asked and operation is not Operation.VOID,
        provider=holds.provider_of(work.payment),
        provider_key=work.provider_key,
        worker=command.worker,
        lease_expires_at=until,
        started_at=at.now,
    )


def settle(work: ProviderWork, command: SettlePayment | SettleRefund, at: Context) -> Decision:
    """Record an outcome: of the attempt that holds the lease, or a late one that is certain."""
    outcome, progress = command.outcome, work.progress
    if not _is_owed(work, command):
        decision = _too_late(work, command, at)
    elif progress.lease_id == command.attempt_id or _counts_late(outcome, work):
        if command.is_first and not was_asked(outcome):
            work = work.with_progress(progress.unasked())
        decision = _settled(work, command, at)
    else:
        decision = Decision(result=work.refund or work.payment)
    result = result_of(attempt_of(work, command.attempt_id), outcome, at.now)
    return replace(decision, attempt_results=(result,))


def _is_owed(work: ProviderWork, command: SettlePayment | SettleRefund) -> bool:
    """Whether what was asked for is what is owed: a capture, by its key, of the same amount."""
    if work.operation is not command.operation:
        return False
    return command.provider_key in {None, work.provider_key}


def _counts_late(outcome: Outcome, work: ProviderWork) -> bool:
    """Whether an answer counts though its lease ran out: a certain one is certain.

    But while another attempt is in flight a refusal says nothing of what that one does; and where
    nobody waits for one it was heard before, and says nothing of what was asked for since. Nor does
    what somebody else captured, once it is booked.
    """
    match outcome:
        case Succeeded():
            return True
        case CapturedElsewhere():
            return not work.has_ended
        case Declined():
            return work.progress.lease_id is None and work.doubt is not Doubt.NONE
        case _:
            return False


def wake(work: ProviderWork, at: Context) -> Decision | Refused:
    """Send due work again; a worker whose lease ran out leaves an outcome nobody knows."""
    progress = work.progress
    if work.operation is None or progress.due_at is None or progress.due_at > at.now:
        return Refused(RefusalCode.NOT_CLAIMABLE, f"{name_of(work)} is not due")
    if progress.lease_id is None:
        return _sent_again(work, Step.WOKEN, progress.waiting(_patience(at)), at)
    given_up = lease_expired(attempt_of(work, progress.lease_id), at.now)
    return replace(_silent(work, at), attempt_results=(given_up,))


def _silent(work: ProviderWork, at: Context) -> Decision:
    """Its worker was given up: whatever it did is to be asked after."""
    progress = work.progress
    in_review = work.doubt is Doubt.IN_REVIEW
    if in_review and progress.inquiry_count:
        return work.stepped(Step.WAITING, progress.inquiring(at.now + REVIEW_INTERVAL))
    if in_review or progress.inquiry_count >= at.policy.max_inquiries:
        lease = SourceMessage(
            topic=f"{work.stage}/leases",
            partition=0,
            offset=progress.attempt_count,
            key=str(work.payment.id).encode(),
            value=None,
        )
        return _left_to_a_person(work, _LEASE_EXPIRED, lease, at)
    opens = work.doubt is Doubt.NONE and work.operation is not Operation.VOID
    step = Step.UNKNOWN if opens else Step.WOKEN
    return _sent_again(work, step, progress.inquiring(_patience(at)), at)


def _settled(work: ProviderWork, command: SettlePayment | SettleRefund, at: Context) -> Decision:
    outcome, progress = command.outcome, work.progress
    match outcome:
        case Succeeded(reference, others):
            decision = work.succeeded(reference)
            more = (_doubled(work, command, reference, other, at) for other in others)
            return replace(decision, dead_letters=(*decision.dead_letters, *more))
        case CapturedElsewhere():
            return _captured_elsewhere(work, outcome, command, at)
        case Deferred():
            delay = backoff(0, outcome.retry_after_s, outcome.retry_after_s, at.jitter)
            return work.stepped(Step.WAITING, progress.waiting(at.now + delay))
        case Retriable(is_asked=False):
            # Our own lack, or nobody at their door: it costs no try, and says what it waits for.
            wait = unasked_delay(progress, at.policy, at.jitter, outcome.retry_after_s)
            return work.with_error(outcome).stepped(Step.WAITING, progress.waiting(at.now + wait))
        case _ if work.operation is Operation.VOID:
            return _not_voided(work, outcome, command.source, at)
        case Declined():
            return work.with_error(outcome).declined(is_released=outcome.is_released)
        case Unresolvable():
            return _left_to_a_person(work, outcome, command.source, at)
        case Pending():
            return _pending(work, outcome, command.source, at)
        case Retriable() | Unknown():
            return _not_learnt(work, outcome, command, at)
        case _:
            assert_never(outcome)


def _captured_elsewhere(
    work: ProviderWork,
    found: CapturedElsewhere,
    command: SettlePayment | SettleRefund,
    at: Context,
) -> Decision:
    if found.is_held and work.is_booked(found):
        # It is told again to let go.
        held = Unknown("held_still", "the rest of the authorization is held still")
        return _still_unknown(work, held, command.source, at)
    return work.captured_elsewhere(found) or _not_ours(work, found, command, at)


def _not_learnt(
    work: ProviderWork,
    outcome: Retriable | Unknown,
    command: SettlePayment | SettleRefund,
    at: Context,
) -> Decision:
    """Of a call that certainly did nothing there is another; of any other it is asked first."""
    if work.doubt is not Doubt.NONE or command.is_of_inquiry:
        return _still_unknown(work, outcome, command.source, at)
    if isinstance(outcome, Retriable):
        return _retried(work, outcome, command.source, at)
    delay = inquiry_delay(work.progress, at.policy, at.jitter)
    return work.with_error(outcome).stepped(Step.UNKNOWN, work.progress.inquiring(at.now + delay))


def _not_voided(
    work: ProviderWork, outcome: Failure, source: SourceMessage, at: Context
) -> Decision:
    """A void made twice is a void, so it is made again until it is answered; the hold stays."""
    if isinstance(outcome, Declined) and outcome.is_released:
        return work.succeeded(work.payment.provider_reference or "")
    if isinstance(outcome, Declined | Unresolvable):
        return _left_to_a_person(work, outcome, source, at)
    return _still_unknown(work, outcome, source, at)


def _retried(work: ProviderWork, error: Retriable, source: SourceMessage, at: Context) -> Decision:
    progress = work.progress
    if progress.exhausted:
        return _given_up(work, error, source, at)
    delay = retry_delay(progress, at.policy, at.jitter, error.retry_after_s)
    return work.with_error(error).stepped(Step.WAITING, progress.retrying(at.now + delay))


def _pending(work: ProviderWork, told: Pending, source: SourceMessage, at: Context) -> Decision:
    """It takes as long as it takes: that costs neither a try nor a person's time."""
    if work.doubt is Doubt.IN_REVIEW:
        return _still_unknown(work, told, source, at)
    until = at.now + pending_delay(work.progress, at.policy, at.jitter)
    step = Step.UNKNOWN if work.doubt is Doubt.NONE else Step.WAITING
    return work.with_error(told).stepped(step, work.progress.waiting(until))


def _still_unknown(
    work: ProviderWork, error: Failure, source: SourceMessage, at: Context
) -> Decision:
    progress = work.progress
    # In review it is the first question only where an operator has asked for it, who closed the
    # letter with that: if nothing was learnt there is to be another.
    if work.doubt is Doubt.IN_REVIEW or progress.inquiry_count >= at.policy.max_inquiries:
        return _left_to_a_person(work, error, source, at)
    delay = inquiry_delay(progress, at.policy, at.jitter)
    return work.with_error(error).stepped(Step.WAITING, progress.inquiring(at.now + delay))


def _given_up(work: ProviderWork, error: Failure, source: SourceMessage, at: Context) -> Decision:
    """Tried as often as allowed: a dead letter, and no further work but by an operator's word."""
    letter = _letter(work, DeadLetterReason.RETRIES_EXHAUSTED, _text(error), source, at)
    return replace(work.with_error(error).given_up(), dead_letters=(letter,))


def _left_to_a_person(
    work: ProviderWork, error: Failure, source: SourceMessage, at: Context
) -> Decision:
    """Asked after as often as is of use; from now on once a day, with the one letter."""
    if work.has_ended:
        return _given_up(work, error, source, at)
    reviewed = work.progress.inquiring(at.now + REVIEW_INTERVAL)
    if work.doubt is Doubt.IN_REVIEW and work.progress.inquiry_count:
        return work.with_error(error).stepped(Step.WAITING, reviewed)
    letter = _letter(work, DeadLetterReason.OUTCOME_UNRESOLVED, _text(error), source, at)
    decision = work.with_error(error).stepped(Step.IN_REVIEW, reviewed)
    return replace(decision, dead_letters=(letter,))


def _too_late(work: ProviderWork, command: SettlePayment | SettleRefund, at: Context) -> Decision:
    """It has moved on; money moved for nothing, or twice, must not be forgotten."""
    unchanged = Decision(result=work.refund or work.payment)
    if not isinstance(command.outcome, Succeeded):
        return unchanged
    reference, others = command.outcome.reference, command.outcome.others
    error = work.contradiction(command.operation, reference)
    letters = [_doubled(work, command, reference, other, at) for other in others]
    if error is not None:
        letters.append(_contradiction(work, error, reference, command.source, at))
    return replace(unchanged, dead_letters=tuple(letters))


def _not_ours(
    work: ProviderWork,
    found: CapturedElsewhere,
    command: SettlePayment | SettleRefund,
    at: Context,
) -> Decision:
    """Taken there, though not as it was authorized, or when nothing was held any more."""
    error = f"{found.amount} was captured elsewhere, as {found.reference}"
    if not work.has_ended:
        return _left_to_a_person(work, Unknown("captured_elsewhere", error), command.source, at)
    letter = _contradiction(work, error, found.reference, command.source, at)
    ended = work.given_up()
    if found.is_held and work.progress.inquiry_count < at.policy.max_inquiries:
        # What is held there still it is told again to let go.
        delay = inquiry_delay(work.progress, at.policy, at.jitter)
        ended = work.stepped(Step.WAITING, work.progress.inquiring(at.now + delay))
    return replace(ended, dead_letters=(letter,))


def _doubled(
    work: ProviderWork,
    command: SettlePayment | SettleRefund,
    reference: str,
    other: str,
    at: Context,
) -> DeadLetter:
    error = f"{command.operation.value} took effect as {reference} and as {other}"
    return _contradiction(work, error, other, command.source, at)


def _contradiction(
    work: ProviderWork, error: str, reference: str, source: SourceMessage, at: Context
) -> DeadLetter:
    """One a reference: two of them are two movements of money."""
    letter = _letter(work, DeadLetterReason.CONTRADICTION, error, source, at)
    return replace(letter, id=dead_letter_id(str(letter.id), reference))


def _sent_again(work: ProviderWork, step: Step, progress: Progress, at: Context) -> Decision:
    decision = work.stepped(step, progress)
    cause = decision.events[0] if decision.events else None
    subject = decision.refunds[0] if decision.refunds else decision.payments[0]
    return replace(decision, work=(work_for(subject, at, cause),))


def _letter(
    work: ProviderWork,
    reason: DeadLetterReason,
    error: str,
    source: SourceMessage,
    at: Context,
) -> DeadLetter:
    return letter_about(work.refund or work.payment, work.stage, reason, error, source, at.now)


def _text(error: Failure) -> str:
    return ": ".join(part for part in (error.code, error.message) if part)


def _patience(at: Context) -> datetime:
    return at.now + timedelta(seconds=at.policy.patience_s)
