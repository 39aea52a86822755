"""PayPal's reads: one object by its id. PayPal has no list of orders."""

from __future__ import annotations

from simulator.entries import StoredObject
from simulator.faults import FaultKind
from simulator.paypal import orders, payments, problems, refunds
from simulator.paypal.bodies import Reader
from simulator.paypal.orders import PayPalContext
from simulator.vendor import Decision


def order(context: PayPalContext, _body: Reader, order_id: str) -> Decision:
    """GET /v2/checkout/orders/{id}."""
    one = orders.found(context.state, order_id)
    return _shown(context, one, one.created, one.custom_id)


def authorization(context: PayPalContext, _body: Reader, authorization_id: str) -> Decision:
    """GET /v2/payments/authorizations/{id}."""
    one = payments.authorization(context.state, authorization_id)
    return _shown(context, one, one.created, one.custom_id)


def capture(context: PayPalContext, _body: Reader, capture_id: str) -> Decision:
    """GET /v2/payments/captures/{id}."""
    one = refunds.captured(context.state, capture_id)
    return _shown(context, one, one.created, one.custom_id)


def refund(context: PayPalContext, _body: Reader, refund_id: str) -> Decision:
    """GET /v2/payments/refunds/{id}."""
    one = context.state.refunds.get(refund_id)
    if one is None:
        raise problems.not_found("refund_id")
    return _shown(context, one, one.created, one.custom_id)


def _shown(
    context: PayPalContext, record: StoredObject, created: float, payment_id: str | None
) -> Decision:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.NOT_FOUND:
        age_ms = (context.at - created) * 1000
        if spec.milliseconds is None or age_ms < spec.milliseconds:
            raise problems.not_found("id")
    return Decision(status=200, outcome="ok", subject=record, payment_id=payment_id)
