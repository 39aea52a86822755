"""Every page there is, one subject a module."""

from typing import Final

from api.console.pages import (
    accounts,
    audit_log,
    books,
    dead_letters,
    files,
    overview,
    payment,
    payments,
    providers,
    sign_in,
    streams,
    webhooks,
)

PAGES: Final = (
    *sign_in.PAGES,
    *files.PAGES,
    *overview.PAGES,
    *payments.PAGES,
    *payment.PAGES,
    *accounts.PAGES,
    *streams.PAGES,
    *dead_letters.PAGES,
    *webhooks.PAGES,
    *providers.PAGES,
    *books.PAGES,
    *audit_log.PAGES,
)

# What a page may be told was done: the names of all there is to do.
DOINGS: Final = frozenset(
    action.name
    for module in (payment, streams, dead_letters, webhooks)
    for action in module.ACTIONS
)
