"""Refunds: never more than was captured, in one or many parts. One that succeeded may come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from simulator.faults import FaultKind
from simulator.stripe import cards, currencies, failures
from simulator.stripe.context import PAYMENT_ID, StripeContext, found
from simulator.stripe.forms import Form
from simulator.stripe.records import Charge, Failure, Intent, Refund
from simulator.stripe.state import REFUND_ID, StripeState
from simulator.vendor import Decision

_CREATE: Final = frozenset(
    (
        "amount",
        "charge",
        "currency",
        "customer",
        "expand",
        "instructions_email",
        "metadata",
        "origin",
        "payment_intent",
        "reason",
        "refund_application_fee",
        "reverse_transfer",
    )
)
_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")
_FAILURE_REASONS: Final = (
    "charge_for_pending_refund_disputed",
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
)


@dataclass(frozen=True, slots=True)
class Note:
    """What goes with a refund; the dashboard's has nothing of the client's."""

    reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/refunds, by `charge` or by `payment_intent`."""
    form.allow(_CREATE)
    amount = form.integer("amount")
    note = Note(form.choice("reason", _REASONS), form.metadata())
    intent, charge = _refundable(context.state, form)
    return give(context, intent, charge, amount, note)


def give(
    context: StripeContext, intent: Intent, charge: Charge, amount: int | None, note: Note
) -> Decision:
    """Give back what is left of a charge, or a part in Stripe's units."""
    left = charge.amount_refundable
    if left == 0 and charge.amount_disputed:
        message = f"Charge {charge.id} has been charged back; cannot issue a refund."
        return _failed(intent, message, "charge_disputed")
    if left == 0:
        return _failed(
            intent, f"Charge {charge.id} has already been refunded.", "charge_already_refunded"
        )
    amount = left if amount is None else amount
    if amount < 1:
        raise failures.invalid(
            "This value must be greater than or equal to 1.",
            param="amount",
            code="parameter_invalid_integer",
        )
    currencies.check_digits(amount, intent.currency)
    if amount > left:
        message = (
            f"Refund amount ({amount} {intent.currency}) is greater than unrefunded amount on "
            f"charge ({left} {intent.currency})"
        )
        return _failed(intent, message, None, param="amount")
    if context.faults.has(FaultKind.DECLINE):
        message = "You have insufficient available funds in your Stripe account."
        return _failed(intent, message, "balance_insufficient")
    return _given(context, intent, charge, amount, note)


def refundable(intent: Intent, charge_id: str | None = None) -> Charge:
    """The charge of an intent that can be refunded, or Stripe's refusal."""
    charge = intent.charge
    if charge is None or not charge.captured or charge_id not in (None, charge.id):
        raise failures.invalid(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            param="payment_intent",
            code="payment_intent_unexpected_state",
        )
    return charge


def fail(state: StripeState, refund: Refund, reason: str | None) -> Decision | None:
    """The money comes back to the account; None when none was on its way or had arrived."""
    if refund.status not in ("succeeded", "pending"):
        return None
    reason = reason or "lost_or_stolen_card"
    if reason not in _FAILURE_REASONS:
        raise failures.invalid(f"Invalid reason: {reason}", param="reason")
    intent = state.intents[refund.payment_intent]
    charges = tuple(
        replace(one, amount_refunded=one.amount_refunded - refund.amount)
        if one.id == refund.charge
        else one
        for one in intent.charges
    )
    failed = replace(refund, status="failed", failure_reason=reason)
    events = ("refund.failed", "refund.updated", "charge.refund.updated")
    return _told(failed, replace(intent, charges=charges), events, "refund_failed")


def settle(state: StripeState, refund: Refund) -> Decision | None:
    """A pending refund arrives, as it was counted already; None for any other."""
    if refund.status != "pending":
        return None
    arrived = replace(refund, status="succeeded")
    intent = state.intents[refund.payment_intent]
    return _told(arrived, intent, ("refund.updated", "charge.refund.updated"), None)


def _refundable(state: StripeState, form: Form) -> tuple[Intent, Charge]:
    intent_id, charge_id = form.text("payment_intent"), form.text("charge")
    if intent_id is None and charge_id is None:
        raise failures.invalid(
            "One of the following params should be provided for this request: payment_intent "
            "or charge.",
            code="parameter_missing",
        )
    if intent_id is None:
        intent_id = state.intent_of_charge.get(charge_id or "")
        if intent_id is None:
            raise failures.no_such("charge", charge_id or "", "charge")
    intent = found(state, intent_id, "payment_intent")
    return intent, refundable(intent, charge_id)


def _given(
    context: StripeContext, intent: Intent, charge: Charge, amount: int, note: Note
) -> Decision:
    card = cards.find(intent.test_card) or cards.Card()
    failed = card.refund_status == "failed"
    refund = Refund(
        id=context.ids.prefixed("re_3"),
        created=context.at,
        amount=amount,
        currency=intent.currency,
        charge=charge.id,
        payment_intent=intent.id,
        status="pending" if context.faults.has(FaultKind.PEND) else card.refund_status,
        reason=note.reason,
        metadata=note.metadata,
        failure_reason="expired_or_canceled_card" if failed else None,
    )
    if failed:
        return Decision(
            status=200,
            outcome="declined:expired_or_canceled_card",
            writes=(refund,),
            keeps_key=True,
            reference=refund.id,
            payment_id=intent.metadata.get(PAYMENT_ID),
            events=("refund.failed",),
        )
    given = replace(charge, amount_refunded=charge.amount_refunded + amount)
    after = replace(intent, charges=(*intent.charges[:-1], given))
    return _told(refund, after, ("refund.created", "charge.refunded"), "refunded")


def _told(refund: Refund, intent: Intent, events: tuple[str, ...], effect: str | None) -> Decision:
    """A refund as it is now, and the intent it belongs to."""
    return Decision(
        status=200,
        outcome="ok",
        writes=(refund, intent),
        keeps_key=True,
        effect=effect,
        reference=refund.id,
        refund_id=refund.metadata.get(REFUND_ID),
        payment_id=intent.metadata.get(PAYMENT_ID),
        amount_minor=currencies.iso_minor(refund.amount, intent.currency),
        currency=intent.currency.upper(),
        events=events,
    )


def _failed(
    intent: Intent, message: str, code: str | None, *, param: str | None = None
) -> Decision:
    failure = Failure(
        status=400, type="invalid_request_error", message=message, code=code, param=param
    )
    return Decision(
        status=400,
        outcome=f"declined:{code or 'refund_too_large'}",
        error=failure,
        keeps_key=True,
        payment_id=intent.metadata.get(PAYMENT_ID),
        reference=intent.id,
    )
