"""Stripe's dashboard: what is done there to an intent or a refund, by the client's own ids."""

from __future__ import annotations

from typing import Final, assert_never

from simulator.dashboard import (
    Capture,
    CloseDispute,
    Expire,
    FailRefund,
    GiveBack,
    NotOffered,
    OfPayment,
    OfRefund,
    OpenDispute,
    Pend,
    Reverse,
    Settle,
    SettleRefund,
    Void,
)
from simulator.stripe import currencies, disputes, holds, refunds
from simulator.stripe.context import PAYMENT_ID, StripeContext
from simulator.stripe.records import Intent
from simulator.vendor import Decision

# A payment may have had several intents: the one that the money is on.
_TELLING: Final = ("succeeded", "requires_capture", "processing")


def act(context: StripeContext, action: OfPayment | OfRefund, subject: str) -> Decision | None:
    """Decide; None when Stripe has no such payment or refund, or nothing to do this with."""
    if isinstance(action, FailRefund | SettleRefund):
        return _act_on_refund(context, action, subject)
    intents = [*context.state.intents_with(PAYMENT_ID, subject)]
    if not intents:
        return None
    telling = (one for one in intents if one.status in _TELLING)
    return _act_on_intent(context, action, next(telling, intents[0]))


def _act_on_refund(context: StripeContext, action: OfRefund, name: str) -> Decision | None:
    refund = context.state.refund_named(name)
    if refund is None:
        return None
    if isinstance(action, FailRefund):
        return refunds.fail(context.state, refund, action.reason)
    return refunds.settle(context.state, refund)


def _act_on_intent(context: StripeContext, action: OfPayment, intent: Intent) -> Decision | None:
    match action:
        case Capture():
            return holds.take(context, intent, _units(action.amount, intent), {})
        case Void():
            return holds.let_go(intent, context.at, "requested_by_customer")
        case Expire():
            return holds.expire(intent, context.at)
        case GiveBack():
            amount = _units(action.amount, intent)
            return refunds.give(context, intent, refunds.refundable(intent), amount, refunds.Note())
        case OpenDispute():
            return disputes.begin(context, intent, _units(action.amount, intent), action.reason)
        case CloseDispute():
            return disputes.close(context, intent, won=action.outcome == "won")
        case Pend():
            return holds.pend(intent)
        case Settle():
            return holds.settle(intent, succeeded=action.outcome == "succeeded")
        case Reverse():
            raise NotOffered(
                "Stripe reverses no charge: what a bank takes back is a dispute, which see"
            )
        case _:
            assert_never(action)


def _units(amount_minor: int | None, intent: Intent) -> int | None:
    return (
        None if amount_minor is None else currencies.from_iso_minor(amount_minor, intent.currency)
    )
