"""What becomes of money an intent holds, or is about to take: captured, let go, or pending.

What is `pending` has neither been taken nor refused: a bank or a review takes days over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from simulator.faults import FaultKind
from simulator.stripe import cards, currencies, failures, parameters
from simulator.stripe.context import StripeContext, changed, found, moved, wrong_state
from simulator.stripe.forms import Form
from simulator.stripe.records import Charge, Intent
from simulator.vendor import Decision

CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
# In "rare cases" also `processing`: those are not simulated, for the charge is on its way.
_CANCELABLE: Final = (*CONFIRMABLE, "requires_capture")
_REASONS: Final = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_CAPTURED: Final = ("charge.captured", "payment_intent.succeeded")


def capture(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}/capture: all of it, or less and the rest released."""
    form.allow(parameters.CAPTURE)
    intent = found(context.state, intent_id)
    return take(context, intent, form.integer("amount_to_capture"), form.metadata())


def take(
    context: StripeContext, intent: Intent, amount: int | None, metadata: Mapping[str, str]
) -> Decision:
    """Capture what an intent holds, or a part, in Stripe's units."""
    charge = intent.charge
    if intent.status != "requires_capture" or charge is None:
        said = "This PaymentIntent could not be captured"
        return wrong_state(intent, "capture", ("requires_capture",), said)
    amount = intent.amount if amount is None else amount
    if not 0 < amount <= intent.amount:
        raise failures.invalid(
            "The amount to capture must be positive and at most the amount authorized, "
            f"{intent.amount}.",
            param="amount_to_capture",
            code="amount_too_large" if amount > 0 else "parameter_invalid_integer",
        )
    currencies.check_digits(amount, intent.currency, "amount_to_capture")
    after = replace(intent, metadata={**intent.metadata, **metadata})
    if is_pending(context, intent):
        return pending(after, replace(charge, pending=amount), ())
    return _taken(after, charge, amount)


def is_pending(context: StripeContext, intent: Intent) -> bool:
    """Whether what is taken now stays pending, for a fault or the dashboard says so."""
    return intent.pends or context.faults.has(FaultKind.PEND)


def pending(intent: Intent, charge: Charge, events: tuple[str, ...]) -> Decision:
    """The intent with its latest charge on its way."""
    waiting = replace(
        intent, status="processing", pends=False, charges=(*intent.charges[:-1], charge)
    )
    return changed(waiting, (*events, "payment_intent.processing"), "pending")


def settle(intent: Intent, *, succeeded: bool) -> Decision | None:
    """What a pending charge or capture ends as; None when none is."""
    charge = intent.charge
    if intent.status != "processing" or charge is None:
        return None
    is_held = intent.capture_method == "manual"
    settled = replace(charge, pending=0)
    if succeeded and is_held:
        return _taken(intent, settled, charge.pending)
    if succeeded:
        settled = replace(settled, amount_captured=charge.pending, captured=True)
        paid = replace(intent, status="succeeded", charges=(*intent.charges[:-1], settled))
        return moved(
            paid, "charged", charge.pending, ("charge.succeeded", "payment_intent.succeeded")
        )
    refused = replace(
        intent,
        status="requires_payment_method",
        payment_method=None,
        card=None,
        charges=(*intent.charges[:-1], replace(settled, decline=cards.GENERIC)),
        decline=cards.GENERIC,
    )
    events = ("charge.failed", "payment_intent.payment_failed")
    if is_held:
        return moved(refused, "voided", charge.amount, events)
    return changed(refused, events, f"declined:{cards.GENERIC.decline_code}")


def pend(intent: Intent) -> Decision | None:
    """Let stay pending what the intent takes next; None when it takes nothing any more."""
    if intent.status not in _CANCELABLE:
        return None
    return changed(replace(intent, pends=True), ())


def cancel(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """POST /v1/payment_intents/{id}/cancel: releases what was authorized."""
    form.allow(parameters.CANCEL)
    intent = found(context.state, intent_id)
    return let_go(intent, context.at, form.choice("cancellation_reason", _REASONS))


def let_go(intent: Intent, at: float, reason: str | None) -> Decision:
    """Cancel an intent, and release what it holds."""
    if intent.status not in _CANCELABLE:
        return wrong_state(intent, "cancel", _CANCELABLE)
    if intent.status == "requires_capture":
        return _released(intent, at, reason, "charge.refunded")
    cancelled = replace(intent, status="canceled", canceled_at=int(at), cancellation_reason=reason)
    return changed(cancelled, ("payment_intent.canceled",))


def expire(intent: Intent, at: float) -> Decision | None:
    """What Stripe does by itself with an authorization nobody captured; None if it holds none."""
    if intent.status != "requires_capture":
        return None
    return _released(intent, at, "automatic", "charge.expired")


def _taken(intent: Intent, charge: Charge, amount: int) -> Decision:
    """Take a part of the hold, whose rest Stripe lets go."""
    taken = replace(charge, amount_captured=amount, captured=True)
    captured = replace(intent, status="succeeded", charges=(*intent.charges[:-1], taken))
    return moved(captured, "captured", amount, _CAPTURED, released=charge.amount - amount)


def _released(intent: Intent, at: float, reason: str | None, event: str) -> Decision:
    *earlier, held = intent.charges
    cancelled = replace(
        intent,
        status="canceled",
        charges=(*earlier, replace(held, cancelled=True)),
        canceled_at=int(at),
        cancellation_reason=reason,
    )
    return moved(cancelled, "voided", intent.amount, (event, "payment_intent.canceled"))
