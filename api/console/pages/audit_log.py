"""The audit log: what operators did by hand, here and over the API, refusals included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console.page import page
from api.routes.audit_log import list_audit_log

if TYPE_CHECKING:
    from api.console.visit import Visit
    from store.write.group_commit import Answer


async def show_audit_log(visit: Visit) -> Answer:
    return visit.page("audit_log.html", page=await visit.ask(list_audit_log))


PAGES: Final = (
    page("/console/audit-log", show_audit_log, Scope.OPS, "What operators did by hand."),
)
