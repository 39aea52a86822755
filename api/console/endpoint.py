"""One page at work: what goes wrong is a page, too, and who is not signed in is led to do so."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from api.console.rendering import CONSOLE, HTML_HEADERS
from api.console.sessions import Browser
from api.console.visit import Visit, see_other
from api.http.preconditions import conditional
from api.http.problems import UNAUTHORIZED, Problem
from store.write.group_commit import Answer
from telemetry.redaction import redact_text

if TYPE_CHECKING:
    from aiohttp import web

    from api.console.sessions import KnownBrowsers
    from api.contract.route import Route
    from api.handling.dependencies import Dependencies
    from api.http.observer import Observer
    from api.http.problems import Asked
    from api.http.turns import Place


class PageEndpoint:
    """Answers requests for one page, or for what its form is sent to."""

    def __init__(
        self, route: Route[Visit], deps: Dependencies, observer: Observer, browsers: KnownBrowsers
    ) -> None:
        self._route = route
        self._deps = deps
        self._observer = observer
        self._browsers = browsers

    async def respond(self, request: web.Request) -> web.Response:
        """The page. Never raises."""

        async def work(asked: Asked, headers: dict[str, str]) -> Answer:
            visit = Visit(request, asked, self._route, self._deps)
            try:
                return await self._answered(visit)
            finally:
                headers.update(visit.headers)

        def refused(problem: Problem, asked: Asked) -> Answer:
            return _problem_page(request, problem, asked)

        return await self._observer.respond(
            *(request, self._route.path, work),
            quiet=self._route.quiet,
            refused=refused,
            turn=self._turn,
        )

    async def _turn(self, request: web.Request) -> Place:
        """Of the browser's, if it is signed in, as far as is known at once."""
        if not self._deps.authenticator.asks_for_keys:
            return await self._observer.turn(request)
        return await self._observer.turn(request, self._browsers.asker(Browser.of(request)))

    async def _answered(self, visit: Visit) -> Answer:
        try:
            await visit.admit()
        except Problem as problem:
            if problem.kind is UNAUTHORIZED:
                self._browsers.is_out(visit.browser)
                return _come_again(visit) if _comes_by_link(visit) else _sign_in(visit)
            raise
        if visit.principal is not None:
            self._browsers.is_in(visit.browser, visit.tenant_id)
        answer = await self._route.handler(visit)
        return conditional(visit.request.headers, answer) if visit.is_read else answer


def _comes_by_link(visit: Visit) -> bool:
    """Whether a link of another site leads here: the browser keeps its cookie back then."""
    site = visit.request.headers.get("Sec-Fetch-Site")
    return visit.is_read and visit.browser.is_new and site == "cross-site"


def _come_again(visit: Visit) -> Answer:
    """The same page, asked for by a page of ours, so that whoever is signed in stays so."""
    wanted = visit.request.rel_url.raw_path_qs
    return Answer(200, HTML_HEADERS, visit.request.app[CONSOLE].page("again.html", wanted=wanted))


def _sign_in(visit: Visit) -> Answer:
    """To where one signs in, and back from there to the page that was asked for."""
    wanted = visit.request.rel_url.raw_path_qs if visit.is_read else "/console"
    return see_other(f"/console/sign-in?next={quote(wanted, safe='')}")


def _problem_page(request: web.Request, problem: Problem, asked: Asked) -> Answer:
    """What went wrong, in words, with the number to quote."""
    body = request.app[CONSOLE].page(
        "problem.html",
        title=problem.kind.title,
        detail=redact_text(problem.detail),
        status=problem.kind.status,
        request_id=asked.request_id,
    )
    headers = {name: text for name, text in problem.headers.items() if name == "Retry-After"}
    return Answer(problem.kind.status, {**HTML_HEADERS, **headers}, body)
