"""Refunds and reversals of captures: never more than is left of them.

A refund that was made may come back. A reversal is PayPal's own doing, and looks like a refund.
Source: the issues of "Refund captured payment" in the OpenAPI document of Payments v2, and the
event PAYMENT.CAPTURE.REVERSED, whose resource is a refund.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from simulator.entries import StoredObject
from simulator.faults import FaultKind
from simulator.paypal import disputes, problems
from simulator.paypal.bodies import Reader
from simulator.paypal.orders import PayPalContext, declined
from simulator.paypal.records import Capture, PayPalRefund
from simulator.paypal.state import PayPalState
from simulator.vendor import Decision

_NOT_TAKEN: Final = ("PENDING", "DECLINED", "FAILED")


@dataclass(frozen=True, slots=True)
class Note:
    """What goes with a refund; the dashboard's has nothing of the client's."""

    custom_id: str | None = None
    invoice_id: str | None = None
    text: str | None = None


def refund(context: PayPalContext, body: Reader, capture_id: str) -> Decision:
    """POST /v2/payments/captures/{id}/refund."""
    taken = captured(context.state, capture_id)
    note = Note(
        body.text("custom_id", 127), body.text("invoice_id", 127), body.text("note_to_payer")
    )
    return give(context, taken, body.amount(), note)


def give(
    context: PayPalContext, taken: Capture, money: tuple[int, str] | None, note: Note
) -> Decision:
    """Give back all that is left of a capture, or a part of it."""
    if issue := _not_refundable(context.state, taken, money):
        return declined(issue, taken.custom_id, taken.id, kept=False)
    if issue := _scripted(context):
        return declined(issue, taken.custom_id, taken.id)
    is_pending = context.faults.has(FaultKind.PEND)
    given = _refund_of(context, taken, taken.left if money is None else money[0])
    given = replace(
        given,
        status="PENDING" if is_pending else "COMPLETED",
        custom_id=note.custom_id or taken.custom_id,
        is_custom=note.custom_id is not None,
        invoice_id=note.invoice_id or taken.invoice_id,
        note=note.text,
    )
    after = _with_refunded(taken, taken.refunded + given.amount, context.at)
    told = "PAYMENT.REFUND.PENDING" if is_pending else "PAYMENT.CAPTURE.REFUNDED"
    dispute = context.state.open_dispute((taken.id,))
    if dispute is None:
        return _told(given, (given, after), "refunded", (told,))
    # A seller who gives all back ends the dispute, by which no more is taken.
    ended = disputes.ended_by_refund(dispute, context.at)
    decision = _told(
        given, (given, replace(after, disputed=False), ended), "refunded",
        (told, "CUSTOMER.DISPUTE.RESOLVED"),
    )  # fmt: skip
    return replace(decision, dispute=disputes.fact(ended))


def reverse(context: PayPalContext, taken: Capture, amount: int | None) -> Decision:
    """PayPal takes a capture back from the merchant, or a part of it."""
    if taken.status in _NOT_TAKEN or context.state.open_dispute((taken.id,)) is not None:
        raise problems.unprocessable("REFUND_NOT_ALLOWED")
    amount = taken.left if amount is None else amount
    if not 0 < amount <= taken.left:
        raise problems.unprocessable("REFUND_AMOUNT_EXCEEDED")
    taken_back = replace(
        _refund_of(context, taken, amount),
        custom_id=taken.custom_id,
        is_custom=False,
        is_reversal=True,
        invoice_id=taken.invoice_id,
        note="Payment reversed",
    )
    after = replace(taken, reversed=taken.reversed + amount)
    after = _with_refunded(after, after.refunded, context.at)
    return _told(taken_back, (taken_back, after), "reversed", ("PAYMENT.CAPTURE.REVERSED",))


def fail(context: PayPalContext, given: PayPalRefund, reason: str | None) -> Decision | None:
    """The money comes back to the merchant; None when none was on its way or had arrived."""
    if given.is_reversal or given.status not in ("COMPLETED", "PENDING"):
        return None
    # The one reason PayPal's `status_details` of a refund has.
    if reason not in (None, "ECHECK"):
        raise problems.malformed("INVALID_PARAMETER_VALUE", "/reason")
    failed = replace(given, status="FAILED", updated=context.at)
    taken = context.state.captures[given.capture_id]
    after = _with_refunded(taken, taken.refunded - given.amount, context.at)
    return _told(failed, (failed, after), "refund_failed", ("PAYMENT.REFUND.FAILED",))


def settle(context: PayPalContext, given: PayPalRefund) -> Decision | None:
    """A pending refund arrives, as it was counted already; None for any other."""
    if given.status != "PENDING":
        return None
    arrived = replace(given, status="COMPLETED", updated=context.at)
    taken = context.state.captures[given.capture_id]
    return _told(arrived, (arrived, taken), None, ("PAYMENT.CAPTURE.REFUNDED",))


def captured(state: PayPalState, capture_id: str) -> Capture:
    """The capture of a path, or PayPal's 404."""
    taken = state.captures.get(capture_id)
    if taken is None:
        raise problems.not_found("capture_id")
    return taken


def _refund_of(context: PayPalContext, taken: Capture, amount: int) -> PayPalRefund:
    return PayPalRefund(
        id=context.ids.capitals(),
        capture_id=taken.id,
        created=context.at,
        status="COMPLETED",
        amount=amount,
        currency=taken.currency,
        total_refunded=taken.refunded + taken.reversed + amount,
    )


def _with_refunded(taken: Capture, refunded: int, at: float) -> Capture:
    gone = refunded + taken.reversed
    status = "REFUNDED" if gone == taken.amount else "PARTIALLY_REFUNDED" if gone else "COMPLETED"
    return replace(taken, refunded=refunded, status=status, updated=at)


def _told(
    given: PayPalRefund,
    writes: tuple[StoredObject, ...],
    effect: str | None,
    events: tuple[str, ...],
) -> Decision:
    taken = next(one for one in writes if isinstance(one, Capture))
    return Decision(
        status=201,
        outcome="ok",
        writes=writes,
        keeps_key=True,
        effect=effect,
        reference=given.id,
        refund_id=given.our_id,
        payment_id=taken.custom_id,
        amount_minor=given.amount,
        currency=given.currency,
        events=events,
    )


def _not_refundable(
    state: PayPalState, taken: Capture, money: tuple[int, str] | None
) -> str | None:
    if taken.status == "PENDING":
        return "PENDING_CAPTURE"
    if taken.status in _NOT_TAKEN:
        return "REFUND_NOT_ALLOWED"
    if taken.reversed or taken.lost:
        return "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"
    if taken.left == 0:
        return "CAPTURE_FULLY_REFUNDED"
    if money is None:
        return None
    if money[1] != taken.currency:
        return "REFUND_CAPTURE_CURRENCY_MISMATCH"
    if money[0] > taken.left:
        return "REFUND_AMOUNT_EXCEEDED"
    is_part = money[0] < taken.left
    return "TRANSACTION_DISPUTED" if is_part and state.open_dispute((taken.id,)) else None


def _scripted(context: PayPalContext) -> str | None:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        return spec.code or "REFUND_FAILED_INSUFFICIENT_FUNDS"
    return None
