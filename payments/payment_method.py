"""A payment method: what an account pays with at a provider, named as the provider names it.

While it is active it belongs to one account and to nobody else, whatever the tenant. Detached it
is kept, for the payments it made.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.payment import Provider


class PaymentMethodState(StrEnum):
    """Whether it may be charged."""

    ACTIVE = "active"
    DETACHED = "detached"


class PaymentMethod(Struct, frozen=True):
    """`reference` is the provider's name for it, `customer_reference` for whom it belongs to."""

    id: UUID
    tenant_id: str
    account_id: UUID
    provider: Provider
    reference: str
    customer_reference: str | None
    state: PaymentMethodState
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def is_active(self) -> bool:
        """Whether it may be charged."""
        return self.state is PaymentMethodState.ACTIVE

    @property
    def name(self) -> tuple[Provider, str]:
        """What only one active method has."""
        return self.provider, self.reference
