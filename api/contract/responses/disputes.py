"""A dispute, or a reversal, of a payment at its provider."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from payments.dispute import Dispute
from payments.money import format_amount
from payments.standing import DisputeKind, DisputeState
from topics.contracts.provider_names import Provider


class DisputeResponse(BaseModel):
    """A dispute. `withdrawn` is what the provider has taken of our money now."""

    model_config = FROZEN

    id: UUID
    payment_id: UUID
    provider: Provider
    reference: str
    kind: DisputeKind
    state: DisputeState
    amount: str
    amount_minor: int
    currency: str
    withdrawn: str
    withdrawn_minor: int
    reason: str | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None

    @classmethod
    def of(cls, dispute: Dispute) -> Self:
        """The dispute as its payment's owner sees it."""
        currency = dispute.amount.currency
        return cls(
            id=dispute.id,
            payment_id=dispute.payment_id,
            provider=dispute.provider,
            reference=dispute.reference,
            kind=dispute.kind,
            state=dispute.state,
            amount=dispute.amount.decimal,
            amount_minor=dispute.amount.amount_minor,
            currency=currency,
            withdrawn=format_amount(dispute.withdrawn_minor, currency),
            withdrawn_minor=dispute.withdrawn_minor,
            reason=dispute.reason,
            created_at=dispute.created_at,
            updated_at=dispute.updated_at,
            closed_at=dispute.closed_at,
        )
