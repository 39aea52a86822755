"""Providers: how each is to each worker, and what the newest calls to it ended in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console.page import page
from store.read.overview import living_provider_states, recent_calls

if TYPE_CHECKING:
    from api.console.visit import Visit
    from store.write.group_commit import Answer


async def show_providers(visit: Visit) -> Answer:
    async with visit.database() as connection:
        states = await living_provider_states(connection)
        calls = await recent_calls(connection, visit.tenant_id)
    return visit.page("providers.html", states=states, calls=calls)


PAGES: Final = (
    page("/console/providers", show_providers, Scope.OPS, "How the providers are.", quiet=True),
)
