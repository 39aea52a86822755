"""PayPal's dashboard: what is done there to an order or a refund, by the client's own ids."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from simulator.dashboard import (
    Capture,
    CloseDispute,
    Expire,
    FailRefund,
    GiveBack,
    OfPayment,
    OfRefund,
    OpenDispute,
    Pend,
    Reverse,
    Settle,
    SettleRefund,
    Void,
)
from simulator.entries import StoredObject
from simulator.paypal import disputes, payments, records, refunds
from simulator.paypal.orders import PayPalContext
from simulator.vendor import Decision


def act(context: PayPalContext, action: OfPayment | OfRefund, subject: str) -> Decision | None:
    """Decide; None when PayPal has no such payment or refund, or nothing to do this with."""
    if isinstance(action, FailRefund | SettleRefund):
        return _act_on_refund(context, action, subject)
    order = context.state.order_of(subject)
    return None if order is None else _act_on_order(context, action, order)


def _act_on_refund(context: PayPalContext, action: OfRefund, name: str) -> Decision | None:
    given = context.state.refund_named(name)
    if given is None:
        return None
    if isinstance(action, FailRefund):
        return refunds.fail(context, given, action.reason)
    return refunds.settle(context, given)


def _act_on_order(
    context: PayPalContext, action: OfPayment, order: records.Order
) -> Decision | None:
    match action:
        case Capture() | Void() | Expire():
            held = _held(context, order)
            return None if held is None else _act_on_hold(context, action, held)
        case GiveBack() | OpenDispute() | Reverse():
            taken = _taken(context, order, action.amount or 1)
            return None if taken is None else _act_on_capture(context, action, taken)
        case CloseDispute():
            dispute = context.state.open_dispute(order.captures)
            if dispute is None:
                return None
            return disputes.close(context, dispute, won=action.outcome == "won")
        case Pend():
            return _pending(context, order)
        case Settle():
            waiting = (context.state.captures[one] for one in order.captures)
            taken = next((one for one in waiting if one.status == "PENDING"), None)
            if taken is None:
                return None
            return payments.settle(context, taken, succeeded=action.outcome == "succeeded")
        case _:
            assert_never(action)


def _act_on_hold(
    context: PayPalContext, action: Capture | Void | Expire, held: records.Authorization
) -> Decision | None:
    match action:
        case Capture(amount=amount):
            money = None if amount is None else (amount, held.currency)
            return payments.take(context, held, payments.Asked(money))
        case Void():
            return payments.let_go(held, context.at)
        case Expire():
            return payments.expire(held, context.at)
        case _:
            assert_never(action)


def _act_on_capture(
    context: PayPalContext, action: GiveBack | OpenDispute | Reverse, taken: records.Capture
) -> Decision:
    match action:
        case GiveBack(amount=amount):
            money = None if amount is None else (amount, taken.currency)
            return refunds.give(context, taken, money, refunds.Note())
        case OpenDispute():
            return disputes.begin(context, taken, action.amount, action.reason)
        case Reverse():
            return refunds.reverse(context, taken, action.amount)
        case _:
            assert_never(action)


def _pending(context: PayPalContext, order: records.Order) -> Decision | None:
    """What is taken next stays pending; None when nothing can be taken any more."""
    held = _held(context, order)
    pends: StoredObject
    if held is not None and held.status in payments.OPEN:
        pends = replace(held, pends=True, updated=context.at)
    elif order.status != "COMPLETED":
        pends = replace(order, pends=True, updated=context.at)
    else:
        return None
    return Decision(
        status=200, outcome="ok", writes=(pends,), payment_id=order.custom_id, reference=order.id
    )


def _held(context: PayPalContext, order: records.Order) -> records.Authorization | None:
    return context.state.authorizations[order.authorizations[-1]] if order.authorizations else None


def _taken(context: PayPalContext, order: records.Order, amount: int) -> records.Capture | None:
    """Of several captures the newest of which so much is left, or the newest."""
    captures = [context.state.captures[one] for one in reversed(order.captures)]
    enough = (one for one in captures if one.left >= amount)
    return next(enough, captures[0] if captures else None)
