"""A payment's hold: money reserved when it is accepted, posted or voided when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments import ledger
from payments.account import clearing, disputed
from payments.events import AccountEvent, AccountEventType

if TYPE_CHECKING:
    from payments.account import Account, SystemAccount
    from payments.decision import Context, State
    from payments.payment import Payment, Provider


def reserve(payment: Payment, source: Account, at: Context) -> ledger.Moved:
    """Hold the whole amount; the row's id is the payment's `hold_id`."""
    assert payment.hold_id is not None, "a hold's id is chosen with the payment"
    return ledger.reserve(
        source,
        clearing_of(payment),
        ledger.Entry(
            id=payment.hold_id,
            amount_minor=payment.amount.amount_minor,
            transaction_type=ledger.TransactionType.PAYMENT,
            recorded_at=at.now,
            description=payment.description,
            payment_id=payment.id,
        ),
    )


def post(payment: Payment, amount_minor: int, state: State, at: Context) -> ledger.Moved:
    """Move `amount_minor` of the hold to the provider's clearing account, release the rest."""
    source = state.accounts[payment.source_account_id]
    return ledger.post(
        _hold(payment), source, clearing_of(payment), _entry(payment, amount_minor, at)
    )


def void(payment: Payment, state: State, at: Context) -> ledger.Moved:
    """Release the hold."""
    source = state.accounts[payment.source_account_id]
    entry = _entry(payment, payment.amount.amount_minor, at)
    return ledger.void(_hold(payment), source, clearing_of(payment), entry)


def balance_facts(moved: ledger.Moved, at: Context) -> tuple[AccountEvent, ...]:
    """The public fact of each customer's new balance; a hold changes no balance."""
    return tuple(
        AccountEvent(at.new_id(), AccountEventType.BALANCE_CHANGED, account, at.now)
        for account in moved.accounts
    )


def provider_of(payment: Payment) -> Provider:
    """The provider of an external payment."""
    assert payment.provider is not None, "an external payment has a provider"
    return payment.provider


def clearing_of(payment: Payment) -> SystemAccount:
    """The clearing account of the payment's provider."""
    return clearing(payment.tenant_id, provider_of(payment), payment.currency)


def disputed_of(payment: Payment) -> SystemAccount:
    """Where the provider's withdrawals for disputes of the payment are."""
    return disputed(payment.tenant_id, provider_of(payment), payment.currency)


def _hold(payment: Payment) -> ledger.Hold:
    assert payment.hold_id is not None, "an open external payment has a hold"
    return ledger.Hold(payment.hold_id, payment.amount.amount_minor)


def _entry(payment: Payment, amount_minor: int, at: Context) -> ledger.Entry:
    return ledger.Entry(
        id=at.new_id(),
        amount_minor=amount_minor,
        transaction_type=ledger.TransactionType.PAYMENT,
        recorded_at=at.now,
        description=payment.description,
        payment_id=payment.id,
    )
