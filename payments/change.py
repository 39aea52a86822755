"""How a payment changes: one version and one event a change, numbered if it is public."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from payments.events import PRIVATE, Event, EventType, Work, WorkType

if TYPE_CHECKING:
    from payments.decision import Context
    from payments.payment import Payment
    from payments.refund import Refund


@dataclass(frozen=True, slots=True)
class Change:
    """A payment after a change, and the event that says so."""

    payment: Payment
    event: Event


def changed(
    payment: Payment, what: EventType, at: Context, *, refund: Refund | None = None
) -> Change:
    """Close a change: raise version and sequence, and make its event.

    `payment` has every other field as it is after the change.
    """
    after = replace(
        payment,
        version=payment.version + 1,
        sequence=payment.sequence + (what not in PRIVATE),
        updated_at=at.now,
    )
    return Change(after, Event(at.new_id(), what, after, at.now, refund))


def charge_work(payment: Payment, at: Context, cause: Event | None = None) -> Work:
    """The message that asks for the payment's next attempt."""
    return Work(
        id=at.new_id(),
        type=WorkType.CHARGE,
        tenant_id=payment.tenant_id,
        payment_id=payment.id,
        provider=payment.provider,
        attempt=payment.progress.attempt_count + 1,
        occurred_at=at.now,
        causation_id=cause.id if cause else None,
    )


def refund_work(refund: Refund, at: Context, cause: Event | None = None) -> Work:
    """The message that asks for the refund's next attempt."""
    return Work(
        id=at.new_id(),
        type=WorkType.REFUND,
        tenant_id=refund.tenant_id,
        payment_id=refund.payment_id,
        provider=refund.provider,
        attempt=refund.progress.attempt_count + 1,
        occurred_at=at.now,
        refund_id=refund.id,
        causation_id=cause.id if cause else None,
    )
