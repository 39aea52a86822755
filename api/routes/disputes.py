"""Disputes: what payers have taken back, or try to; answered at the provider, followed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.queries import DisputesQuery
from api.contract.responses.answers import Page, json_answer
from api.contract.responses.disputes import DisputeResponse
from api.contract.route import Route, Success
from api.handling.cursors import BY_TIME
from api.handling.lists import Listing
from api.http.problems import DISPUTE_NOT_FOUND, Problem
from store.read.disputes import DisputeFilters, dispute_by_id, disputes_page

if TYPE_CHECKING:
    from api.handling.call import Call
    from store.write.group_commit import Answer


async def list_disputes(call: Call) -> Answer:
    query = call.query(DisputesQuery)
    return await _DISPUTES.answer(call, query, query.filters(DisputeFilters))


async def get_dispute(call: Call) -> Answer:
    dispute_id = call.path_id(DISPUTE_NOT_FOUND)
    async with call.database() as connection:
        dispute = await dispute_by_id(connection, call.tenant_id, dispute_id)
    if dispute is None:
        raise Problem(DISPUTE_NOT_FOUND, f"there is no dispute {dispute_id}")
    return json_answer(200, DisputeResponse.of(dispute))


_DISPUTES: Final = Listing(
    read=disputes_page,
    order=BY_TIME,
    position=lambda dispute: (dispute.created_at, dispute.id),
    page=Page[DisputeResponse],
    row=DisputeResponse.of,
)
ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/disputes",
        handler=list_disputes,
        scope=Scope.PAYMENTS_READ,
        summary="Disputes and reversals at providers, newest first.",
        tag="Payments",
        query=DisputesQuery,
        successes={200: Success("A page of disputes.", Page[DisputeResponse])},
    ),
    Route(
        method="GET",
        path="/api/v1/disputes/{id}",
        handler=get_dispute,
        scope=Scope.PAYMENTS_READ,
        summary="A dispute, or a reversal, at a provider.",
        tag="Payments",
        successes={200: Success("The dispute.", DisputeResponse)},
    ),
)
