"""How a payment stands at Stripe: its PaymentIntents, and what was given back and disputed of them.

All of it or nothing: a list that was not read to its end, a status or a currency that is not known
here, and nothing was learnt. Sources: docs.stripe.com/api/refunds/object,
docs.stripe.com/api/disputes/object, docs.stripe.com/disputes/how-disputes-work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payments.outcome import NotFound, Retriable, Unknown
from payments.standing import (
    DisputeKind,
    DisputeState,
    FoundCapture,
    FoundDispute,
    FoundRefund,
    FoundState,
    Standing,
)
from providers.gateway import Trouble
from providers.notifications import our_id
from providers.stripe.amounts import StripeAmount, from_stripe
from providers.stripe.client import StripeClient, segment
from providers.stripe.inquiry import REFUNDS, Nothing, intents_of, read_intent
from providers.stripe.objects import Charge, Dispute, Intent, Page, Refund, Transaction
from providers.transport import vendor_text

if TYPE_CHECKING:
    from uuid import UUID

    from providers.gateway import Look, StandingQuery

_DISPUTES: Final = "/v1/disputes"
_CHARGES: Final = "/v1/charges"
# What is not confirmed yet moved nothing, and what needs its payer or another card will not.
_INTENTS: Final = frozenset(
    {
        "succeeded",
        "requires_capture",
        "processing",
        "canceled",
        "requires_action",
        "requires_confirmation",
        "requires_payment_method",
    }
)
_REFUND_STATES: Final = {
    "succeeded": FoundState.SUCCEEDED,
    "pending": FoundState.PENDING,
    "requires_action": FoundState.PENDING,
    "failed": FoundState.FAILED,
    "canceled": FoundState.FAILED,
}
# A warning is a question of the payer's bank: it withdraws nothing; closed, it is no dispute.
_DISPUTE_STATES: Final = {
    "needs_response": DisputeState.OPEN,
    "under_review": DisputeState.OPEN,
    "warning_needs_response": DisputeState.OPEN,
    "warning_under_review": DisputeState.OPEN,
    "warning_closed": DisputeState.WON,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
}
# Made by one request of Stripe's own, of whose two objects each is stamped in whole seconds.
_SAME_REQUEST_S: Final = 5


async def look(client: StripeClient, query: StandingQuery) -> Look:
    """By its id all that names it; by a reference alone the PaymentIntent of that name."""
    intents = await _intents(client, query)
    if not isinstance(intents, list):
        return intents
    payment_id = query.payment_id or our_id(intents[0].metadata.get("payment_id"))
    if payment_id is None:
        return Standing(payment_id=None)
    refunds: list[Refund] = []
    disputes: list[Dispute] = []
    for intent in intents:
        if not intent.amount_received:
            # What was not taken is not given back: a refund of it is how Stripe releases it.
            continue
        given_back = await _given_back(client, query, intent)
        if not isinstance(given_back, list):
            return given_back
        of_intent = {"payment_intent": intent.id}
        disputed = await client.listed(query, _DISPUTES, Page[Dispute], of_intent)
        if not isinstance(disputed, list):
            return disputed
        refunds += given_back
        disputes += disputed
    return _standing(payment_id, intents, refunds, disputes)


async def _intents(client: StripeClient, query: StandingQuery) -> list[Intent] | Nothing:
    known: list[Intent] = []
    if query.provider_reference is not None:
        read = await read_intent(client, query, query.provider_reference)
        if not isinstance(read, list):
            return read
        known = read
    if query.payment_id is None:
        return known
    sight = await intents_of(client, query, str(query.payment_id))
    if sight.unread:
        return sight.unread[0]
    names = {each.id for each in known}
    found = known + [each for each in sight.intents if each.id not in names]
    found.sort(key=lambda each: each.created)
    if not found and not sight.is_all:
        # One that was made this minute is in no search yet.
        return Unknown(Trouble.LIST_TOO_LONG, "not among the newest intents, nor in the search")
    return found or NotFound()


async def _given_back(
    client: StripeClient, query: StandingQuery, intent: Intent
) -> list[Refund] | Retriable | Unknown:
    """The refunds of what was taken.

    The rest of an authorization that was captured in part is released by a refund too, in the same
    request. It is told from one that somebody made later, of as much, by when the charge was
    captured, which is when it came into our balance.
    """
    refunds = await client.listed(query, REFUNDS, Page[Refund], {"payment_intent": intent.id})
    if not isinstance(refunds, list):
        return refunds
    rest = intent.amount - intent.amount_received
    alike = [each for each in refunds if each.amount == rest and _ours(each) is None]
    if not alike or intent.latest_charge is None:
        return refunds
    path, whole = f"{_CHARGES}/{segment(intent.latest_charge)}", {"expand[]": "balance_transaction"}
    charge = await client.read(query, path, Charge, whole)
    if not isinstance(charge, Charge):
        return charge
    taken = charge.balance_transaction
    if taken is None:
        return Unknown(Trouble.PENDING, f"{charge.id} is not in the balance yet")
    if not isinstance(taken, Transaction):
        return refunds
    released = [each for each in alike if abs(each.created - taken.created) <= _SAME_REQUEST_S]
    return [each for each in refunds if each not in released[:1]]


def _standing(
    payment_id: UUID, intents: list[Intent], refunds: list[Refund], disputes: list[Dispute]
) -> Standing | Unknown:
    captures = [_capture(each) for each in intents if each.amount_received]
    # Stripe lists what is newest first.
    given_back = [_refund(each) for each in reversed(refunds)]
    disputed = [_dispute(each) for each in reversed(disputes)]
    strange = [_unclear(each.status) for each in intents if each.status not in _INTENTS]
    for each in (*strange, *captures, *given_back, *disputed):
        if isinstance(each, Unknown):
            return each
    reasons = [vendor_text(each.cancellation_reason) for each in intents]
    return Standing(
        payment_id=payment_id,
        is_held=any(each.status == "requires_capture" for each in intents),
        is_pending=_is_pending(intents),
        captures=tuple(each for each in captures if isinstance(each, FoundCapture)),
        refunds=tuple(each for each in given_back if isinstance(each, FoundRefund)),
        disputes=tuple(each for each in disputed if isinstance(each, FoundDispute)),
        why_released=next(filter(None, reasons), None),
    )


def _is_pending(intents: list[Intent]) -> bool:
    """Processing, or, while nothing else came of the payment, about to be confirmed."""
    if any(each.status == "processing" for each in intents):
        return True
    has_money = any(each.has_money for each in intents)
    return not has_money and any(each.is_unconfirmed for each in intents)


def _capture(intent: Intent) -> FoundCapture | Unknown:
    amount = from_stripe(StripeAmount(intent.amount_received, intent.currency))
    return FoundCapture(intent.id, amount) if amount else _not_ours(intent)


def _refund(refund: Refund) -> FoundRefund | Unknown:
    amount = from_stripe(StripeAmount(refund.amount, refund.currency))
    state = _REFUND_STATES.get(refund.status or "")
    if amount is None:
        return _not_ours(refund)
    if state is None:
        return _unclear(refund.status)
    why = vendor_text(refund.failure_reason or refund.reason) or None
    return FoundRefund(refund.id, amount, state, our_id(_ours(refund)), why)


def _dispute(dispute: Dispute) -> FoundDispute | Unknown:
    """Withdrawn is what its transactions say: of one that was refunded whole, nothing is.

    One that was prevented is over before it was one: blocked, or resolved by paying it back
    (docs.stripe.com/changelog/basil/2025-08-27/add-preventions-to-dispute).
    """
    amount = from_stripe(StripeAmount(dispute.amount, dispute.currency))
    is_withdrawn = sum(each.amount for each in dispute.balance_transactions) < 0
    state = _DISPUTE_STATES.get(dispute.status)
    if dispute.status == "prevented":
        state = DisputeState.LOST if is_withdrawn else DisputeState.WON
    if amount is None:
        return _not_ours(dispute)
    if state is None:
        return _unclear(dispute.status)
    why = vendor_text(dispute.reason) or None
    return FoundDispute(dispute.id, DisputeKind.DISPUTE, amount, state, is_withdrawn, why)


def _ours(refund: Refund) -> str | None:
    return (refund.metadata or {}).get("refund_id")


def _unclear(status: str | None) -> Unknown:
    return Unknown(Trouble.UNEXPECTED_STATUS, f"status {vendor_text(status)!r}")


def _not_ours(found: Intent | Refund | Dispute) -> Unknown:
    return Unknown(
        Trouble.AMOUNT_MISMATCH, f"{found.id} is of {found.amount} {vendor_text(found.currency)}"
    )
