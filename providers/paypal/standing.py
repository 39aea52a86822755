"""How a payment stands at PayPal, by its order and the disputes about its captures. Pure.

PayPal tells of money that went back to the payer more than once: a reversal is also a refund
(`PAYMENT.CAPTURE.REVERSED` shows one), and so is what a lost dispute gave back. Here each is told
once: a refund of ours as that; what a dispute took otherwise, as the dispute; the rest as what it
is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from payments.decisions.authorization import AUTHORIZATION_EXPIRED
from payments.money import Money
from payments.outcome import Unknown
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
from providers.paypal.objects import Kind, Movement, Order, Reference
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


@dataclass(frozen=True, slots=True)
class Disputed:
    """A dispute, and the capture it is about."""

    capture: str
    found: FoundDispute
    opened_at: datetime | None = None


def standing_of(order: Order, disputes: Sequence[Disputed]) -> Standing | Unknown:
    """All there is of the order's payment; `Unknown` where not all of it can be understood."""
    if (strange := _not_understood(order)) is not None:
        return strange
    payments = order.payments
    holds = [each.status for each in payments.authorizations]
    settled = _settled(order, disputes)
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
        refunds=tuple(_refunds(order, settled)),
        disputes=tuple(_disputes(order, disputes, settled)),
        why_released=None if order.is_held or not holds else _RELEASED.get(holds[-1]),
    )


def _refunds(order: Order, settled: Mapping[str, Disputed]) -> Iterator[FoundRefund]:
    """What was given back, but for what is a reversal or told of as a dispute."""
    for refund in order.payments.refunds:
        refund_id = _ours(refund, order)
        if refund.note_to_payer == _REVERSED or (refund_id is None and refund.id in settled):
            continue
        why = vendor_text(refund.reason or refund.note_to_payer) or None
        state = _STATES[refund.status]
        yield FoundRefund(refund.id, _amount(refund), state, refund_id, why)


def _disputes(
    order: Order, disputes: Sequence[Disputed], settled: Mapping[str, Disputed]
) -> Iterator[FoundDispute]:
    """The disputes; what a refund of ours has given back already, none has taken."""
    by_us = [settled.get(each.id) for each in order.payments.refunds if _ours(each, order)]
    for each in disputes:
        is_withdrawn = each.found.is_withdrawn and each not in by_us
        yield replace(each.found, is_withdrawn=is_withdrawn)
    yield from _reversals(order, disputes)


def _settled(order: Order, disputes: Sequence[Disputed]) -> Mapping[str, Disputed]:
    """The refund that each lost dispute ended with: of as much, and not from before it.

    PayPal's own to the payer, or one of ours: "If you send a full refund, the dispute is closed"
    (paypal.com/smarthelp, faq665). Where a reversal is shown, that was it.
    """
    refunds = order.payments.refunds
    reversals = [each for each in refunds if each.note_to_payer == _REVERSED]
    given = [each for each in refunds if each.status == "COMPLETED" and each not in reversals]
    given.sort(key=lambda each: _ours(each, order) is not None)
    settled: dict[str, Disputed] = {}
    for each in disputes:
        is_told = any(_is_about(reversal, each.capture) for reversal in reversals)
        if each.found.state is not DisputeState.LOST or is_told:
            continue
        for refund in given:
            if refund.id not in settled and _may_have_ended(refund, each):
                settled[refund.id] = each
                break
    return settled


def _may_have_ended(refund: Movement, dispute: Disputed) -> bool:
    made_at, opened_at = refund.made_at, dispute.opened_at
    is_before = made_at is not None and opened_at is not None and made_at < opened_at
    is_equal = refund.money == dispute.found.amount
    return is_equal and not is_before and _is_about(refund, dispute.capture)


def _ours(refund: Movement, order: Order) -> UUID | None:
    """Our id of it; one made without an id of its own has its capture's, the payment's."""
    return our_id(refund.custom_id) if refund.custom_id != order.custom_id else None


def _reversals(order: Order, disputes: Sequence[Disputed]) -> Iterator[FoundDispute]:
    """What PayPal took back without a dispute: it shows a refund, or only a capture's reason."""
    reversals = [each for each in order.payments.refunds if each.note_to_payer == _REVERSED]
    for reversal in reversals:
        if not any(_is_about(reversal, each.capture) for each in disputes):
            yield _reversal(reversal, _REVERSALS[_STATES[reversal.status]])
    for capture in order.taken:
        is_told = any(each.capture == capture.id for each in disputes) or any(
            _is_about(reversal, capture.id) for reversal in reversals
        )
        if capture.reason == "CHARGEBACK" and not is_told:
            yield _reversal(capture, DisputeState.LOST)


def _reversal(movement: Movement, state: DisputeState) -> FoundDispute:
    return FoundDispute(
        reference=movement.id,
        kind=DisputeKind.REVERSAL,
        amount=_amount(movement),
        state=state,
        is_withdrawn=state is DisputeState.LOST,
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
