"""A payment, its states, and which of them are final.

`pending -> processing -> completed | failed | unknown`, `pending -> cancelled`,
`unknown -> completed | failed | review`, `completed -> partially_refunded ->
refunded`; with manual capture `processing -> authorized -> completed | cancelled`.
`failed -> pending` exists only as an operator's redrive.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NewType

from payments.record import Struct, replace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from payments.money import Money
    from payments.outcome import Operation
    from payments.progress import Progress


class PaymentType(StrEnum):
    """Whether a provider is asked, or money moves between two of our accounts."""

    EXTERNAL = "external_payment"
    INTERNAL = "internal_transfer"


class CaptureMethod(StrEnum):
    """Whether an authorization is captured at once or when the client asks."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class PaymentStatus(StrEnum):
    """Where a payment is in its life."""

    PENDING = "pending"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    REVIEW = "review"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


# The key of the metadata under which a client names the payment method to charge.
METHOD_KEY: Final = "payment_method"
# A payment provider by its name; which there are, `providers/registry.py` says.
Provider = NewType("Provider", str)

TERMINAL: Final = frozenset(
    {
        PaymentStatus.COMPLETED,
        PaymentStatus.FAILED,
        PaymentStatus.CANCELLED,
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentStatus.REFUNDED,
    }
)
# The outcome of an earlier attempt is open: ask before anything is done again.
OPEN: Final = frozenset({PaymentStatus.UNKNOWN, PaymentStatus.REVIEW})
# Captured, so that it may be refunded.
CAPTURED: Final = frozenset(
    {PaymentStatus.COMPLETED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED}
)


class Payment(Struct, frozen=True):
    """One payment; amounts in minor units of `amount.currency`.

    `operation` is what a provider is owed next, of `operation_minor`; `sequence`
    counts the public events, `version` every change. What was authorized by hand is
    to be captured before `authorization_expires_at`. While one of its messages to a
    stage is parked, `..._blocked_by` names the dead letter the later ones wait behind;
    no event says so, for it changes nothing of the payment itself.
    """

    id: UUID
    tenant_id: str
    idempotency_key: str | None
    payment_type: PaymentType
    source_account_id: UUID
    destination_account_id: UUID | None
    amount: Money
    capture_method: CaptureMethod
    status: PaymentStatus
    provider: Provider | None
    description: str | None
    metadata: Mapping[str, object]
    progress: Progress
    created_at: datetime
    updated_at: datetime
    version: int = 1
    sequence: int = 1
    provider_reference: str | None = None
    hold_id: UUID | None = None
    operation: Operation | None = None
    operation_minor: int | None = None
    # What `progress.first_asked_at` is about: the last operation a provider was asked for.
    asked_operation: Operation | None = None
    captured_minor: int = 0
    refunded_minor: int = 0
    refund_pending_minor: int = 0
    # What its provider has taken back for disputes, now.
    disputed_minor: int = 0
    last_error_code: str | None = None
    last_error: str | None = None
    completed_at: datetime | None = None
    authorization_expires_at: datetime | None = None
    charge_blocked_by: UUID | None = None
    refund_blocked_by: UUID | None = None
    # What is charged, by its provider's names for it and for whose it is; None: the configured one.
    payment_method: str | None = None
    customer_reference: str | None = None

    @property
    def currency(self) -> str:
        """The ISO 4217 code of every amount of this payment."""
        return self.amount.currency

    @property
    def method_named(self) -> object:
        """The method it is to be charged by, None if it names none.

        What was accepted before there was a place for it has it in its metadata alone.
        """
        return self.payment_method or self.metadata.get(METHOD_KEY)

    @property
    def refundable_minor(self) -> int:
        """What was captured and neither refunded, nor promised back, nor taken by a dispute."""
        return max(0, self.unrefunded_minor - self.disputed_minor)

    @property
    def unrefunded_minor(self) -> int:
        """What was captured and neither refunded nor promised back."""
        return self.captured_minor - self.refunded_minor - self.refund_pending_minor

    @property
    def awaits_capture(self) -> bool:
        """Whether it is the client's turn: the money is held, and no provider is owed a call."""
        return self.status is PaymentStatus.AUTHORIZED and self.operation is None

    @property
    def was_authorized(self) -> bool:
        """Whether its provider held its money, by what it answered."""
        return self.authorization_expires_at is not None

    def owed_nothing(self) -> Payment:
        """The same payment, with no provider work left."""
        return replace(self, operation=None, operation_minor=None, progress=self.progress.settled())

    def left_to_client(self) -> Payment:
        """The same payment, authorized: it is looked at again when that ends."""
        until = self.authorization_expires_at
        assert until is not None, "an authorization has an end"
        return replace(
            self.owed_nothing(),
            status=PaymentStatus.AUTHORIZED,
            progress=self.progress.waiting(until),
        )
