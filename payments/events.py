"""What is said about a payment: public facts in sequence, private changes, and work.

Every version of a payment has exactly one event; the public ones are numbered
1, 2, 3 ... per payment. An event carries the payment as it is after the change,
so the last one is the payment.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.account import Account
    from payments.dead_letter import DeadLetter
    from payments.dispute import Dispute
    from payments.outcome import Operation
    from payments.payment import Payment, Provider
    from payments.refund import Refund


class EventType(StrEnum):
    """What happened to a payment or one of its refunds."""

    PAYMENT_CREATED = "payment.created"
    PAYMENT_AUTHORIZED = "payment.authorized"
    PAYMENT_COMPLETED = "payment.completed"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_CANCELLED = "payment.cancelled"
    PAYMENT_CAPTURE_FAILED = "payment.capture_failed"
    PAYMENT_CAPTURED_ELSEWHERE = "payment.captured_elsewhere"
    PAYMENT_REVERSED = "payment.reversed"
    PAYMENT_UNKNOWN = "payment.unknown"
    PAYMENT_REVIEW = "payment.review"
    PAYMENT_REDRIVEN = "payment.redriven"
    REFUND_CREATED = "refund.created"
    REFUND_COMPLETED = "refund.completed"
    REFUND_FAILED = "refund.failed"
    REFUND_UNKNOWN = "refund.unknown"
    REFUND_REVIEW = "refund.review"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_UPDATED = "dispute.updated"
    DISPUTE_WON = "dispute.won"
    DISPUTE_LOST = "dispute.lost"
    TRANSFER_COMPLETED = "transfer.completed"
    # Private: kept in payment_events, on no topic.
    ATTEMPT_STARTED = "payment.attempt_started"
    RETRY_SCHEDULED = "payment.retry_scheduled"
    CAPTURE_REQUESTED = "payment.capture_requested"
    CANCEL_REQUESTED = "payment.cancel_requested"
    WOKEN = "payment.woken"
    HINTED = "payment.hinted"
    VOIDED = "payment.voided"


PRIVATE: Final = frozenset(
    {
        EventType.ATTEMPT_STARTED,
        EventType.RETRY_SCHEDULED,
        EventType.CAPTURE_REQUESTED,
        EventType.CANCEL_REQUESTED,
        EventType.WOKEN,
        EventType.HINTED,
        EventType.VOIDED,
    }
)


class AccountEventType(StrEnum):
    """What happened to an account; a balance fact says what the balance is, not how it moved."""

    CREATED = "account.created"
    BALANCE_CHANGED = "account.balance_changed"


class WorkType(StrEnum):
    """What a stage is asked to do."""

    CHARGE = "charge.requested"
    REFUND = "refund.requested"


class Event(Struct, frozen=True):
    """One change of a payment; `payment.sequence` is its number if it is public."""

    id: UUID
    type: EventType
    payment: Payment
    occurred_at: datetime
    refund: Refund | None = None
    dispute: Dispute | None = None

    @property
    def is_public(self) -> bool:
        """Whether it is published, and so numbered."""
        return self.type not in PRIVATE


class AccountEvent(Struct, frozen=True):
    """A fact about an account."""

    id: UUID
    type: AccountEventType
    account: Account
    occurred_at: datetime


class Work(Struct, frozen=True):
    """A message to a stage; `attempt` is the number of the attempt it asks for.

    A claim of another number is refused, so a duplicate, late or replayed message
    starts nothing. `operation` is what its provider will be asked for, as far as is known now.
    """

    id: UUID
    type: WorkType
    tenant_id: str
    payment_id: UUID
    provider: Provider | None
    attempt: int
    occurred_at: datetime
    operation: Operation | None = None
    refund_id: UUID | None = None
    causation_id: UUID | None = None


class Republication(Struct, frozen=True):
    """A parked message sent again to its topic, bytes as they came, under a new id."""

    id: UUID
    letter: DeadLetter
    occurred_at: datetime
