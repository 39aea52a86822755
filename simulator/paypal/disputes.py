"""Disputes: a payer's case against a capture. Money moves when it is decided for the payer.

Source: the OpenAPI document of Customer Disputes v1. Who wins is said in the dashboard; what
either side could do before that is not simulated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from simulator.entries import DisputeFact
from simulator.paypal import problems, render
from simulator.paypal.bodies import Reader
from simulator.paypal.orders import PayPalContext
from simulator.paypal.records import Capture, PayPalDispute
from simulator.vendor import Decision

_PATH: Final = "/v1/customer/disputes"
_PAGE_DEFAULT, _PAGE_MAX = 10, 50
_REASONS: Final = frozenset(
    (
        "MERCHANDISE_OR_SERVICE_NOT_RECEIVED MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED UNAUTHORISED "
        "CREDIT_NOT_PROCESSED DUPLICATE_TRANSACTION INCORRECT_AMOUNT PAYMENT_BY_OTHER_MEANS "
        "CANCELED_RECURRING_BILLING PROBLEM_WITH_REMITTANCE OTHER"
    ).split()
)
_TO_BUYER, _TO_SELLER = "RESOLVED_BUYER_FAVOUR", "RESOLVED_SELLER_FAVOUR"


def retrieve(context: PayPalContext, _query: Reader, dispute_id: str) -> Decision:
    """GET /v1/customer/disputes/{id}."""
    dispute = context.state.disputes.get(dispute_id)
    if dispute is None:
        raise problems.not_found("dispute_id")
    payment_id = context.state.captures[dispute.capture_id].custom_id
    return Decision(
        status=200, outcome="ok", subject=dispute, reference=dispute.id, payment_id=payment_id
    )


def listed(context: PayPalContext, query: Reader) -> Decision:
    """GET /v1/customer/disputes: summaries, newest first, of one transaction or of all."""
    of_capture, states = query.text("disputed_transaction_id"), query.text("dispute_state", 2000)
    if of_capture is not None and query.text("start_time") is not None:
        raise problems.malformed("INVALID_PARAMETER_VALUE", "start_time")
    wanted = states.split(",") if states else None
    chosen = [
        one
        for one in context.state.disputes.newest_first()
        if of_capture in (None, one.capture_id)
        and (wanted is None or render.dispute_state(one) in wanted)
    ]
    start = _number(query, "next_page_token", 0, len(chosen))
    size = _number(query, "page_size", _PAGE_DEFAULT, _PAGE_MAX)
    page = chosen[start : start + size]
    host = "https://api.paypal.com"
    links = [{"href": f"{host}{_PATH}", "rel": "self", "method": "GET"}]
    if start + size < len(chosen):
        following = f"{host}{_PATH}?page_size={size}&next_page_token={start + size}"
        links.append({"href": following, "rel": "next", "method": "GET"})
    body = {"items": [render.dispute_summary(one, host) for one in page], "links": links}
    return Decision(status=200, outcome="ok", body=body)


def begin(
    context: PayPalContext, taken: Capture, amount: int | None, reason: str | None
) -> Decision:
    """A capture is disputed, or a part of what is left of it: one case at a time."""
    reason = reason or "MERCHANDISE_OR_SERVICE_NOT_RECEIVED"
    if reason not in _REASONS:
        raise problems.malformed("INVALID_PARAMETER_VALUE", "/reason")
    if context.state.open_dispute((taken.id,)) is not None:
        raise problems.unprocessable("TRANSACTION_DISPUTED")
    amount = taken.left if amount is None else amount
    if taken.status in ("PENDING", "DECLINED", "FAILED") or not 0 < amount <= taken.left:
        raise problems.unprocessable("INVALID_PARAMETER_VALUE", "/amount")
    dispute = PayPalDispute(
        id=f"PP-D-{context.ids.capitals()}",
        capture_id=taken.id,
        created=context.at,
        updated=context.at,
        amount=amount,
        currency=taken.currency,
        reason=reason,
    )
    disputed = replace(taken, disputed=True, updated=context.at)
    return _told(dispute, disputed, None, "CUSTOMER.DISPUTE.CREATED")


def close(context: PayPalContext, dispute: PayPalDispute, *, won: bool) -> Decision:
    """It is decided for the merchant, or for the payer, who then has the money."""
    taken = context.state.captures[dispute.capture_id]
    if won:
        ended = replace(dispute, outcome=_TO_SELLER, updated=context.at)
        after = replace(taken, disputed=taken.lost > 0, updated=context.at)
        return _told(ended, after, None, "CUSTOMER.DISPUTE.RESOLVED")
    ended = replace(dispute, outcome=_TO_BUYER, amount_refunded=dispute.amount, updated=context.at)
    after = replace(taken, lost=taken.lost + dispute.amount, updated=context.at)
    return _told(ended, after, "disputed", "CUSTOMER.DISPUTE.RESOLVED")


def ended_by_refund(dispute: PayPalDispute, at: float) -> PayPalDispute:
    """The seller gave all back, which is what the payer wanted."""
    return replace(
        dispute,
        outcome=_TO_BUYER,
        amount_refunded=dispute.amount,
        is_settled_by_seller=True,
        updated=at,
    )


def fact(dispute: PayPalDispute) -> DisputeFact:
    """Where the dispute stands; what the seller refunded was not withdrawn."""
    match dispute.outcome:
        case None:
            return DisputeFact(dispute.id, dispute.amount, "open", 0)
        case "RESOLVED_SELLER_FAVOUR":
            return DisputeFact(dispute.id, dispute.amount, "won", 0)
        case _:
            withdrawn = 0 if dispute.is_settled_by_seller else dispute.amount_refunded
            return DisputeFact(dispute.id, dispute.amount, "lost", withdrawn)


def _told(dispute: PayPalDispute, taken: Capture, effect: str | None, event: str) -> Decision:
    return Decision(
        status=200,
        outcome="ok",
        writes=(dispute, taken),
        effect=effect,
        reference=dispute.id,
        payment_id=taken.custom_id,
        amount_minor=dispute.amount,
        currency=dispute.currency,
        dispute=fact(dispute),
        events=(event,),
    )


def _number(query: Reader, name: str, default: int, most: int) -> int:
    text = query.text(name)
    if text is None:
        return default
    if not text.isdecimal() or not int(text) <= most:
        raise problems.malformed("INVALID_PARAMETER_VALUE", name)
    return int(text)
