"""The aiohttp application, built from its dependencies and the one list of routes.

Nothing is served that is not declared as a `Route`, so nothing is served without saying
who may use it; a route added behind this module's back fails the start.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.console.endpoint import PageEndpoint
from api.console.pages import DOINGS, PAGES
from api.console.rendering import CONSOLE, Console
from api.console.sessions import KnownBrowsers
from api.contract.documents import DOCUMENTS, documents_of
from api.handling.call import Call
from api.http.observer import BODY_BYTES_MAX, OBSERVER, UNMATCHED, Observer
from api.http.preconditions import conditional
from api.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

    from api.contract.route import AnyRoute, Route
    from api.handling.dependencies import Dependencies
    from api.http.observer import Turn
    from api.http.problems import Asked
    from store.write.group_commit import Answer

ROUTES_DECLARED: Final = web.AppKey("routes", tuple)


def build(deps: Dependencies, routes: Iterable[Route[Call]] = ROUTES) -> web.Application:
    """The application. Raises RuntimeError for a route nobody declared."""
    observer = Observer(
        *(deps.metrics, deps.tracer, deps.new_request_id, deps.proxies), deps.authenticator.asker
    )
    declared = tuple(routes)
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_unmatched(observer)])
    for route in declared:
        _serve(app, route, _Endpoint(route, deps, observer).respond)
    browsers = KnownBrowsers()
    for page in PAGES:
        _serve(app, page, PageEndpoint(page, deps, observer, browsers).respond)
    app[ROUTES_DECLARED] = (*declared, *PAGES)
    app[CONSOLE] = Console(DOINGS)
    app[OBSERVER] = observer
    app[DOCUMENTS] = documents_of(declared, deps.providers)
    app.on_startup.append(_refuse_undeclared)
    return app


def _serve(app: web.Application, route: AnyRoute, respond: Handler) -> None:
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        app.router.add_route(method, route.path, respond)


class _Endpoint:
    """One route at work."""

    def __init__(self, route: Route[Call], deps: Dependencies, observer: Observer) -> None:
        self._route = route
        self._deps = deps
        self._observer = observer
        self._turn = _turn_of(route, deps, observer)

    async def respond(self, request: web.Request) -> web.Response:
        route, deps = self._route, self._deps

        async def work(asked: Asked, headers: dict[str, str]) -> Answer:
            call = Call(request, asked, route, deps)
            try:
                await call.admit()
                answer = await route.handler(call)
                return conditional(request.headers, answer) if route.method == "GET" else answer
            finally:
                headers.update(call.headers)

        return await self._observer.respond(
            *(request, route.path, work),
            quiet=route.quiet,
            turn=self._turn,
        )


def _turn_of(route: Route[Call], deps: Dependencies, observer: Observer) -> Turn:
    """A probe's is its own, before all clients; what may have to be committed is asked for that."""
    if route.is_probe:
        return lambda _: observer.turns.take(route.path, is_heard=False)
    if route.method == "GET":
        return observer.turn
    return partial(observer.turn, admit=deps.committer.admit)


def _unmatched(observer: Observer) -> Middleware:
    """A middleware for what no route takes: 404 and 405 are answered like everything else."""

    @web.middleware
    async def respond(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = request.match_info.http_exception
        if refusal is None:
            return await handler(request)

        async def work(_: Asked, __: dict[str, str]) -> Answer:
            raise refusal

        return await observer.respond(request, UNMATCHED, work)

    return respond


async def _refuse_undeclared(app: web.Application) -> None:
    declared = {(route.method, route.path) for route in app[ROUTES_DECLARED]}
    for served in app.router.routes():
        path = served.resource.canonical if served.resource else ""
        method = "GET" if served.method == "HEAD" else served.method
        if (method, path) not in declared:
            raise RuntimeError(f"{method} {path} is served and not declared: who may use it?")
