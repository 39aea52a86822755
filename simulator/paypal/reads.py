"""PayPal's reads: one object by its id. PayPal has no list of orders."""

from __future__ import annotations

from simulator.entries import Record
from simulator.faults import FaultKind
from simulator.paypal import orders, payments, problems
from simulator.paypal.bodies import Reader
from simulator.paypal.orders import Desk
from simulator.vendor import Decision


def order(desk: Desk, _body: Reader, order_id: str) -> Decision:
    """GET /v2/checkout/orders/{id}."""
    one = orders.found(desk.books, order_id)
    return _shown(desk, one, one.created, one.custom_id)


def authorization(desk: Desk, _body: Reader, authorization_id: str) -> Decision:
    """GET /v2/payments/authorizations/{id}."""
    one = payments.authorization(desk.books, authorization_id)
    return _shown(desk, one, one.created, one.custom_id)


def capture(desk: Desk, _body: Reader, capture_id: str) -> Decision:
    """GET /v2/payments/captures/{id}."""
    one = payments.captured(desk.books, capture_id)
    return _shown(desk, one, one.created, one.custom_id)


def refund(desk: Desk, _body: Reader, refund_id: str) -> Decision:
    """GET /v2/payments/refunds/{id}."""
    one = desk.books.refunds.get(refund_id)
    if one is None:
        raise problems.not_found("refund_id")
    return _shown(desk, one, one.created, one.custom_id)


def _shown(desk: Desk, record: Record, created: float, payment_id: str | None) -> Decision:
    spec = desk.faults.replacing
    if spec is not None and spec.kind is FaultKind.NOT_FOUND:
        age_ms = (desk.at - created) * 1000
        if spec.milliseconds is None or age_ms < spec.milliseconds:
            raise problems.not_found("id")
    return Decision(status=200, outcome="ok", subject=record, payment_id=payment_id)
