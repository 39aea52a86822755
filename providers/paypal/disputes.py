"""What PayPal's disputes mean: who gets the money, and whether it has been taken from us. Pure.

Source throughout: developer.paypal.com/docs/api/customer-disputes/v1. A status or an outcome that
is not named here is unreadable, never a win.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from payments.money import Money
from payments.outcome import Unknown
from payments.standing import DisputeKind, DisputeState, FoundDispute
from providers.gateway import Trouble
from providers.paypal.objects import Amount, Link, Object
from providers.transport import vendor_text

_OPEN: Final = frozenset(
    {"OPEN", "WAITING_FOR_BUYER_RESPONSE", "WAITING_FOR_SELLER_RESPONSE", "UNDER_REVIEW", "OTHER"}
)
# Source: .../docs/disputes/faq, "How does a merchant know the outcome of a dispute?", which spells
# two of them otherwise than the API. NONE is neither: closed without a decision, for another one.
_OUTCOMES: Final = {
    "RESOLVED_BUYER_FAVOUR": DisputeState.LOST,
    "RESOLVED_BUYER_FAVOR": DisputeState.LOST,
    "ACCEPTED": DisputeState.LOST,
    "RESOLVED_SELLER_FAVOUR": DisputeState.WON,
    "RESOLVED_SELLER_FAVOR": DisputeState.WON,
    "RESOLVED_WITH_PAYOUT": DisputeState.WON,
    "CANCELED_BY_BUYER": DisputeState.WON,
    "DENIED": DisputeState.WON,
    "NONE": DisputeState.WON,
}
# Whoever appeals has lost once, and the payer has been paid. Before that nothing has been: an
# amount that PayPal holds meanwhile, which it may or may not do and does not tell, is ours yet.
# Source: .../docs/disputes/disputes-reference, "Claim stage"; .../disputes/test-go-live, "Dispute
# NO HOLD" and "Dispute WITH HOLD".
_APPEALS: Final = frozenset({"PRE_ARBITRATION", "ARBITRATION"})
_US: Final = "SELLER"
# The rest are fees.
_SETTLEMENT: Final = "DISPUTE_SETTLEMENT"


class Transaction(Object):
    """A capture that is disputed; `custom` and `invoice_number` are as its order gave them."""

    seller_transaction_id: str | None = None
    custom: str | None = None
    invoice_number: str | None = None


class _MoneyMovement(Object):
    affected_party: str | None = None
    type: str | None = None
    reason: str | None = None
    amount: Amount | None = None


class _Outcome(Object):
    outcome_code: str | None = None
    amount_refunded: Amount | None = None


class Dispute(Object):
    """A dispute in full."""

    dispute_id: str
    status: str
    create_time: str | None = None
    update_time: str | None = None
    reason: str | None = None
    dispute_amount: Amount | None = None
    dispute_life_cycle_stage: str | None = None
    dispute_outcome: _Outcome = _Outcome()
    disputed_transactions: list[Transaction] = Field(default_factory=list)
    money_movements: list[_MoneyMovement] = Field(default_factory=list)

    @property
    def captures(self) -> frozenset[str]:
        """PayPal's ids of what is disputed, as we know them."""
        ids = (each.seller_transaction_id for each in self.disputed_transactions)
        return frozenset(filter(None, ids))

    @property
    def is_of_us(self) -> bool:
        """Whether PayPal tells of money that it moved from or to us for it."""
        return any(
            (each.affected_party, each.reason) == (_US, _SETTLEMENT)
            for each in self.money_movements
        )


class _Summary(Object):
    dispute_id: str


class DisputePage(Object):
    """One page of a list: which disputes there are, not what became of them."""

    items: list[_Summary] = Field(default_factory=list)
    links: list[Link] = Field(default_factory=list)


def dispute_found(dispute: Dispute) -> FoundDispute | Unknown:
    """What a dispute says."""
    if len(dispute.captures) > 1:
        # How much of its amount is whose, it does not say.
        return _unreadable(dispute, "is about several payments")
    if (state := _state(dispute)) is None:
        code = dispute.dispute_outcome.outcome_code
        return _unreadable(dispute, f"is {vendor_text(dispute.status)} {vendor_text(code)}")
    if (amount := _amount(dispute, state)) is None:
        return _unreadable(dispute, "has no amount")
    return FoundDispute(
        reference=dispute.dispute_id,
        kind=DisputeKind.DISPUTE,
        amount=amount,
        state=state,
        is_withdrawn=_is_withdrawn(dispute, state),
        reason=vendor_text(dispute.reason) or None,
    )


def _state(dispute: Dispute) -> DisputeState | None:
    if dispute.status == "RESOLVED":
        return _OUTCOMES.get(dispute.dispute_outcome.outcome_code or "")
    return DisputeState.OPEN if dispute.status in _OPEN else None


def _amount(dispute: Dispute, state: DisputeState) -> Money | None:
    """What the payer wants, or what the payer got where that is decided."""
    decided = dispute.dispute_outcome.amount_refunded if state is DisputeState.LOST else None
    amount = decided or dispute.dispute_amount
    return amount.money if amount else None


def _is_withdrawn(dispute: Dispute, state: DisputeState) -> bool:
    """Whether its amount is not ours at present: by what PayPal moved, where it tells.

    A dispute that was lost may have been paid by PayPal itself.
    """
    if state is DisputeState.WON:
        return False
    settled = [each for each in dispute.money_movements if each.reason == _SETTLEMENT]
    if dispute.is_of_us or (settled and state is DisputeState.LOST):
        ours = [each for each in settled if each.affected_party == _US]
        return _sum(ours, "DEBIT") > _sum(ours, "CREDIT")
    return state is DisputeState.LOST or dispute.dispute_life_cycle_stage in _APPEALS


def _sum(movements: list[_MoneyMovement], kind: str) -> int:
    amounts = [each.amount.money for each in movements if each.type == kind and each.amount]
    return sum(amount.amount_minor for amount in amounts if amount)


def _unreadable(dispute: Dispute, why: str) -> Unknown:
    name = vendor_text(dispute.dispute_id)
    return Unknown(Trouble.INCONCLUSIVE, f"dispute {name} {why}")
