"""How a payment changes: one version and one event a change, numbered if it is public."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.events import PRIVATE, Event, EventType, Work, WorkType
from payments.outcome import Operation
from payments.payment import Payment
from payments.record import Struct, replace
from payments.refund import Refund

if TYPE_CHECKING:
    from payments.decision import Context
    from payments.dispute import Dispute


class Change(Struct, frozen=True):
    """A payment after a change, and the event that says so."""

    payment: Payment
    event: Event


def changed(
    payment: Payment,
    what: EventType,
    at: Context,
    *,
    refund: Refund | None = None,
    dispute: Dispute | None = None,
) -> Change:
    """Close a change: raise version and sequence, and make its event.

    `payment` has every other field as it is after the change.
    """
    after = replace(
        payment,
        version=payment.version + 1,
        sequence=payment.sequence + (what not in PRIVATE),
        # Another host's clock may be ahead of ours: no row goes back in time.
        updated_at=max(at.now, payment.updated_at),
    )
    return Change(after, Event(at.new_id(), what, after, at.now, refund, dispute))


def work_for(subject: Payment | Refund, at: Context, cause: Event | None = None) -> Work:
    """The message that asks for its next attempt."""
    refund = subject if isinstance(subject, Refund) else None
    return Work(
        id=at.new_id(),
        type=WorkType.REFUND if refund else WorkType.CHARGE,
        tenant_id=subject.tenant_id,
        payment_id=refund.payment_id if refund else subject.id,
        provider=subject.provider,
        attempt=subject.progress.attempt_count + 1,
        occurred_at=at.now,
        operation=subject.operation if isinstance(subject, Payment) else Operation.REFUND,
        refund_id=refund.id if refund else None,
        causation_id=cause.id if cause else None,
    )
