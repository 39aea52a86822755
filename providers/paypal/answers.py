"""What PayPal's orders, captures, authorizations and refunds mean for a payment. Pure.

A status that is not named here is `Unknown`, never a decline. The amount that moved is
compared with the amount asked for, since `Succeeded` is what the ledger posts; money that
somebody else took of an authorization is said to be that, never that nothing was held.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field, ValidationError

from payments.decisions.authorization import AUTHORIZATION_EXPIRED
from payments.money import Money
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Finding,
    NotFound,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
)
from payments.record import replace
from providers.gateway import Trouble
from providers.paypal.objects import Kind, Movement, Object, Order, Reference
from providers.transport import Answer, of_status, unreadable, vendor_text


class _Detail(Object):
    issue: str
    description: str | None = None


class _Error(Object):
    name: str
    message: str | None = None
    details: list[_Detail] = Field(default_factory=list)


_RELEASED: Final = {
    "AUTHORIZATION_VOIDED": Declined(
        "AUTHORIZATION_VOIDED", "the authorization was voided", is_released=True
    ),
    "AUTHORIZATION_EXPIRED": Declined(
        AUTHORIZATION_EXPIRED, "the authorization was not captured in time", is_released=True
    ),
}
_VOIDED: Final = _RELEASED["AUTHORIZATION_VOIDED"]
_EXPIRED: Final = _RELEASED["AUTHORIZATION_EXPIRED"]
# PayPal's way to say that the order already is where we want it, or cannot get there any more;
# which of the two, only the order tells.
CONTRADICTIONS: Final = frozenset(
    {
        AUTHORIZATION_EXPIRED,
        "AUTHORIZATION_ALREADY_CAPTURED",
        "AUTHORIZATION_VOIDED",
        "CAPTURE_FULLY_REFUNDED",
        "MAX_CAPTURE_AMOUNT_EXCEEDED",
        "MAX_CAPTURE_COUNT_EXCEEDED",
        "ORDER_ALREADY_AUTHORIZED",
        "ORDER_ALREADY_CAPTURED",
        "PREVIOUSLY_CAPTURED",
        "PREVIOUSLY_VOIDED",
        "REFUND_AMOUNT_EXCEEDED",
    }
)
# To a void: there is nothing left to let go of.
LET_GO: Final = frozenset({AUTHORIZATION_EXPIRED, "AUTHORIZATION_VOIDED", "PREVIOUSLY_VOIDED"})
# An earlier request of ours may have done the work, or be doing it.
_MAYBE_DONE: Final = frozenset(
    {"DUPLICATE_INVOICE_ID", "DUPLICATE_REQUEST_ID", "PREVIOUS_REQUEST_IN_PROGRESS"}
)
REFUSED: Final = frozenset({"DECLINED", "DENIED", "FAILED", "CANCELLED"})


def refused(answer: Answer) -> Declined | Retriable | Unknown:
    """The outcome of an answer that is not 2xx. Source: .../api/rest/responses, "Errors".

    What PayPal cannot process is a decline with the issue as its code. What it finds
    invalid is our defect or configuration: it has no effect and will not get better by
    itself, so it ends the payment instead of looping.
    """
    if (outcome := of_status(answer)) is not None:
        return outcome
    try:
        error = _Error.model_validate_json(answer.body)
    except ValidationError:
        return unreadable(answer)
    issue = error.details[0] if error.details else _Detail(issue=error.name)
    code = vendor_text(issue.issue)
    message = vendor_text(issue.description or error.message)
    if (released := _RELEASED.get(code)) is not None:
        return released
    if code in _MAYBE_DONE:
        return Unknown(code, message)
    if error.name in {"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE"}:
        return Unknown(Trouble.SERVER_ERROR, message)
    return Declined(code, message)


def captured(asked: Money, order: Order) -> Finding:
    """What an order says about its capture; `NotFound`: still to be captured."""
    payments = order.payments
    exact = [capture for capture in order.taken if capture.money == asked]
    if exact:
        others = (capture for capture in order.taken if capture is not exact[0])
        return Succeeded(_name(order, exact[0]), tuple(_name(order, each) for each in others))
    if (taken := _taken(order)) is not None:
        return taken
    # One of another amount was refused before somebody asked for this one.
    refusals = [capture for capture in payments.captures if capture.money in {None, asked}]
    if refusals:
        return _refused_finally(refusals[-1], order)
    if not payments.authorizations:
        return _untouched(order)
    match payments.authorizations[-1].status:
        case "CREATED" | "PENDING":
            return NotFound()
        case "PARTIALLY_CAPTURED" if payments.captures:
            return NotFound()
        case "CAPTURED" if payments.captures:
            return _refused_finally(payments.captures[-1], order)
        case "VOIDED":
            return _VOIDED
        case "EXPIRED":
            return _EXPIRED
        case _:
            return _not_moved(payments.authorizations[-1])


def authorized(asked: Money, order: Order) -> Finding:
    """What an order says about its authorization; `NotFound`: still to be authorized."""
    if not order.payments.authorizations:
        return _untouched(order)
    authorization = order.payments.authorizations[-1]
    reference = str(Reference(order.id, Kind.AUTHORIZATION, authorization.id))
    if _taken(order) is not None:
        return _moved(reference, authorization, asked)  # whatever is left of it by now
    match authorization.status:
        case "CREATED" | "CAPTURED" | "PARTIALLY_CAPTURED":
            return _moved(reference, authorization, asked)
        case "VOIDED":
            return _VOIDED
        case "EXPIRED":
            return _EXPIRED
        case _:
            return _not_moved(authorization)


def voided(reference: Reference, order: Order, *, is_over: bool = False) -> Finding:
    """What an order says about voiding its authorization; `NotFound`: still to be voided.

    A void lets go of what is left of an authorization, also of one that was captured in part
    (.../api/payments/v2, "Void authorized payment"): it succeeded only where nothing was
    taken. `is_over`: PayPal has said that it holds nothing any more.
    """
    if (taken := _taken(order)) is not None:
        if is_over and isinstance(taken, CapturedElsewhere):
            return replace(taken, is_held=False)
        return taken
    for authorization in order.payments.authorizations:
        if authorization.id == reference.id:
            match authorization.status:
                case "VOIDED" | "EXPIRED" | "DENIED":
                    return Succeeded(str(reference))
                case "CAPTURED" if order.payments.captures:
                    return Succeeded(str(reference))  # all were refused in the end
                case "CREATED" | "PENDING":
                    return Succeeded(str(reference)) if is_over else NotFound()
                case "PARTIALLY_CAPTURED" if order.payments.captures:
                    return Succeeded(str(reference)) if is_over else NotFound()
                case _:
                    return _not_moved(authorization)
    return Unknown(Trouble.UNEXPECTED_STATUS, "the order does not show its authorization")


def refunded(asked: Money, refund_id: str, order: Order) -> Finding:
    """What an order says about the refund that carries our id."""
    ours = [refund for refund in order.payments.refunds if refund.custom_id == refund_id]
    given = [refund for refund in ours if refund.status == "COMPLETED"]
    exact = [refund for refund in given if refund.money == asked]
    if exact:
        others = (refund.id for refund in given if refund is not exact[0])
        return Succeeded(exact[0].id, tuple(others))
    pending = [refund for refund in ours if refund.status == "PENDING"]
    found = given or pending or ours
    return refund_made(asked, found[-1]) if found else NotFound()


def capture_made(asked: Money, order_id: str, capture: Movement) -> Finding:
    """What a capture says about itself."""
    if capture.is_taken:
        return _moved(str(Reference(order_id, Kind.CAPTURE, capture.id)), capture, asked)
    return _not_moved(capture)


def refund_made(asked: Money, refund: Movement) -> Finding:
    """What a refund says about itself."""
    return _moved(refund.id, refund, asked) if refund.status == "COMPLETED" else _not_moved(refund)


def _taken(order: Order) -> CapturedElsewhere | Pending | Unknown | None:
    """What was taken, or is being taken, of the order; None: certainly nothing."""
    open_ends = [
        capture
        for capture in order.payments.captures
        if not capture.is_taken and capture.status not in REFUSED
    ]
    if open_ends:
        still_open = _not_moved(open_ends[-1])
        assert not isinstance(still_open, Declined), "a refusal is no open end"
        return still_open
    captures = order.taken
    if not captures:
        return None
    amounts = [capture.money for capture in captures]
    known = [money for money in amounts if money is not None]
    is_one_currency = len(known) == len(amounts) and len({each.currency for each in known}) == 1
    if not is_one_currency or not order.payments.authorizations:
        # What was charged at once is of the amount of its order, which is ours.
        return _mismatch(_name(order, captures[0]), captures[0])
    total = Money(sum(each.amount_minor for each in known), known[0].currency)
    return CapturedElsewhere(_name(order, captures[0]), total, is_held=order.is_held)


def _untouched(order: Order) -> Finding:
    """An order on which nothing has happened: what its status says about why."""
    match order.status:
        case "CREATED" | "SAVED" | "APPROVED":
            return NotFound()
        case "PAYER_ACTION_REQUIRED":
            # Nobody will act: the payer is not here.
            return Declined("PAYER_ACTION_REQUIRED", "the payer would have to act")
        case "VOIDED":
            return Declined("ORDER_VOIDED", "the order was voided")
        case status:
            return Unknown(Trouble.UNEXPECTED_STATUS, f"order status {vendor_text(status)!r}")


def _not_moved(movement: Movement) -> Declined | Pending | Unknown:
    match movement.status:
        case status if status in REFUSED:
            return Declined(_reason_of(movement) or status, f"PayPal answers {status}")
        case "PENDING":
            return Pending(Trouble.PENDING, f"pending: {_reason_of(movement) or 'no reason given'}")
        case status:
            return Unknown(Trouble.UNEXPECTED_STATUS, f"status {vendor_text(status)!r}")


def _refused_finally(capture: Movement, order: Order) -> Declined | Pending | Unknown:
    """A refused capture, and whether that leaves anything to be captured."""
    refusal = _not_moved(capture)
    is_released = bool(order.payments.authorizations) and not order.is_held
    if isinstance(refusal, Declined) and is_released:
        return replace(refusal, is_released=True)
    return refusal


def _reason_of(movement: Movement) -> str:
    response = movement.processor_response
    return vendor_text((response.response_code if response else None) or movement.reason)


def _name(order: Order, capture: Movement) -> str:
    return str(Reference(order.id, Kind.CAPTURE, capture.id))


def _moved(reference: str, movement: Movement, asked: Money) -> Succeeded | Unknown:
    """Success if the amount is the one asked for; another is for a person to look at."""
    if movement.money == asked:
        return Succeeded(reference)
    return _mismatch(reference, movement)


def _mismatch(reference: str, movement: Movement) -> Unknown:
    amount = movement.amount
    found = f"{amount.value} {amount.currency_code}" if amount else "no amount"
    return Unknown(
        Trouble.AMOUNT_MISMATCH,
        f"{vendor_text(reference)}: not what was asked for, but {vendor_text(found)}",
    )
