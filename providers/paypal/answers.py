"""What PayPal's orders, captures, authorizations and refunds mean for a payment. Pure.

A status that is not named here is `Unknown`, never a decline. The amount that moved is
compared with the amount asked for, since `Succeeded` is what the ledger posts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from payments.decisions.authorization import AUTHORIZATION_EXPIRED
from payments.money import AmountError, CurrencyError, Money, parse_amount
from payments.outcome import Declined, Finding, NotFound, Retriable, Succeeded, Unknown
from providers.gateway import Trouble
from providers.transport import Answer, of_status, unreadable, vendor_text


class Kind(StrEnum):
    """What a reference names beside its order."""

    AUTHORIZATION = "authorization"
    CAPTURE = "capture"


# As `Reference` writes it.
REFERENCE: Final = r"[^/]+/(authorization|capture)/[^/]+"


@dataclass(frozen=True, slots=True)
class Reference:
    """An authorization or a capture, and the order under which it can be looked up."""

    order: str
    kind: Kind
    id: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `str` wrote; None for anything else."""
        match text.split("/"):
            case [order, ("authorization" | "capture") as kind, identifier] if order and identifier:
                return cls(order, Kind(kind), identifier)
            case _:
                return None

    def __str__(self) -> str:
        return f"{self.order}/{self.kind}/{self.id}"


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


ObjectT = TypeVar("ObjectT", bound=_Object)


class Amount(_Object):
    """An amount as PayPal writes it: a decimal string."""

    currency_code: str
    value: str


class ProcessorResponse(_Object):
    """The card network's own code."""

    response_code: str | None = None


class StatusDetails(_Object):
    """Why a status is not the final one, or not the good one."""

    reason: str | None = None


class Movement(_Object):
    """A capture, an authorization or a refund: the three have the same shape."""

    id: str
    status: str
    amount: Amount | None = None
    custom_id: str | None = None
    status_details: StatusDetails | None = None
    processor_response: ProcessorResponse | None = None


class Payments(_Object):
    """All that has happened to an order's purchase unit."""

    authorizations: list[Movement] = Field(default_factory=list)
    captures: list[Movement] = Field(default_factory=list)
    refunds: list[Movement] = Field(default_factory=list)


class PurchaseUnit(_Object):
    """What is bought of one payee: here always the whole order."""

    payments: Payments = Field(default_factory=Payments)


class Order(_Object):
    """An order of one purchase unit."""

    id: str
    status: str
    purchase_units: list[PurchaseUnit] = Field(default_factory=list)

    @property
    def payments(self) -> Payments:
        return self.purchase_units[0].payments if self.purchase_units else Payments()


class _Detail(_Object):
    issue: str
    description: str | None = None


class _Error(_Object):
    name: str
    message: str | None = None
    details: list[_Detail] = Field(default_factory=list)


# PayPal's way to say that the order already is where we want it, or cannot get there any more;
# which of the two, only the order tells.
CONTRADICTIONS: Final = frozenset(
    {
        "AUTHORIZATION_ALREADY_CAPTURED",
        "AUTHORIZATION_VOIDED",
        "CAPTURE_FULLY_REFUNDED",
        "MAX_CAPTURE_COUNT_EXCEEDED",
        "ORDER_ALREADY_AUTHORIZED",
        "ORDER_ALREADY_CAPTURED",
        "PREVIOUSLY_CAPTURED",
        "PREVIOUSLY_VOIDED",
    }
)
# An earlier request of ours may have done the work, or be doing it.
_MAYBE_DONE: Final = frozenset(
    {"DUPLICATE_INVOICE_ID", "DUPLICATE_REQUEST_ID", "PREVIOUS_REQUEST_IN_PROGRESS"}
)
# Captured, whatever was refunded since.
_CAPTURED: Final = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
_VOIDED: Final = Declined("AUTHORIZATION_VOIDED", "the authorization was voided")
_EXPIRED: Final = Declined(AUTHORIZATION_EXPIRED, "the authorization was not captured in time")
# ISO 4217 gives them two digits, PayPal none. Source: .../api/rest/reference/currency-codes.
_WHOLE_UNITS_ONLY: Final = frozenset({"HUF", "TWD"})


def to_paypal(money: Money) -> Amount:
    """The amount as PayPal wants it written; one it cannot take, it refuses itself."""
    value = money.decimal
    if money.currency in _WHOLE_UNITS_ONLY:
        value = value.removesuffix(".00")
    return Amount(currency_code=money.currency, value=value)


def parse(model: type[ObjectT], answer: Answer) -> ObjectT | Unknown:
    """The object of a 2xx answer; its body being anything else is `Unknown`."""
    try:
        return model.model_validate_json(answer.body)
    except ValidationError:
        return unreadable(answer)


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
    if code == "AUTHORIZATION_EXPIRED":
        return _EXPIRED
    if code in _MAYBE_DONE:
        return Unknown(code, message)
    if error.name in {"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE"}:
        return Unknown(Trouble.SERVER_ERROR, message)
    return Declined(code, message)


def captured(asked: Money, order: Order) -> Finding:
    """What an order says about its capture; `NotFound`: still to be captured."""
    payments = order.payments
    if payments.captures:
        moved = (capture for capture in payments.captures if capture.status in _CAPTURED)
        return capture_made(asked, order.id, next(moved, payments.captures[-1]))
    if not payments.authorizations:
        return _untouched(order)
    match payments.authorizations[-1].status:
        case "CREATED" | "PENDING":
            return NotFound()
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
    match authorization.status:
        case "CREATED" | "CAPTURED" | "PARTIALLY_CAPTURED":
            reference = Reference(order.id, Kind.AUTHORIZATION, authorization.id)
            return _moved(str(reference), authorization, asked)
        case "VOIDED":
            return _VOIDED
        case "EXPIRED":
            return _EXPIRED
        case _:
            return _not_moved(authorization)


def voided(reference: Reference, order: Order) -> Finding:
    """What an order says about voiding its authorization; `NotFound`: still to be voided."""
    for authorization in order.payments.authorizations:
        if authorization.id == reference.id:
            match authorization.status:
                case "VOIDED" | "EXPIRED":
                    return Succeeded(str(reference))
                case "CAPTURED" | "PARTIALLY_CAPTURED":
                    return Declined("PREVIOUSLY_CAPTURED", "the authorization was captured")
                case "CREATED" | "PENDING":
                    return NotFound()
                case _:
                    return _not_moved(authorization)
    return Unknown(Trouble.UNEXPECTED_STATUS, "the order does not show its authorization")


def refunded(asked: Money, refund_id: str, order: Order) -> Finding:
    """What an order says about the refund that carries our id."""
    ours = [refund for refund in order.payments.refunds if refund.custom_id == refund_id]
    return refund_made(asked, ours[-1]) if ours else NotFound()


def capture_made(asked: Money, order_id: str, capture: Movement) -> Finding:
    """What a capture says about itself."""
    if capture.status in _CAPTURED:
        return _moved(str(Reference(order_id, Kind.CAPTURE, capture.id)), capture, asked)
    return _not_moved(capture)


def refund_made(asked: Money, refund: Movement) -> Finding:
    """What a refund says about itself."""
    return _moved(refund.id, refund, asked) if refund.status == "COMPLETED" else _not_moved(refund)


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


def _not_moved(movement: Movement) -> Declined | Unknown:
    match movement.status:
        case "DECLINED" | "DENIED" | "FAILED" | "CANCELLED" as status:
            return Declined(_reason_of(movement) or status, f"PayPal answers {status}")
        case "PENDING":
            return Unknown(Trouble.PENDING, f"pending: {_reason_of(movement) or 'no reason given'}")
        case status:
            return Unknown(Trouble.UNEXPECTED_STATUS, f"status {vendor_text(status)!r}")


def _reason_of(movement: Movement) -> str:
    response, details = movement.processor_response, movement.status_details
    return vendor_text(
        (response.response_code if response else None) or (details.reason if details else None)
    )


def _moved(reference: str, movement: Movement, asked: Money) -> Succeeded | Unknown:
    """Success if the amount is the one asked for; another is for a person to look at."""
    if (amount := movement.amount) is None:
        return Unknown(Trouble.AMOUNT_MISMATCH, f"{vendor_text(reference)}: no amount")
    try:
        is_equal = parse_amount(amount.value, amount.currency_code) == asked
    except (AmountError, CurrencyError):
        is_equal = False
    if is_equal:
        return Succeeded(reference)
    found = vendor_text(f"{amount.value} {amount.currency_code}")
    return Unknown(
        Trouble.AMOUNT_MISMATCH, f"{vendor_text(reference)}: asked for {asked}, found {found}"
    )
