"""How a page is declared: a route like the API's, which is no operation of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.contract.route import Route, Success

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.access.scopes import Everyone, Scope
    from api.console.visit import Visit
    from store.write.group_commit import Answer

_PAGE: Final = {200: Success("The page.", media_type="text/html")}


def page(
    path: str,
    handler: Callable[[Visit], Awaitable[Answer]],
    scope: Scope | Everyone,
    summary: str,
    *,
    method: str = "GET",
    quiet: bool = False,
) -> Route[Visit]:
    """A page at a path, for who has the scope; a `quiet` one leaves no line in the log."""
    return Route(
        method=method,
        path=path,
        handler=handler,
        scope=scope,
        summary=summary,
        tag="Console",
        successes=_PAGE,
        documented=False,
        quiet=quiet,
    )
