"""A refund."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from payments.refund import Refund, RefundOrigin, RefundStatus
from topics.contracts.provider_names import Provider


class RefundResponse(BaseModel):
    """A refund."""

    model_config = FROZEN

    id: UUID
    payment_id: UUID
    amount: str
    amount_minor: int
    currency: str
    status: RefundStatus
    reason: str | None
    provider: Provider | None
    provider_transaction_id: str | None
    retry_count: int
    last_error_code: str | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    idempotency_key: str | None
    # Who asked for it: a client of ours, or somebody at the provider.
    origin: RefundOrigin

    @classmethod
    def of(cls, refund: Refund) -> Self:
        """The refund as its owner sees it."""
        return cls(
            id=refund.id,
            payment_id=refund.payment_id,
            amount=refund.amount.decimal,
            amount_minor=refund.amount.amount_minor,
            currency=refund.amount.currency,
            status=refund.status,
            reason=refund.reason,
            provider=refund.provider,
            provider_transaction_id=refund.provider_reference,
            retry_count=refund.progress.retry_count,
            last_error_code=refund.last_error_code,
            last_error=refund.last_error,
            created_at=refund.created_at,
            updated_at=refund.updated_at,
            completed_at=refund.completed_at,
            idempotency_key=refund.idempotency_key,
            origin=refund.origin,
        )
