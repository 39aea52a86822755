"""A refund found at a provider that our books say otherwise of, or nothing: the books follow.

Made there without us it becomes a refund of ours, completed; one of ours that came back is failed
after all, and one that failed and was made after all is completed. What is still being asked for
is left to who asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments import holds, ledger
from payments.account import receivables
from payments.change import changed
from payments.decision import Context, Decision, State
from payments.decisions.provider_work.refund import RefundWork, touched
from payments.events import EventType
from payments.ids import found_refund_id
from payments.payment import PaymentStatus
from payments.progress import Progress
from payments.record import replace
from payments.refund import Refund, RefundOrigin, RefundStatus
from payments.standing import FoundState

if TYPE_CHECKING:
    from uuid import UUID

    from payments.account import Account
    from payments.payment import Payment
    from payments.standing import FoundRefund


def follow_refund(
    found: FoundRefund, payment_id: UUID, state: State, at: Context
) -> Decision | str | None:
    """What is new about it, or why it cannot be recorded; None where the books say the same."""
    payment = state.payments[payment_id]
    if found.amount.currency != payment.currency:
        return f"refund {found.reference} is of {found.amount}"
    known = refund_of(found, payment, state)
    if known is None:
        if found.state is not FoundState.SUCCEEDED:
            return None
        return _completed(_made_there(found, payment, at), found, payment, state, at)
    if known.amount != found.amount:
        return f"refund {found.reference} is of {found.amount}, refund {known.id} of {known.amount}"
    match (known.status, found.state):
        case RefundStatus.COMPLETED, FoundState.SUCCEEDED if (
            known.provider_reference != found.reference
        ):
            names = f"{known.provider_reference} and {found.reference}"
            return f"refund {known.id} was made twice, as {names}"
        case RefundStatus.COMPLETED, FoundState.FAILED if (
            known.provider_reference == found.reference
        ):
            return _returned(known, found, payment, state, at)
        case RefundStatus.FAILED, FoundState.SUCCEEDED:
            return _completed(known, found, payment, state, at)
        case _:
            return None


def refund_of(found: FoundRefund, payment: Payment, state: State) -> Refund | None:
    """The refund of ours that it is, by its name or by its reference."""
    ours = state.refunds.get(found.refund_id) if found.refund_id else None
    if ours is not None and ours.payment_id == payment.id:
        return ours
    return state.refunds.get(found_refund_id(holds.provider_of(payment), found.reference))


def _made_there(found: FoundRefund, payment: Payment, at: Context) -> Refund:
    provider = holds.provider_of(payment)
    return Refund(
        id=found_refund_id(provider, found.reference),
        tenant_id=payment.tenant_id,
        payment_id=payment.id,
        idempotency_key=None,
        amount=found.amount,
        status=RefundStatus.PENDING,
        reason=found.reason,
        provider=provider,
        progress=Progress(max_retries=at.policy.max_retries, due_at=None),
        created_at=at.now,
        updated_at=at.now,
        version=0,
        origin=RefundOrigin.PROVIDER,
    )


def _completed(
    refund: Refund, found: FoundRefund, payment: Payment, state: State, at: Context
) -> Decision | str:
    if found.amount.amount_minor > payment.unrefunded_minor:
        return f"refund {found.reference} of {found.amount} is more than is left to refund"
    promised = payment.refund_pending_minor + found.amount.amount_minor
    promising = replace(payment, refund_pending_minor=promised)
    return RefundWork(promising, refund, state, at).succeeded(found.reference)


def _returned(
    refund: Refund, found: FoundRefund, payment: Payment, state: State, at: Context
) -> Decision:
    """The payer's bank sent it back: it is to be given back again, or kept."""
    failed = touched(
        replace(
            refund,
            status=RefundStatus.FAILED,
            last_error_code="refund_returned",
            last_error=found.reason or "the refund came back",
            completed_at=None,
        ),
        at,
    )
    moved = _taken_back(refund, payment, state, at)
    change = changed(
        _not_refunded(payment, refund.amount.amount_minor), EventType.REFUND_FAILED, at,
        refund=failed,
    )  # fmt: skip
    return Decision(
        result=change.payment,
        accounts=moved.accounts,
        system_accounts=(receivables(payment.tenant_id, payment.currency),),
        payments=(change.payment,),
        refunds=(failed,),
        transfers=(moved.transfer,),
        events=(change.event,),
        account_events=holds.balance_facts(moved, at),
    )


def _taken_back(refund: Refund, payment: Payment, state: State, at: Context) -> ledger.Moved:
    """From the customer, or, where it is spent, from what customers owe."""
    customer: Account = state.accounts[payment.source_account_id]
    amount_minor = refund.amount.amount_minor
    is_there = customer.available >= amount_minor
    entry = ledger.Entry(
        id=at.new_id(),
        amount_minor=amount_minor,
        transaction_type=ledger.TransactionType.REFUND_RETURNED,
        recorded_at=at.now,
        description="The refund came back",
        payment_id=payment.id,
        refund_id=refund.id,
    )
    owing = receivables(payment.tenant_id, payment.currency)
    return ledger.transfer(customer if is_there else owing, holds.clearing_of(payment), entry)


def _not_refunded(payment: Payment, amount_minor: int) -> Payment:
    left = payment.refunded_minor - amount_minor
    status = PaymentStatus.PARTIALLY_REFUNDED if left else PaymentStatus.COMPLETED
    return replace(payment, refunded_minor=left, status=status)
