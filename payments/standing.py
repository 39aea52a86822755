"""How a payment stands at its provider: all there is of it there, as answered at one instant.

What was done there without us (captures, refunds, disputes) is in it beside what we asked for. It
is evidence only as a whole: whoever could not read all of it says that nothing was learnt.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from payments.record import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from payments.money import Money


class FoundState(StrEnum):
    """Whether money moved."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class DisputeState(StrEnum):
    """Who has, or gets, the money: nobody yet, we do, the payer does."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class DisputeKind(StrEnum):
    """Whether we are heard: a dispute is decided, a reversal was."""

    DISPUTE = "dispute"
    REVERSAL = "reversal"


class FoundCapture(Struct, frozen=True):
    """Money that was taken; `reference` is as `Succeeded.reference` of a charge or a capture."""

    reference: str
    amount: Money


class FoundRefund(Struct, frozen=True):
    """A refund there; `refund_id` is ours, None where somebody else made it."""

    reference: str
    amount: Money
    state: FoundState
    refund_id: UUID | None = None
    reason: str | None = None


class FoundDispute(Struct, frozen=True):
    """A dispute or a reversal there; `is_withdrawn` while the provider has taken its amount."""

    reference: str
    kind: DisputeKind
    amount: Money
    state: DisputeState
    is_withdrawn: bool
    reason: str | None = None


class _Found(Protocol):
    @property
    def reference(self) -> str: ...


FoundT = TypeVar("FoundT", bound=_Found)


class Standing(Struct, frozen=True):
    """A payment at its provider; every tuple is complete, of every object that names the payment.

    `payment_id` is what those objects call it, None where they name none of ours. `is_held`: some
    authorization may still be captured. `is_pending`: the provider itself does not know yet
    what becomes of it. `why_released` is why nothing is held any more, where that was told.
    """

    payment_id: UUID | None
    is_held: bool = False
    is_pending: bool = False
    captures: tuple[FoundCapture, ...] = ()
    refunds: tuple[FoundRefund, ...] = ()
    disputes: tuple[FoundDispute, ...] = ()
    why_released: str | None = None

    def with_all_of(self, other: Standing) -> Standing:
        """What two looks showed, by different names of the same payment."""
        return Standing(
            payment_id=self.payment_id or other.payment_id,
            is_held=self.is_held or other.is_held,
            is_pending=self.is_pending or other.is_pending,
            captures=_united(self.captures, other.captures),
            refunds=_united(self.refunds, other.refunds),
            disputes=_united(self.disputes, other.disputes),
            why_released=self.why_released or other.why_released,
        )


def _united(some: tuple[FoundT, ...], more: tuple[FoundT, ...]) -> tuple[FoundT, ...]:
    return tuple({each.reference: each for each in (*some, *more)}.values())
