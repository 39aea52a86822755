"""Reconciliation breaks: where a provider's settlement report and our books differ."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.queries import ReconciliationBreaksQuery
from api.contract.responses.answers import Page
from api.contract.responses.reconciliation import ReconciliationBreakResponse
from api.contract.route import Route, Success
from api.handling.cursors import BY_TIME
from api.handling.lists import Listing
from store.read.reconciliation import BreakFilters, breaks_page

if TYPE_CHECKING:
    from api.handling.call import Call
    from store.write.group_commit import Answer


async def list_reconciliation_breaks(call: Call) -> Answer:
    query = call.query(ReconciliationBreaksQuery)
    breaks = Listing(
        read=breaks_page,
        order=BY_TIME,
        position=lambda tracked: (tracked.found.occurred_at, tracked.id),
        page=Page[ReconciliationBreakResponse],
        row=partial(ReconciliationBreakResponse.of, now=call.deps.now()),
    )
    return await breaks.answer(call, query, query.filters(BreakFilters))


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
