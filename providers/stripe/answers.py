"""What Stripe's objects and errors mean for a payment. Pure: no network, no clock.

A status that is not named here is `Unknown`, never a decline: Stripe adds statuses, and a
payment must not fail because of one. The amount that moved is compared with the amount
asked for, since `Succeeded` is what the ledger posts.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from payments.decisions.authorization import AUTHORIZATION_EXPIRED
from payments.outcome import (
    Declined,
    Finding,
    NotFound,
    Operation,
    Retriable,
    Succeeded,
    Unknown,
)
from providers.gateway import Trouble
from providers.stripe.amounts import StripeAmount
from providers.transport import Answer, of_status, unreadable, vendor_text

_LOCKED: Final = "lock_timeout"


class _Object(BaseModel):
    # strict: "100" is no amount and 1 no boolean, whoever sends it.
    model_config = ConfigDict(frozen=True, strict=True)


ObjectT = TypeVar("ObjectT", bound=_Object)


class Fault(_Object):
    """`error` of an error body, and a PaymentIntent's `last_payment_error`."""

    type: str
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


class Intent(_Object):
    """A PaymentIntent; amounts in Stripe's minor units, `created` in Unix seconds."""

    id: str
    status: str
    amount: int
    currency: str
    amount_capturable: int = 0
    amount_received: int = 0
    created: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)
    last_payment_error: Fault | None = None
    cancellation_reason: str | None = None


class Refund(_Object):
    """A refund; `status` is null for some payment methods."""

    id: str
    status: str | None
    amount: int
    currency: str
    metadata: dict[str, str] = Field(default_factory=dict)
    failure_reason: str | None = None


class Page(_Object, Generic[ObjectT]):
    """One page of a list or a search, newest first."""

    data: list[ObjectT]
    has_more: bool


class _Error(_Object):
    error: Fault


# Stripe's way to say that the object already is where we want it, or cannot get there any more;
# which of the two, only the object tells.
CONTRADICTIONS = frozenset(
    {
        "charge_already_captured",
        "charge_already_refunded",
        "payment_intent_unexpected_state",
    }
)
# The reasons Stripe itself gives, docs.stripe.com/api/payment_intents/object.
_LAPSED = frozenset({"automatic", "expired"})


def parse(model: type[ObjectT], answer: Answer) -> ObjectT | Unknown:
    """The object of a 2xx answer; its body being anything else is `Unknown`."""
    try:
        return model.model_validate_json(answer.body)
    except ValidationError:
        return unreadable(answer)


def refused(answer: Answer) -> Declined | Retriable | Unknown:
    """The outcome of an answer that is not 2xx. Source: docs.stripe.com/api/errors.

    An `idempotency_error` says that this key came before with other parameters. That call
    may have moved money, so it is asked after, although this one moved none. A `lock_timeout`
    is a 429 about one object, not about the rate (docs.stripe.com/rate-limits).
    """
    outcome = of_status(answer)
    if outcome is not None and answer.status != HTTPStatus.TOO_MANY_REQUESTS:
        return outcome
    try:
        fault = _Error.model_validate_json(answer.body).error
    except ValidationError:
        return outcome or unreadable(answer)
    if outcome is not None:
        is_locked = fault.code == _LOCKED
        return Retriable(_LOCKED, vendor_text(fault.message)) if is_locked else outcome
    match fault.type:
        case "card_error" | "invalid_request_error":
            return _declined(fault)
        case "idempotency_error":
            return Unknown(fault.type, vendor_text(fault.message))
        case _:
            return Unknown(Trouble.SERVER_ERROR, vendor_text(f"{fault.type}: {fault.message}"))


def confirmed(operation: Operation, asked: StripeAmount, intent: Intent) -> Finding:
    """What a PaymentIntent says about the charge or authorization that made it."""
    match intent.status:
        case "succeeded" if operation is Operation.AUTHORIZE:
            # Captured since, perhaps in part; what was authorized is `amount`.
            return _moved(intent.id, StripeAmount(intent.amount, intent.currency), asked)
        case "succeeded":
            return _moved(intent.id, StripeAmount(intent.amount_received, intent.currency), asked)
        case "requires_capture" if operation is Operation.AUTHORIZE:
            held = StripeAmount(intent.amount_capturable, intent.currency)
            return _moved(intent.id, held, asked)
        case "processing":
            return Unknown(Trouble.PENDING, "the payment is processing")
        case "requires_action":
            # Nobody will: the customer is not here, and we hand out no client secret.
            return Declined("authentication_required", "the customer would have to authenticate")
        case "requires_payment_method" if intent.last_payment_error is not None:
            return _declined(intent.last_payment_error)
        case "canceled":
            return _canceled(intent)
        case status:
            # requires_confirmation and a bare requires_payment_method too: an intent looks like
            # that while the confirmation we asked for is still under way.
            return _unexpected(status)


def captured(asked: StripeAmount, intent: Intent) -> Finding:
    """What a PaymentIntent says about its capture; `NotFound`: still to be captured."""
    match intent.status:
        case "succeeded":
            return _moved(intent.id, StripeAmount(intent.amount_received, intent.currency), asked)
        case "requires_capture":
            return NotFound()
        case "processing":
            return Unknown(Trouble.PENDING, "the capture is processing")
        case "canceled":
            return _canceled(intent)
        case status:
            return _unexpected(status)


def voided(intent: Intent) -> Finding:
    """What a PaymentIntent says about its cancellation; `NotFound`: still to be canceled."""
    match intent.status:
        case "canceled":
            return Succeeded(intent.id)
        case "succeeded":
            return Declined("already_captured", "the payment was captured")
        case "processing":
            return Unknown(Trouble.PENDING, "the payment is processing")
        case (
            "requires_capture"
            | "requires_action"
            | "requires_confirmation"
            | "requires_payment_method"
        ):
            return NotFound()
        case status:
            return _unexpected(status)


def refunded(asked: StripeAmount, refund: Refund) -> Finding:
    """What a refund says about itself. Source: docs.stripe.com/refunds#failed-refunds."""
    match refund.status:
        case "succeeded":
            return _moved(refund.id, StripeAmount(refund.amount, refund.currency), asked)
        case "failed":
            return Declined(refund.failure_reason or "refund_failed", "the refund failed")
        case "canceled":
            return Declined("refund_canceled", "the refund was canceled")
        case "pending" | "requires_action":
            return Unknown(Trouble.PENDING, f"the refund is {refund.status}")
        case status:
            return _unexpected(str(status))


def most_telling(intents: list[Intent]) -> Intent:
    """Of several PaymentIntents of one payment the one that decides it: money first, then age."""
    order = ("succeeded", "requires_capture", "processing", "requires_action")
    rank = {status: position for position, status in enumerate(order)}
    return min(intents, key=lambda intent: (rank.get(intent.status, len(rank)), intent.created))


def _moved(reference: str, moved: StripeAmount, asked: StripeAmount) -> Succeeded | Unknown:
    """Success if the amount is the one asked for; another is for a person to look at."""
    if moved == asked:
        return Succeeded(reference)
    return Unknown(
        Trouble.AMOUNT_MISMATCH,
        f"{reference}: asked for {asked.value} {asked.currency}, found {moved.value} "
        f"{vendor_text(moved.currency)}",
    )


def _canceled(intent: Intent) -> Declined:
    """By somebody, or by Stripe, which lets go what nobody captured in time."""
    reason = vendor_text(intent.cancellation_reason) or "canceled"
    return Declined(AUTHORIZATION_EXPIRED if reason in _LAPSED else "canceled", reason)


def _declined(fault: Fault) -> Declined:
    """A card's refusal, or our own invalid request.

    The latter is our defect or configuration, has no effect and will not get better by
    itself: declined with Stripe's code, it ends the payment instead of looping.
    """
    reason = f" ({fault.decline_code})" if fault.decline_code else ""
    return Declined(vendor_text(fault.code or fault.type), vendor_text(fault.message) + reason)


def _unexpected(status: str) -> Unknown:
    return Unknown(Trouble.UNEXPECTED_STATUS, f"status {vendor_text(status)!r}")
