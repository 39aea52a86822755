"""What Stripe's objects and errors mean for a payment. Pure: no network, no clock.

A status that is not named here is `Unknown`, never a decline: Stripe adds statuses, and a
payment must not fail because of one. The amount that moved is compared with the amount
asked for, since `Succeeded` is what the ledger posts; what somebody else took of an
authorization is said in ISO 4217's units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

from pydantic import ValidationError

from payments.decisions.authorization import AUTHORIZATION_EXPIRED
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Finding,
    NotFound,
    Operation,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
)
from payments.record import replace
from providers.gateway import Trouble
from providers.stripe.amounts import StripeAmount, from_stripe
from providers.stripe.objects import ErrorBody, Fault, Intent, Refund
from providers.transport import Answer, of_status, unreadable, vendor_text

ObjectT = TypeVar("ObjectT", Intent, Refund)

_LOCKED: Final = "lock_timeout"
# Stripe's way to say that the object already is where we want it, or cannot get there any more;
# which of the two, only the object tells. Source: docs.stripe.com/error-codes.
CONTRADICTIONS = frozenset(
    {
        "capture_charge_authorization_expired",
        "charge_already_captured",
        "charge_already_refunded",
        "charge_expired_for_capture",
        "payment_intent_unexpected_state",
    }
)
# The reasons Stripe itself gives, docs.stripe.com/api/payment_intents/object.
_LAPSED = frozenset({"automatic", "expired"})


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
        fault = ErrorBody.model_validate_json(answer.body).error
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
        case "succeeded" | "canceled" if intent.amount_received:
            # An authorization was captured since, perhaps in part: it was of `amount`.
            is_hold = operation is Operation.AUTHORIZE
            moved = intent.amount if is_hold else intent.amount_received
            return _moved(intent.id, StripeAmount(moved, intent.currency), asked)
        case "requires_capture" if operation is Operation.AUTHORIZE:
            held = intent.amount_capturable + intent.amount_received
            return _moved(intent.id, StripeAmount(held, intent.currency), asked)
        case "processing":
            return Pending(Trouble.PENDING, "the payment is processing")
        case "requires_action":
            # Nobody will: the customer is not here, and we hand out no client secret.
            return Declined("authentication_required", "the customer would have to authenticate")
        case "requires_payment_method" if intent.last_payment_error is not None:
            return _declined(intent.last_payment_error)
        case "canceled":
            return _canceled(intent)
        case _ if intent.is_unconfirmed:
            # It looks like that while the confirmation we asked for is still under way.
            return Unknown(Trouble.IN_PROGRESS, "the payment is not confirmed")
        case status:
            return _unexpected(status)


def captured(asked: StripeAmount, intent: Intent) -> Finding:
    """What a PaymentIntent says about its capture; `NotFound`: still to be captured."""
    match intent.status:
        case "succeeded" | "canceled" | "requires_capture" if intent.amount_received:
            return _taken(intent, asked)
        case "requires_capture":
            return NotFound()
        case "processing":
            return Pending(Trouble.PENDING, "the capture is processing")
        case "canceled":
            return _canceled(intent)
        case status:
            return _unexpected(status)


def voided(intent: Intent) -> Finding:
    """What a PaymentIntent says about its cancellation; `NotFound`: still to be canceled.

    What can be canceled: docs.stripe.com/api/payment_intents/cancel. What was captured in part may
    be held still, docs.stripe.com/payments/multicapture.
    """
    match intent.status:
        case "succeeded" | "canceled" | "requires_capture" if intent.amount_received:
            return _taken(intent, None)
        case "canceled":
            return Succeeded(intent.id)
        case "processing":
            return Pending(Trouble.PENDING, "the payment is processing")
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
            return Pending(Trouble.PENDING, f"the refund is {refund.status}")
        case status:
            return _unexpected(str(status))


def decided(objects: Sequence[ObjectT], judge: Callable[[ObjectT], Finding]) -> Finding:
    """What several objects of one payment, or of one refund, come to: money first, then age.

    Success names every other one of them that has money too.
    """
    ranked = sorted(objects, key=lambda each: each.precedence)
    moved = [each for each in ranked if each.has_money]
    for each in moved:
        verdict = judge(each)
        if isinstance(verdict, Succeeded):
            others = tuple(other.id for other in moved if other is not each)
            return replace(verdict, others=others)
    return judge(ranked[0])


def _taken(intent: Intent, asked: StripeAmount | None) -> Finding:
    """Success if all that was taken is what was asked for; else somebody else took it."""
    received = StripeAmount(intent.amount_received, intent.currency)
    is_held = intent.status == "requires_capture"
    if received == asked and not is_held:
        return Succeeded(intent.id)
    amount = from_stripe(received)
    if amount is None or (asked is not None and asked.currency != received.currency):
        return _mismatch(intent.id, received, asked)
    return CapturedElsewhere(intent.id, amount, is_held=is_held)


def _moved(reference: str, moved: StripeAmount, asked: StripeAmount) -> Succeeded | Unknown:
    """Success if the amount is the one asked for; another is for a person to look at."""
    return Succeeded(reference) if moved == asked else _mismatch(reference, moved, asked)


def _mismatch(reference: str, found: StripeAmount, asked: StripeAmount | None) -> Unknown:
    sought = f"asked for {asked.value} {asked.currency}, " if asked else ""
    return Unknown(
        Trouble.AMOUNT_MISMATCH,
        f"{reference}: {sought}found {found.value} {vendor_text(found.currency)}",
    )


def _canceled(intent: Intent) -> Declined:
    """By somebody, or by Stripe, which lets go what nobody captured in time."""
    reason = vendor_text(intent.cancellation_reason) or "canceled"
    code = AUTHORIZATION_EXPIRED if reason in _LAPSED else "canceled"
    return Declined(code, reason, is_released=True)


def _declined(fault: Fault) -> Declined:
    """A card's refusal, or our own invalid request.

    The latter is our defect or configuration, has no effect and will not get better by
    itself: declined with Stripe's code, it ends the payment instead of looping.
    """
    reason = f" ({fault.decline_code})" if fault.decline_code else ""
    return Declined(vendor_text(fault.code or fault.type), vendor_text(fault.message) + reason)


def _unexpected(status: str) -> Unknown:
    return Unknown(Trouble.UNEXPECTED_STATUS, f"status {vendor_text(status)!r}")
