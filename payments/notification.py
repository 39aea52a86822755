"""What a provider says by itself: a hint to go and ask, never a fact.

A notification may be late, repeated, out of order or about something else. It says what to
look at; what is true is learnt by asking.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.payment import Payment, Provider
    from payments.refund import Refund


class Reported(StrEnum):
    """What a notification claims of a payment's money (held, taken, not taken) or a refund's."""

    HELD = "held"
    DONE = "done"
    NOT_DONE = "not_done"
    # Something has changed that only a look at the whole payment tells.
    CHANGED = "changed"


class ProviderNotification(Struct, frozen=True):
    """A notification by its provider's id for it; `reference` is what it is about there."""

    provider: Provider
    id: str
    type: str
    reported: Reported
    reference: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by, however often it is sent."""
        return self.provider, self.id


class NotificationEffect(StrEnum):
    """What became of a notification."""

    # What it is about is open: its provider will be asked now.
    ASKED = "asked"
    # It says nothing new.
    NOTHING = "nothing"
    # It was taken before.
    DUPLICATE = "duplicate"
    # The provider must be looked at first: now, or when who works on the payment has ended.
    DOUBTED = "doubted"
    # The provider was asked, and agrees with us.
    CONFIRMED = "confirmed"
    # The provider was asked, and what was done there is recorded here.
    RECORDED = "recorded"
    # The provider was asked, and does not: a dead letter.
    CONTRADICTION = "contradiction"
    # The provider was asked, and cannot tell either, now or later: a dead letter.
    UNRESOLVED = "unresolved"


class NotificationTaken(Struct, frozen=True):
    """The result of a hint; where it is DOUBTED, `payment` is to be looked at (`references`)."""

    effect: NotificationEffect
    payment: Payment
    refund: Refund | None = None
    references: tuple[str, ...] = ()


class RecordedNotification(Struct, frozen=True):
    """A notification that was taken, for the record and so that it is not taken again."""

    event: ProviderNotification
    tenant_id: str
    payment_id: UUID
    refund_id: UUID | None
    effect: NotificationEffect
    received_at: datetime
