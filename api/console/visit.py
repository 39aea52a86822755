"""A call by a browser: signed in by a session, with forms for bodies, answered by pages.

It is a call of the API in all else, so that what a page shows and does is what the API's own
handlers read and do, with the same scopes, limits, keys and records.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from api.access.rate_limits import Subject
from api.access.scopes import Everyone
from api.console.forms import body_of, parse_form
from api.console.rendering import CONSOLE, HTML_HEADERS
from api.console.sessions import Browser
from api.contract.requests.reading import ModelT, read_body, refuse_unreadable
from api.handling.call import Call
from api.http.problems import FORM_STALE, UNAUTHORIZED, FieldError, Problem, invalid
from api.idempotency.key import KeyUse, key_of
from process.clients import customer_of
from store.read.audit_log import Via
from store.write.console_sessions import session_key
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from aiohttp import web

    from api.access.authentication import Principal
    from api.console.forms import Form
    from api.contract.route import Route
    from api.handling.dependencies import Dependencies
    from api.http.problems import Asked
    from store.read.audit_log import Signature

Handler: TypeAlias = Callable[[Call], Awaitable[Answer]]
# What the API answers, as JSON; templates alone look into it.
Shown: TypeAlias = dict[str, Any]

# Of pages themselves: which action was done, and which panel is wanted.
_OWN_PARAMETERS: Final = frozenset({"done"})
_REASON_LENGTH_MAX: Final = 500
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class Visit(Call):
    """What a page's handler gets."""

    __slots__ = ("_sought", "action", "browser", "form", "target")

    def __init__(
        self, request: web.Request, asked: Asked, route: Route[Visit], deps: Dependencies
    ) -> None:
        super().__init__(request, asked, route, deps)  # type: ignore[arg-type]  # a route is given what serves it
        self.browser = Browser.of(request)
        self.form: Form = {}
        # What is done: an operation of the API, at its address.
        self.action: Route[Visit] = route
        self.target = ""
        self._sought: Mapping[str, str] | None = None

    async def admit(self) -> None:
        """Let the browser in, or raise Problem: also for a form that is not its own."""
        refuse_unreadable(super()._parameters())
        refuse_unreadable([*self.request.match_info.items()])
        if isinstance(self.route.scope, Everyone):
            client = customer_of(self.deps.proxies.client_of(self.request))
            await self._count(Subject("address", "", client))
        else:
            await super().admit()
        if self.route.method == "POST":
            await self._read_form()

    async def _authenticated(self) -> Principal:
        authenticator = self.deps.authenticator
        if not authenticator.asks_for_keys:
            return await authenticator.principal(None)
        if self.browser.is_new:
            raise Problem(UNAUTHORIZED, "nobody is signed in here")
        async with self.database() as connection:
            key_id = await session_key(connection, self.browser.digest, self.deps.now())
        if key_id is None:
            raise Problem(UNAUTHORIZED, "the session is over")
        return await authenticator.holder(key_id)

    async def _read_head(self) -> None:
        """Its key, if any, is in its form."""

    async def _read_form(self) -> None:
        self.form = parse_form(self.request.content_type, await self._sent())
        site = self.request.headers.get("Sec-Fetch-Site", "none")
        if site not in _OWN_SITE or not self.browser.sent(self.form.get("csrf", "")):
            raise Problem(FORM_STALE, "open the page again, and send the form from there")
        if key := self.form.get("key"):
            self.idempotency_key = key_of((key,), KeyUse.ACCEPTED)

    def _parameters(self) -> list[tuple[str, str]]:
        if self._sought is not None:
            return list(self._sought.items())
        return [
            (name, text)
            for name, text in super()._parameters()
            if text.strip() and name not in _OWN_PARAMETERS
        ]

    async def body(self, model: type[ModelT]) -> ModelT:
        """The form, as the body that the API takes."""
        self.body_value = body_of(self.form, model)
        return read_body(model, self.body_value, self.deps.providers)

    @property
    def reason(self) -> str:
        """Why it is done, which whoever does it must say. Raises Problem."""
        reason = self.form.get("reason", "").strip()
        if not reason or len(reason) > _REASON_LENGTH_MAX:
            said = f"must say why, in at most {_REASON_LENGTH_MAX} characters"
            raise invalid(FieldError(said, "/reason"))
        return reason

    @property
    def signature(self) -> Signature:
        """Whatever is done here is signed, as the operation that it is."""
        signed = self.signed(Via.CONSOLE, self.reason)
        return replace(signed, action=self.action.operation_id, target=self.target)

    @property
    def is_read(self) -> bool:
        """Whether it only looks."""
        return self.route.method == "GET"

    async def ask(self, handler: Handler, sought: Mapping[str, str] | None = None) -> Shown:
        """What the API answers to whoever asks here, with these parameters or the page's own."""
        before, self._sought = self._sought, sought
        try:
            answer = await handler(self)
        finally:
            self._sought = before
        shown: Shown = orjson.loads(answer.body)
        return shown

    def may(self, scope: str) -> bool:
        """Whether whoever is signed in may do this."""
        return self.principal is not None and scope in self.principal.scopes

    @property
    def parameters(self) -> dict[str, str]:
        """What the address says after the question mark, but for what was left empty."""
        return dict(self._parameters())

    def page(self, template: str, status: int = 200, **context: object) -> Answer:
        """A page, with what all of them show."""
        if self.browser.is_new and "Set-Cookie" not in self.headers:
            self.headers["Set-Cookie"] = self.browser.cookie
        body = self.request.app[CONSOLE].page(
            template,
            visit=self,
            now=self.deps.now(),
            parameters=self.parameters,
            done=self.request.query.get("done", ""),
            **context,
        )
        return Answer(status, HTML_HEADERS, body)


def see_other(location: str) -> Answer:
    """Go on there, with GET."""
    return Answer(303, {"Location": location}, b"")
