"""How a payment stands at PayPal, by its order and the disputes about its captures. Pure.

PayPal tells of money that went back to the payer more than once: a reversal is also a refund
(`PAYMENT.CAPTURE.REVERSED` shows one), and so is what a dispute ended with. Here all of it is told
always, for what was told once is looked for again; but as taken from us once: by the refund, else
by the dispute, else by the reversal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from payments.decisions.authorization import AUTHORIZATION_EXPIRED
from payments.money import Money
from payments.outcome import Unknown
from payments.record import Struct, replace
from payments.standing import (
    DisputeKind,
    DisputeState,
    FoundCapture,
    FoundDispute,
    FoundRefund,
    FoundState,
    Standing,
)
from providers.gateway import Trouble
from providers.notifications import our_id
from providers.paypal.answers import REFUSED
from providers.paypal.disputes import Dispute, dispute_found
from providers.paypal.objects import Kind, Movement, Order, Reference, instant
from providers.transport import vendor_text

# As the sample of PAYMENT.CAPTURE.REVERSED says of the refund it shows.
# Source: developer.paypal.com/api/rest/webhooks/simulator.
_REVERSED: Final = "Payment reversed"
_STATES: Final = {
    "COMPLETED": FoundState.SUCCEEDED,
    "PENDING": FoundState.PENDING,
    "FAILED": FoundState.FAILED,
    "CANCELLED": FoundState.FAILED,
}
_REVERSALS: Final = {
    FoundState.SUCCEEDED: DisputeState.LOST,
    FoundState.PENDING: DisputeState.OPEN,
    FoundState.FAILED: DisputeState.WON,
}
_AUTHORIZED: Final = frozenset({"CREATED", "PENDING", "PARTIALLY_CAPTURED", "CAPTURED"})
_RELEASED: Final = {"VOIDED": "voided", "EXPIRED": AUTHORIZATION_EXPIRED, "DENIED": "denied"}
_KNOWN: Final = _AUTHORIZED | set(_RELEASED)


class Disputed(Struct, frozen=True):
    """A dispute, and the capture it is about."""

    capture: str
    dispute: Dispute


def standing_of(order: Order, disputes: Sequence[Disputed]) -> Standing | Unknown:
    """All there is of the order's payment; `Unknown` where not all of it can be understood."""
    found = [dispute_found(each.dispute) for each in disputes]
    strange = [each for each in (*found, _not_understood(order)) if isinstance(each, Unknown)]
    if strange:
        return strange[0]
    payments = order.payments
    holds = [each.status for each in payments.authorizations]
    return Standing(
        payment_id=our_id(order.custom_id),
        is_held=order.is_held,
        is_pending=any(
            each.status == "PENDING" and not each.is_taken
            for each in (*payments.authorizations, *payments.captures)
        ),
        captures=tuple(
            FoundCapture(str(Reference(order.id, Kind.CAPTURE, each.id)), _amount(each))
            for each in order.taken
        ),
        refunds=tuple(_refund(each, order) for each in _given_and_taken(order)[0]),
        disputes=(*_disputes(order, disputes), *_reversals(order, disputes)),
        why_released=None if order.is_held or not holds else _RELEASED.get(holds[-1]),
    )


def _given_and_taken(order: Order) -> tuple[list[Movement], list[Movement]]:
    """Refunds that somebody made, and those that show a reversal.

    A note is whatever its writer likes; one that we wrote stands on a refund with an id of ours.
    """
    made: list[Movement] = []
    reversals: list[Movement] = []
    for refund in order.payments.refunds:
        is_reversal = refund.note_to_payer == _REVERSED and not _is_named(refund, order)
        (reversals if is_reversal else made).append(refund)
    return made, reversals


def _is_named(refund: Movement, order: Order) -> bool:
    """Whether it has an id of its own: without, it has its capture's, which is the payment's."""
    return refund.custom_id not in {None, order.custom_id}


def _refund(refund: Movement, order: Order) -> FoundRefund:
    return FoundRefund(
        reference=refund.id,
        amount=_amount(refund),
        state=_STATES[refund.status],
        refund_id=our_id(refund.custom_id) if _is_named(refund, order) else None,
        reason=vendor_text(refund.reason or refund.note_to_payer) or None,
    )


def _disputes(order: Order, disputes: Sequence[Disputed]) -> Iterator[FoundDispute]:
    """Disputes, of which a refund may have been the end: that moved the money then.

    Where a reversal is shown, it was taken for the dispute, whatever stage that is in.
    """
    refunds, reversals = _given_and_taken(order)
    reversals = [each for each in reversals if each.status == "COMPLETED"]
    for each in disputes:
        found = dispute_found(each.dispute)
        assert isinstance(found, FoundDispute), "what is not understood is not told"
        if any(_is_about(reversal, each.capture) for reversal in reversals):
            yield replace(found, is_withdrawn=found.state is not DisputeState.WON)
            continue
        ended = (refund for refund in refunds if _ended(refund, each, found.amount))
        if (ended_by := next(ended, None)) is not None:
            refunds.remove(ended_by)
        yield replace(found, is_withdrawn=found.is_withdrawn and ended_by is None)


def _ended(refund: Movement, disputed: Disputed, amount: Money) -> bool:
    """Whether the refund gave back what was disputed, so that no more was taken.

    "If you send a full refund, the dispute is closed" (paypal.com/smarthelp, faq665), and there
    is no other while it is open (.../docs/api/payments/v2, TRANSACTION_DISPUTED). What PayPal
    decides to give back is shown as a refund of as much. One that came back later ended it too,
    unless PayPal tells that it took the amount itself.
    """
    dispute, given = disputed.dispute, refund.money
    if given is None or given.currency != amount.currency or refund.status == "CANCELLED":
        return False
    if not _is_about(refund, disputed.capture) or (refund.status == "FAILED" and dispute.is_of_us):
        return False
    made_at, opened_at = refund.made_at, instant(dispute.create_time)
    changed_at = instant(dispute.update_time)
    is_since = made_at is None or opened_at is None or made_at >= opened_at
    is_open_yet = dispute.status != "RESOLVED" or (
        made_at is not None and changed_at is not None and made_at <= changed_at
    )
    is_whole = given == amount or (given.amount_minor > amount.amount_minor and is_open_yet)
    return is_since and is_whole


def _reversals(order: Order, disputes: Sequence[Disputed]) -> Iterator[FoundDispute]:
    """What PayPal took back: shown as a refund, as the reason of its capture's status, or both."""
    _, reversals = _given_and_taken(order)
    for reversal in reversals:
        is_disputed = any(_is_about(reversal, each.capture) for each in disputes)
        state = _REVERSALS[_STATES[reversal.status]]
        yield _reversal(reversal, state, is_told_otherwise=is_disputed)
    for capture in order.taken:
        is_shown = any(_is_about(reversal, capture.id) for reversal in reversals)
        if capture.reason == "CHARGEBACK" and not is_shown:
            is_disputed = any(each.capture == capture.id for each in disputes)
            yield _reversal(capture, DisputeState.LOST, is_told_otherwise=is_disputed)


def _reversal(movement: Movement, state: DisputeState, *, is_told_otherwise: bool) -> FoundDispute:
    return FoundDispute(
        reference=movement.id,
        kind=DisputeKind.REVERSAL,
        amount=_amount(movement),
        state=state,
        is_withdrawn=state is DisputeState.LOST and not is_told_otherwise,
        reason=vendor_text(movement.reason) or None,
    )


def _is_about(refund: Movement, capture_id: str) -> bool:
    """Whether a refund is of that capture; one that does not name its capture may be of any."""
    return refund.capture_id in {None, capture_id}


def _amount(movement: Movement) -> Money:
    assert movement.money is not None, "what has no amount is not understood"
    return movement.money


def _not_understood(order: Order) -> Unknown | None:
    payments = order.payments
    strange = [
        *(each for each in payments.authorizations if each.status not in _KNOWN),
        *(
            each
            for each in payments.captures
            if not each.is_taken and each.status not in {"PENDING", *REFUSED}
        ),
        *(each for each in payments.refunds if each.status not in _STATES),
    ]
    for each in strange:
        told = f"{vendor_text(each.id)} is {vendor_text(each.status)!r}"
        return Unknown(Trouble.UNEXPECTED_STATUS, told)
    for each in [*order.taken, *payments.refunds]:
        if each.money is None:
            return Unknown(Trouble.UNREADABLE, f"{vendor_text(each.id)} has no amount")
    is_taken = any(
        each.status in {"CAPTURED", "PARTIALLY_CAPTURED"} for each in payments.authorizations
    )
    if is_taken and not payments.captures:
        return Unknown(Trouble.UNEXPECTED_STATUS, "the order does not show what was captured")
    return None
