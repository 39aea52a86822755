"""Refunds: never more than was captured, in one or many parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from simulator.faults import FaultKind
from simulator.stripe import cards, currencies, failures
from simulator.stripe.forms import Form
from simulator.stripe.intents import PAYMENT_ID, StripeContext, found
from simulator.stripe.records import Charge, Failure, Intent, Refund
from simulator.stripe.state import StripeState
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


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/refunds, by `charge` or by `payment_intent`."""
    form.allow(_CREATE)
    amount = form.integer("amount")
    form.choice("reason", _REASONS)
    intent, charge = _refundable(context.state, form)
    left = charge.amount_captured - charge.amount_refunded
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
    if amount > left:
        message = (
            f"Refund amount ({amount} {intent.currency}) is greater than unrefunded amount on "
            f"charge ({left} {intent.currency})"
        )
        return _failed(intent, message, None, param="amount")
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        message = "You have insufficient available funds in your Stripe account."
        return _failed(intent, message, "balance_insufficient")
    return _refunded(context, form, intent, charge, amount)


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
    charge = intent.charge
    if charge is None or not charge.captured or charge_id not in (None, charge.id):
        raise failures.invalid(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            param="payment_intent",
            code="payment_intent_unexpected_state",
        )
    return intent, charge


def _refunded(
    context: StripeContext, form: Form, intent: Intent, charge: Charge, amount: int
) -> Decision:
    card = cards.find(intent.payment_method or "") or cards.Card()
    failed = card.refund_status == "failed"
    refund = Refund(
        id=context.ids.prefixed("re_3"),
        created=context.at,
        amount=amount,
        currency=intent.currency,
        charge=charge.id,
        payment_intent=intent.id,
        status=card.refund_status,
        reason=form.text("reason"),
        metadata=form.metadata(),
        failure_reason="expired_or_canceled_card" if failed else None,
    )
    payment_id = intent.metadata.get(PAYMENT_ID)
    if failed:
        return Decision(
            status=200, outcome="declined:expired_or_canceled_card", writes=(refund,),
            keeps_key=True, reference=refund.id, payment_id=payment_id, events=("refund.failed",),
        )  # fmt: skip
    given = replace(charge, amount_refunded=charge.amount_refunded + amount)
    after = replace(intent, charges=(*intent.charges[:-1], given))
    return Decision(
        status=200,
        outcome="ok",
        writes=(refund, after),
        keeps_key=True,
        effect="refunded",
        reference=refund.id,
        payment_id=payment_id,
        amount_minor=currencies.iso_minor(amount, intent.currency),
        currency=intent.currency.upper(),
        events=("refund.created", "charge.refunded"),
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
