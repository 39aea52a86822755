"""A refund: a resource of its own, capped under its payment's lock."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.money import Money
    from payments.payment import Provider
    from payments.progress import Progress


class RefundStatus(StrEnum):
    """`pending -> processing -> completed | failed | unknown`, `unknown -> ... | review`."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REVIEW = "review"


class RefundOrigin(StrEnum):
    """Who asked for it: a client of ours, or somebody at the provider."""

    CLIENT = "client"
    PROVIDER = "provider"


class Refund(Struct, frozen=True):
    """Money on its way back, all of a payment's captured amount or a part of it."""

    id: UUID
    tenant_id: str
    payment_id: UUID
    idempotency_key: str | None
    amount: Money
    status: RefundStatus
    reason: str | None
    provider: Provider | None
    progress: Progress
    created_at: datetime
    updated_at: datetime
    version: int = 1
    provider_reference: str | None = None
    last_error_code: str | None = None
    last_error: str | None = None
    completed_at: datetime | None = None
    origin: RefundOrigin = RefundOrigin.CLIENT


# The outcome of an earlier attempt is open: ask before anything is done again.
REFUND_OPEN: Final = frozenset({RefundStatus.UNKNOWN, RefundStatus.REVIEW})
