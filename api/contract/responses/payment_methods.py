"""A payment method of an account."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from payments.payment_method import PaymentMethod, PaymentMethodState
from topics.contracts.provider_names import Provider


class PaymentMethodResponse(BaseModel):
    """A payment method; detached, no payment is accepted with it."""

    model_config = FROZEN

    id: UUID
    account_id: UUID
    provider: Provider
    reference: str
    customer: str | None
    state: PaymentMethodState
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, method: PaymentMethod) -> Self:
        """The method as its account's owner sees it."""
        return cls(
            id=method.id,
            account_id=method.account_id,
            provider=method.provider,
            reference=method.reference,
            customer=method.customer_reference,
            state=method.state,
            created_at=method.created_at,
            updated_at=method.updated_at,
        )
