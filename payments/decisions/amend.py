"""What clients ask of a payment that exists: cancel, capture, refund."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from payments import holds, ledger
from payments.change import changed, work_for
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.account_checks import lacks_funds, unusable
from payments.decisions.provider_checks import unsupported
from payments.events import EventType
from payments.money import Money
from payments.outcome import Operation
from payments.payment import CAPTURED, Payment, PaymentStatus, PaymentType
from payments.progress import Progress
from payments.record import replace
from payments.refund import Refund, RefundStatus

if TYPE_CHECKING:
    from uuid import UUID

    from payments.commands import CancelPayment, CapturePayment, RefundPayment


_BEFORE_ITS_PROVIDER: Final = frozenset({PaymentStatus.PENDING, PaymentStatus.PROCESSING})


def cancel_payment(command: CancelPayment, state: State, at: Context) -> Decision | Refused:
    """Before a provider was asked: done. While authorized: once the provider has let go."""
    payment = _owned(state, command.tenant_id, command.payment_id)
    if isinstance(payment, Refused):
        return payment
    if payment.status in _BEFORE_ITS_PROVIDER and _was_never_asked(payment):
        return cancelled(payment, state, at)
    if payment.awaits_capture:
        return void_requested(replace(payment, last_error_code=None, last_error=None), at)
    if payment.status is PaymentStatus.AUTHORIZED and payment.operation is Operation.VOID:
        return Decision(result=payment)  # under way
    return Refused(
        RefusalCode.PAYMENT_NOT_CANCELLABLE,
        f"payment {payment.id} is {payment.status.value} and can no longer be cancelled",
        payment,
    )


def capture_payment(command: CapturePayment, state: State, at: Context) -> Decision | Refused:
    """Ask the provider to capture; the money is posted when it has."""
    payment = _owned(state, command.tenant_id, command.payment_id)
    if isinstance(payment, Refused):
        return payment
    # Expired it is whether or not the schedule has been there: no answer may hang on that.
    if not payment.awaits_capture or is_expired(payment, at):
        present = "expired" if payment.awaits_capture else payment.status.value
        return Refused(
            RefusalCode.PAYMENT_NOT_CAPTURABLE,
            f"payment {payment.id} is {present} and cannot be captured now",
            payment,
        )
    amount = command.amount or payment.amount
    if amount.currency != payment.currency:
        return _other_currency(payment, amount)
    if amount.amount_minor > payment.amount.amount_minor:
        return Refused(
            RefusalCode.CAPTURE_EXCEEDS_AUTHORIZATION,
            f"{amount} is more than the authorized {payment.amount}",
        )
    if refused := unsupported(payment.provider, Operation.CAPTURE, amount, at):
        return refused
    asked = owing(payment, Operation.CAPTURE, amount, at)
    change = changed(asked, EventType.CAPTURE_REQUESTED, at)
    return Decision(
        result=change.payment,
        payments=(change.payment,),
        events=(change.event,),
        work=(work_for(change.payment, at, change.event),),
    )


def refund_payment(command: RefundPayment, state: State, at: Context) -> Decision | Refused:
    """Promise money back, never more than was captured; an internal transfer moves it at once."""
    payment = _owned(state, command.tenant_id, command.payment_id)
    if isinstance(payment, Refused):
        return payment
    if payment.status not in CAPTURED:
        return Refused(
            RefusalCode.PAYMENT_NOT_REFUNDABLE,
            f"payment {payment.id} is {payment.status.value}: nothing was captured",
            payment,
        )
    amount = command.amount or Money(payment.refundable_minor, payment.currency)
    if amount.currency != payment.currency:
        return _other_currency(payment, amount)
    if not 0 < amount.amount_minor <= payment.refundable_minor:
        left = Money(payment.refundable_minor, payment.currency)
        return Refused(
            RefusalCode.REFUND_EXCEEDS_PAYMENT, f"{left} of payment {payment.id} can be refunded"
        )
    if refused := unsupported(payment.provider, Operation.REFUND, amount, at):
        return refused
    refund = _refund(command, payment, amount, at)
    if payment.payment_type is PaymentType.INTERNAL:
        return _return_transfer(refund, payment, state, at)
    promised = payment.refund_pending_minor + amount.amount_minor
    change = changed(
        replace(payment, refund_pending_minor=promised), EventType.REFUND_CREATED, at, refund=refund
    )
    return Decision(
        result=refund,
        payments=(change.payment,),
        refunds=(refund,),
        events=(change.event,),
        work=(work_for(refund, at, change.event),),
    )


def void_requested(payment: Payment, at: Context) -> Decision:
    """Have the provider let go; until it has, the money is held here too."""
    voiding = owing(payment, Operation.VOID, payment.amount, at)
    change = changed(voiding, EventType.CANCEL_REQUESTED, at)
    return Decision(
        result=change.payment,
        payments=(change.payment,),
        events=(change.event,),
        work=(work_for(change.payment, at, change.event),),
    )


def cancelled(payment: Payment, state: State, at: Context) -> Decision:
    """Release the hold of what no provider holds (any more)."""
    moved = holds.void(payment, state, at)
    ended = replace(payment.owed_nothing(), status=PaymentStatus.CANCELLED)
    change = changed(ended, EventType.PAYMENT_CANCELLED, at)
    return Decision(
        result=change.payment,
        accounts=moved.accounts,
        payments=(change.payment,),
        transfers=(moved.transfer,),
        events=(change.event,),
    )


def _was_never_asked(payment: Payment) -> bool:
    """No worker is at it, and none ever got as far as its provider."""
    return payment.progress.lease_id is None and payment.progress.first_asked_at is None


def is_expired(payment: Payment, at: Context) -> bool:
    """Whether it awaits a capture, and has done so for too long."""
    until = payment.authorization_expires_at
    return payment.awaits_capture and until is not None and until <= at.now


def refunded(payment: Payment, amount_minor: int) -> Payment:
    """The payment with so much more given back."""
    total = payment.refunded_minor + amount_minor
    whole = total == payment.captured_minor
    return replace(
        payment,
        refunded_minor=total,
        status=PaymentStatus.REFUNDED if whole else PaymentStatus.PARTIALLY_REFUNDED,
    )


def owing(payment: Payment, operation: Operation, amount: Money, at: Context) -> Payment:
    """The payment owing its provider a further operation, with fresh retries."""
    due_at = at.now + timedelta(seconds=at.policy.patience_s)
    progress = replace(payment.progress, due_at=due_at, retry_count=0, inquiry_count=0)
    return replace(
        payment, operation=operation, operation_minor=amount.amount_minor, progress=progress
    )


def _return_transfer(
    refund: Refund, payment: Payment, state: State, at: Context
) -> Decision | Refused:
    assert payment.destination_account_id is not None, "a transfer has a destination"
    giver = state.accounts[payment.destination_account_id]
    receiver = state.accounts[payment.source_account_id]
    refused = (
        unusable(giver, refund.amount)
        or unusable(receiver, refund.amount)
        or lacks_funds(giver, refund.amount)
    )
    if refused is not None:
        return refused
    done = replace(
        refund,
        status=RefundStatus.COMPLETED,
        progress=refund.progress.settled(),
        completed_at=at.now,
    )
    entry = ledger.Entry(
        id=at.new_id(),
        amount_minor=refund.amount.amount_minor,
        transaction_type=ledger.TransactionType.REFUND,
        recorded_at=at.now,
        description=refund.reason,
        payment_id=payment.id,
        refund_id=refund.id,
    )
    moved = ledger.transfer(giver, receiver, entry)
    change = changed(
        refunded(payment, refund.amount.amount_minor), EventType.REFUND_COMPLETED, at, refund=done
    )
    return Decision(
        result=done,
        accounts=moved.accounts,
        payments=(change.payment,),
        refunds=(done,),
        transfers=(moved.transfer,),
        events=(change.event,),
        account_events=holds.balance_facts(moved, at),
    )


def _refund(command: RefundPayment, payment: Payment, amount: Money, at: Context) -> Refund:
    return Refund(
        id=at.new_id(),
        tenant_id=payment.tenant_id,
        payment_id=payment.id,
        idempotency_key=command.idempotency_key,
        amount=amount,
        status=RefundStatus.PENDING,
        reason=command.reason,
        provider=payment.provider,
        progress=Progress(
            max_retries=at.policy.max_retries,
            due_at=at.now + timedelta(seconds=at.policy.patience_s),
        ),
        created_at=at.now,
        updated_at=at.now,
    )


def _owned(state: State, tenant_id: str, payment_id: UUID) -> Payment | Refused:
    payment = state.payments.get(payment_id)
    if payment is None or payment.tenant_id != tenant_id:
        return Refused(RefusalCode.PAYMENT_NOT_FOUND, f"there is no payment {payment_id}")
    return payment


def _other_currency(payment: Payment, amount: Money) -> Refused:
    return Refused(
        RefusalCode.CURRENCY_MISMATCH,
        f"payment {payment.id} is in {payment.currency}, not {amount.currency}",
    )
