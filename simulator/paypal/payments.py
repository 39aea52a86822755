"""Authorizations and their captures, as decisions; a capture may stay pending for days.

What is `PENDING` has neither been taken nor refused. An authorization of which a part was
captured goes on holding the rest, until that is captured too, or voided: PayPal voids all but
what "has been fully captured".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.faults import FaultKind
from simulator.paypal import problems
from simulator.paypal.bodies import Reader
from simulator.paypal.orders import PayPalContext, declined
from simulator.paypal.records import Authorization, Capture
from simulator.paypal.state import PayPalState
from simulator.vendor import Decision

OPEN = ("CREATED", "PARTIALLY_CAPTURED")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be captured: all that is left, or a part; the last of it, or one of several."""

    money: tuple[int, str] | None = None
    final: bool = False
    invoice_id: str | None = None


def capture(context: PayPalContext, body: Reader, authorization_id: str) -> Decision:
    """POST /v2/payments/authorizations/{id}/capture."""
    held = authorization(context.state, authorization_id)
    asked = Asked(
        body.amount(), body.flag("final_capture", default=False), body.text("invoice_id", 127)
    )
    return take(context, held, asked)


def take(context: PayPalContext, held: Authorization, asked: Asked) -> Decision:
    """Capture what an authorization holds, or a part."""
    invoice_id = asked.invoice_id or held.invoice_id
    if issue := _not_capturable(held, asked.money):
        return declined(issue, held.custom_id, held.id, kept=False)
    issue = _scripted(context)
    if issue is None and context.state.is_invoiced_elsewhere(invoice_id, held.order_id):
        issue = "DUPLICATE_INVOICE_ID"
    if issue is not None:
        return declined(issue, held.custom_id, held.id)
    amount = held.left if asked.money is None else asked.money[0]
    done = asked.final or amount == held.left
    is_pending = held.pends or context.faults.has(FaultKind.PEND)
    taken = Capture(
        id=context.ids.capitals(),
        order_id=held.order_id,
        created=context.at,
        updated=context.at,
        status="PENDING" if is_pending else "COMPLETED",
        amount=amount,
        currency=held.currency,
        authorization_id=held.id,
        final=done,
        custom_id=held.custom_id,
        invoice_id=invoice_id,
    )
    after = replace(
        held,
        captured=held.captured + amount,
        updated=context.at,
        status="CAPTURED" if done else "PARTIALLY_CAPTURED",
        pends=False,
    )
    return _captured(context, taken, after)


def void(context: PayPalContext, _body: Reader, authorization_id: str) -> Decision:
    """POST /v2/payments/authorizations/{id}/void."""
    return let_go(authorization(context.state, authorization_id), context.at)


def let_go(held: Authorization, at: float) -> Decision:
    """Release what an authorization still holds, or PayPal's refusal."""
    if held.status == "VOIDED":
        return declined("PREVIOUSLY_VOIDED", held.custom_id, held.id, kept=False)
    if held.status not in OPEN:
        return declined("PREVIOUSLY_CAPTURED", held.custom_id, held.id, kept=False)
    return _released(held, at)


def expire(held: Authorization, at: float) -> Decision | None:
    """What PayPal does by itself at the end of the validity: VOIDED, and told as if voided."""
    return _released(held, at) if held.status in OPEN else None


def settle(context: PayPalContext, taken: Capture, *, succeeded: bool) -> Decision:
    """What a pending capture ends as: COMPLETED, or DECLINED and the hold let go."""
    held = context.state.authorizations.get(taken.authorization_id or "")
    released = held.left if held is not None and taken.final else 0
    settled = replace(taken, status="COMPLETED" if succeeded else "DECLINED", updated=context.at)
    if succeeded:
        effect: str | None = "charged" if held is None else "captured"
    else:
        effect = None if held is None else "voided"
    return Decision(
        status=200,
        outcome="ok" if succeeded else "declined:DENIED",
        writes=(settled,),
        effect=effect,
        reference=taken.id,
        payment_id=taken.custom_id,
        amount_minor=taken.amount if succeeded else taken.amount + released,
        released_minor=released if succeeded else 0,
        currency=taken.currency,
        events=("PAYMENT.CAPTURE.COMPLETED" if succeeded else "PAYMENT.CAPTURE.DENIED",),
    )


def authorization(state: PayPalState, authorization_id: str) -> Authorization:
    """The authorization of a path, or PayPal's 404."""
    held = state.authorizations.get(authorization_id)
    if held is None:
        raise problems.not_found("authorization_id")
    return held


def _captured(context: PayPalContext, taken: Capture, after: Authorization) -> Decision:
    order = context.state.orders[after.order_id]
    order = replace(order, updated=context.at, captures=(*order.captures, taken.id))
    is_pending = taken.status == "PENDING"
    return Decision(
        status=201,
        outcome="pending" if is_pending else "ok",
        writes=(taken, after, order),
        keeps_key=True,
        effect=None if is_pending else "captured",
        reference=taken.id,
        payment_id=after.custom_id,
        amount_minor=taken.amount,
        released_minor=0 if is_pending or not taken.final else after.left,
        currency=after.currency,
        events=(f"PAYMENT.CAPTURE.{taken.status}",),
    )


def _released(held: Authorization, at: float) -> Decision:
    return Decision(
        status=204,
        outcome="ok",
        writes=(replace(held, status="VOIDED", updated=at),),
        keeps_key=True,
        effect="voided",
        reference=held.id,
        payment_id=held.custom_id,
        amount_minor=held.left,
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
    if money is not None and money[0] > held.left:
        return "MAX_CAPTURE_AMOUNT_EXCEEDED"
    return None


def _scripted(context: PayPalContext) -> str | None:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        return spec.code or "TRANSACTION_REFUSED"
    return None
