"""What is done at a provider without us, and what an operator says who has looked there."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

from payments.outcome import Operation
from payments.resolution import Captured, DidNotHappen, Happened
from payments.standing import DisputeState

if TYPE_CHECKING:
    from uuid import UUID

    from payments.payment import Payment
    from payments.resolution import Verdict
    from payments.standing import Standing
    from tests.support.payments.honest_provider import HonestProvider


class Deed(Enum):
    """What may be done at a provider without us."""

    CAPTURE = auto()
    VOID = auto()
    REFUND = auto()
    BOUNCE = auto()
    DISPUTE = auto()
    WIN = auto()
    LOSE = auto()


def done(provider: HonestProvider, deed: Deed, payment_id: UUID, amount_minor: int) -> None:
    """Do it, as far as it can be done."""
    match deed:
        case Deed.CAPTURE:
            provider.capture_by_hand(payment_id, amount_minor)
        case Deed.VOID:
            provider.void_by_hand(payment_id)
        case Deed.REFUND:
            provider.refund_by_hand(payment_id, amount_minor)
        case Deed.BOUNCE:
            provider.bounce(payment_id)
        case Deed.DISPUTE:
            provider.dispute(payment_id, DisputeState.OPEN)
        case Deed.WIN:
            provider.dispute(payment_id, DisputeState.WON)
        case Deed.LOSE:
            provider.dispute(payment_id, DisputeState.LOST)
        case _:
            assert_never(deed)


def verdict_of(payment: Payment, standing: Standing) -> Verdict:
    """What somebody says who has looked."""
    if standing.captures:
        return Captured(standing.captures[0].amount, standing.captures[0].reference)
    is_authorized = payment.operation is Operation.AUTHORIZE and standing.is_held
    is_voided = payment.operation is Operation.VOID and not standing.is_held
    if is_authorized or is_voided:
        return Happened(payment.amount, "by-hand")
    return DidNotHappen()
