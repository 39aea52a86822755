"""How a payment stands at PayPal, by its order and the disputes about its captures. Pure.

PayPal tells of money that went back to the payer more than once: a reversal is also a refund
(`PAYMENT.CAPTURE.REVERSED` shows one), and so is what a lost dispute gave back. Here each is told
once: what a dispute took, as the dispute; what no dispute accounts for, as what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

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


def standing_of(order: Order, disputes: Sequence[Disputed]) -> Standing | Unknown:
    """All there is of the order's payment; `Unknown` where not all of it can be understood."""
    if (strange := _not_understood(order)) is not None:
        return strange
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
        refunds=tuple(_refunds(order, disputes)),
        disputes=(*(each.found for each in disputes), *_reversals(order, disputes)),
        why_released=None if order.is_held or not holds else _RELEASED.get(holds[-1]),
    )


def _refunds(order: Order, disputes: Sequence[Disputed]) -> Iterator[FoundRefund]:
    """What was given back but for what a dispute gave back; ours by its id."""
    reversals = [each for each in order.payments.refunds if each.note_to_payer == _REVERSED]
    settled = [
        each
        for each in disputes
        if each.found.state is DisputeState.LOST
        and not any(_is_about(reversal, each.capture) for reversal in reversals)
    ]
    for refund in order.payments.refunds:
        # One that was made without an id of its own has its capture's, which is the payment's.
        refund_id = our_id(refund.custom_id) if refund.custom_id != order.custom_id else None
        settlement = None if refund_id else _settled_by(refund, settled)
        if settlement is not None:
            settled.remove(settlement)
        elif refund not in reversals:
            why = vendor_text(refund.reason or refund.note_to_payer) or None
            state = _STATES[refund.status]
            yield FoundRefund(refund.id, _amount(refund), state, refund_id, why)


def _settled_by(refund: Movement, disputes: Sequence[Disputed]) -> Disputed | None:
    """The lost dispute that gave back so much of the refund's capture."""
    amount = refund.money if refund.status == "COMPLETED" else None
    for each in disputes:
        if _is_about(refund, each.capture) and each.found.amount == amount:
            return each
    return None


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
