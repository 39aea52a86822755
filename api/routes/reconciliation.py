"""Reconciliation breaks: where a provider's settlement report and our books differ."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from api.access.scopes import Scope
from api.contract.requests.fields import one_of
from api.contract.requests.queries import PageQuery
from api.contract.responses.answers import Page, json_answer
from api.contract.route import Route, Success
from api.handling.cursors import after_instant, instant_of
from payments.payment import Provider
from payments.reconciliation.breaks import BreakState, TrackedBreak
from payments.reconciliation.differences import BreakType, Kind
from store.reconciliation import BreakFilters, breaks_page

if TYPE_CHECKING:
    from api.handling.call import Call
    from payments.money import Money
    from store.write.group_commit import Answer


class ReconciliationBreaksQuery(PageQuery):
    """Which breaks; all filters apply together."""

    state: Annotated[BreakState, one_of(BreakState)] | None = None
    provider: Annotated[Provider, one_of(Provider)] | None = None
    type: Annotated[BreakType, one_of(BreakType)] | None = None


class BreakSideResponse(BaseModel):
    """What one side says: the amount that moved, and the state it says it is in."""

    model_config = ConfigDict(frozen=True)

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

    model_config = ConfigDict(frozen=True)

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


async def list_reconciliation_breaks(call: Call) -> Answer:
    query = call.query(ReconciliationBreaksQuery)
    filters = BreakFilters(state=query.state, provider=query.provider, type=query.type)
    before = instant_of(query.cursor, repr(filters)) if query.cursor else None
    async with call.database() as connection:
        breaks = await breaks_page(
            connection, call.tenant_id, filters, before=before, limit=query.limit + 1
        )
    shown, more = breaks[: query.limit], None
    if len(breaks) > query.limit:
        more = after_instant(shown[-1].found.occurred_at, shown[-1].id, repr(filters))
    now = call.deps.now()
    data = [ReconciliationBreakResponse.of(each, now) for each in shown]
    return json_answer(200, Page[ReconciliationBreakResponse](data=data, next_cursor=more))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/reconciliation/breaks",
        handler=list_reconciliation_breaks,
        scope=Scope.OPS,
        summary="Differences between providers' settlement reports and our books, newest first.",
        tag="Operations",
        query=ReconciliationBreaksQuery,
        successes={200: Success("A page of breaks.", Page[ReconciliationBreakResponse])},
    ),
)
