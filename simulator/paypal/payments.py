"""Authorizations, captures and refunds of money PayPal has on record, as decisions."""

from __future__ import annotations

from dataclasses import replace

from simulator.faults import FaultKind
from simulator.paypal import problems
from simulator.paypal.bodies import Reader
from simulator.paypal.orders import PayPalContext, declined
from simulator.paypal.records import Authorization, Capture, PayPalRefund
from simulator.paypal.state import PayPalState
from simulator.vendor import Decision


def capture(context: PayPalContext, body: Reader, authorization_id: str) -> Decision:
    """POST /v2/payments/authorizations/{id}/capture: all that is left, or a part of it."""
    held = authorization(context.state, authorization_id)
    money = body.amount()
    final = body.flag("final_capture", default=False)
    invoice_id = body.text("invoice_id", 127) or held.invoice_id
    if issue := _not_capturable(held, money):
        return declined(issue, held.custom_id, held.id, kept=False)
    amount = money[0] if money is not None else held.amount - held.captured
    issue = _scripted(context)
    if issue is None and context.state.is_invoiced_elsewhere(invoice_id, held.order_id):
        issue = "DUPLICATE_INVOICE_ID"
    if issue is not None:
        return declined(issue, held.custom_id, held.id)
    captured = held.captured + amount
    done = final or captured == held.amount
    taken = Capture(
        id=context.ids.capitals(),
        order_id=held.order_id,
        created=context.at,
        updated=context.at,
        status="COMPLETED",
        amount=amount,
        currency=held.currency,
        authorization_id=held.id,
        final=done,
        custom_id=held.custom_id,
        invoice_id=invoice_id,
    )
    after = replace(
        held,
        captured=captured,
        updated=context.at,
        status="CAPTURED" if done else "PARTIALLY_CAPTURED",
    )
    order = context.state.orders[held.order_id]
    order = replace(order, updated=context.at, captures=(*order.captures, taken.id))
    return Decision(
        status=201,
        outcome="ok",
        writes=(taken, after, order),
        keeps_key=True,
        effect="captured",
        reference=taken.id,
        payment_id=held.custom_id,
        amount_minor=amount,
        currency=held.currency,
        events=("PAYMENT.CAPTURE.COMPLETED",),
    )


def void(context: PayPalContext, _body: Reader, authorization_id: str) -> Decision:
    """POST /v2/payments/authorizations/{id}/void."""
    held = authorization(context.state, authorization_id)
    if held.status == "VOIDED":
        return declined("PREVIOUSLY_VOIDED", held.custom_id, held.id, kept=False)
    if held.status != "CREATED":
        return declined("PREVIOUSLY_CAPTURED", held.custom_id, held.id, kept=False)
    return _released(held, context.at)


def expire(state: PayPalState, at: float, payment_id: str) -> Decision | None:
    """What PayPal does by itself at the end of the validity: VOIDED, and told as if voided."""
    for held in state.authorizations.values():
        if held.custom_id == payment_id and held.status == "CREATED":
            return _released(held, at)
    return None


def refund(context: PayPalContext, body: Reader, capture_id: str) -> Decision:
    """POST /v2/payments/captures/{id}/refund: all that is left, or a part of it."""
    taken = captured(context.state, capture_id)
    money = body.amount()
    custom_id = body.text("custom_id", 127)
    invoice_id = body.text("invoice_id", 127) or taken.invoice_id
    left = taken.amount - taken.refunded
    if issue := _not_refundable(taken, money, left):
        return declined(issue, taken.custom_id, taken.id, kept=False)
    if issue := _scripted_refund(context):
        return declined(issue, taken.custom_id, taken.id)
    amount = money[0] if money is not None else left
    refunded = taken.refunded + amount
    given = PayPalRefund(
        id=context.ids.capitals(),
        capture_id=taken.id,
        created=context.at,
        status="COMPLETED",
        amount=amount,
        currency=taken.currency,
        custom_id=custom_id or taken.custom_id,
        is_custom=custom_id is not None,
        invoice_id=invoice_id,
        note=body.text("note_to_payer"),
        total_refunded=refunded,
    )
    status = "REFUNDED" if refunded == taken.amount else "PARTIALLY_REFUNDED"
    after = replace(taken, refunded=refunded, status=status, updated=context.at)
    return Decision(
        status=201,
        outcome="ok",
        writes=(given, after),
        keeps_key=True,
        effect="refunded",
        reference=given.id,
        refund_id=given.our_id,
        payment_id=taken.custom_id,
        amount_minor=amount,
        currency=taken.currency,
        events=("PAYMENT.CAPTURE.REFUNDED",),
    )


def authorization(state: PayPalState, authorization_id: str) -> Authorization:
    """The authorization of a path, or PayPal's 404."""
    held = state.authorizations.get(authorization_id)
    if held is None:
        raise problems.not_found("authorization_id")
    return held


def captured(state: PayPalState, capture_id: str) -> Capture:
    """The capture of a path, or PayPal's 404."""
    taken = state.captures.get(capture_id)
    if taken is None:
        raise problems.not_found("capture_id")
    return taken


def _released(held: Authorization, at: float) -> Decision:
    return Decision(
        status=204,
        outcome="ok",
        writes=(replace(held, status="VOIDED", updated=at),),
        keeps_key=True,
        effect="voided",
        reference=held.id,
        payment_id=held.custom_id,
        amount_minor=held.amount,
        currency=held.currency,
        events=("PAYMENT.AUTHORIZATION.VOIDED",),
    )


def _not_capturable(held: Authorization, money: tuple[int, str] | None) -> str | None:
    match held.status:
        case "VOIDED":
            return "AUTHORIZATION_VOIDED"
        case "DENIED":
            return "AUTHORIZATION_DENIED"
        case "CAPTURED":
            return "AUTHORIZATION_ALREADY_CAPTURED"
        case _:
            pass
    if money is not None and money[1] != held.currency:
        return "AUTH_CAPTURE_CURRENCY_MISMATCH"
    if money is not None and money[0] > held.amount - held.captured:
        return "MAX_CAPTURE_AMOUNT_EXCEEDED"
    return None


def _not_refundable(taken: Capture, money: tuple[int, str] | None, left: int) -> str | None:
    if taken.status == "DECLINED":
        return "REFUND_NOT_ALLOWED"
    if left == 0:
        return "CAPTURE_FULLY_REFUNDED"
    if money is not None and money[1] != taken.currency:
        return "REFUND_CAPTURE_CURRENCY_MISMATCH"
    if money is not None and money[0] > left:
        return "REFUND_AMOUNT_EXCEEDED"
    return None


def _scripted(context: PayPalContext) -> str | None:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        return spec.code or "TRANSACTION_REFUSED"
    return None


def _scripted_refund(context: PayPalContext) -> str | None:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        return spec.code or "REFUND_FAILED_INSUFFICIENT_FUNDS"
    return None
