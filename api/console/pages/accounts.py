"""Accounts: found by their id, with what they have, what moved in them, and what it was for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console.page import page
from api.console.visit import see_other
from api.contract.requests.fields import parse_uuid
from api.routes.accounts import get_account, list_transactions

if TYPE_CHECKING:
    from api.console.visit import Visit
    from store.write.group_commit import Answer


async def find_account(visit: Visit) -> Answer:
    sought = visit.request.query.get("q", "").strip()
    if named := parse_uuid(sought):
        return see_other(f"/console/accounts/{named}")
    return visit.page("accounts.html", 404 if sought else 200, sought=sought)


async def show_account(visit: Visit) -> Answer:
    account = await visit.ask(get_account, {})
    statement = await visit.ask(list_transactions)
    return visit.page("account.html", account=account, page=statement)


PAGES: Final = (
    page("/console/accounts", find_account, Scope.PAYMENTS_READ, "To the account that is named."),
    page("/console/accounts/{id}", show_account, Scope.PAYMENTS_READ, "An account's statement."),
)
