"""The books: what settlement reports say otherwise, disputes, and the seals over the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console.page import page
from api.routes.disputes import list_disputes
from api.routes.reconciliation import list_reconciliation_breaks
from store.read.overview import newest_seals

if TYPE_CHECKING:
    from api.console.visit import Visit
    from store.write.group_commit import Answer


async def show_books(visit: Visit) -> Answer:
    breaks = await visit.ask(list_reconciliation_breaks, {"state": "open"})
    disputes = await visit.ask(list_disputes, {})
    async with visit.database() as connection:
        seals = await newest_seals(connection, visit.tenant_id)
    return visit.page("books.html", breaks=breaks["data"], disputes=disputes["data"], seals=seals)


PAGES: Final = (page("/console/books", show_books, Scope.OPS, "Breaks, disputes and seals."),)
