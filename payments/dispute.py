"""A dispute: a payer has a payment taken back through their bank or provider, or tries to.

It is the provider's to decide and to be answered there; here it is recorded, published, and its
money follows: out of what the provider has collected for us while it is withdrawn, and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.record import Struct
from payments.standing import DisputeKind, DisputeState

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payments.money import Money
    from payments.payment import Provider


class Dispute(Struct, frozen=True):
    """One dispute or reversal; `withdrawn_minor` is what the provider has taken now.

    `version` counts its changes.
    """

    id: UUID
    tenant_id: str
    payment_id: UUID
    provider: Provider
    reference: str
    kind: DisputeKind
    amount: Money
    state: DisputeState
    withdrawn_minor: int
    reason: str | None
    created_at: datetime
    updated_at: datetime
    version: int = 1
    closed_at: datetime | None = None
