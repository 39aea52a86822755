"""A difference between a provider's settlement report and our books."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from payments.money import Money
from payments.reconciliation.breaks import BreakState, TrackedBreak
from payments.reconciliation.differences import BreakType, Kind
from topics.contracts.provider_names import Provider


class BreakSideResponse(BaseModel):
    """What one side says: the amount that moved, and the state it says it is in."""

    model_config = FROZEN

    amount: str
    amount_minor: int
    currency: str
    status: str | None

    @classmethod
    def of(cls, amount: Money, status: str | None) -> Self:
        """An amount with the state beside it."""
        return cls(
            amount=amount.decimal,
            amount_minor=amount.amount_minor,
            currency=amount.currency,
            status=status,
        )


class ReconciliationBreakResponse(BaseModel):
    """A difference. `here` is our side and `there` the provider's; null: nothing there.

    Its age counts from `occurred_at`. `resolved_by` is null where a later report showed that
    it is gone.
    """

    model_config = FROZEN

    id: UUID
    provider: Provider
    type: BreakType
    kind: Kind
    payment_id: UUID | None
    refund_id: UUID | None
    reference: str | None
    here: BreakSideResponse | None
    there: BreakSideResponse | None
    occurred_at: datetime
    age_seconds: int
    first_found_at: datetime
    last_found_at: datetime
    state: BreakState
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None

    @classmethod
    def of(cls, tracked: TrackedBreak, now: datetime) -> Self:
        """The break, as old as it is now."""
        found, resolution = tracked.found, tracked.resolution
        return cls(
            id=tracked.id,
            provider=found.provider,
            type=found.type,
            kind=found.kind,
            payment_id=found.payment_id,
            refund_id=found.refund_id,
            reference=found.reference,
            here=BreakSideResponse.of(found.here, found.status_here) if found.here else None,
            there=BreakSideResponse.of(found.there, found.status_there) if found.there else None,
            occurred_at=found.occurred_at,
            age_seconds=int(tracked.age_s(now)),
            first_found_at=tracked.first_found_at,
            last_found_at=tracked.last_found_at,
            state=tracked.state,
            resolved_at=resolution.at if resolution else None,
            resolved_by=resolution.by if resolution else None,
            resolution=resolution.reason if resolution else None,
        )
