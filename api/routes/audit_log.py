"""The audit log: what operators did by hand over this API and at the console, signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.queries import AuditLogQuery
from api.contract.responses.answers import Page
from api.contract.responses.audit_log import AuditEntryResponse
from api.contract.route import Route, Success
from api.handling.cursors import BY_ID
from api.handling.lists import Listing
from store.read.audit_log import AuditFilters, audit_log_page

if TYPE_CHECKING:
    from api.handling.call import Call
    from store.write.group_commit import Answer


async def list_audit_log(call: Call) -> Answer:
    query = call.query(AuditLogQuery)
    return await _ENTRIES.answer(call, query, query.filters(AuditFilters))


_ENTRIES: Final = Listing(
    read=audit_log_page,
    order=BY_ID,
    position=lambda entry: entry.id,
    page=Page[AuditEntryResponse],
    row=AuditEntryResponse.of,
)

ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/audit-log",
        handler=list_audit_log,
        scope=Scope.OPS,
        summary="What operators did by hand, refusals included, newest first.",
        tag="Operations",
        query=AuditLogQuery,
        successes={200: Success("A page of entries.", Page[AuditEntryResponse])},
    ),
)
