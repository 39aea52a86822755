"""Signing in with an API key, and out again.

The key is shown once and not kept: what the browser keeps is a cookie of a session, which is over
when its time is, when it is ended, or when the key is revoked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Everyone
from api.console.page import page
from api.console.sessions import FORGET, LIFETIME, Browser
from api.console.visit import see_other
from api.http.problems import UNAUTHORIZED, Problem
from store.write.console_sessions import begin_session, end_session
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from api.console.visit import Visit

_HOME: Final = "/console"
_UNAUTHORIZED: Final = 401


async def get_sign_in(visit: Visit) -> Answer:
    wanted = _own(visit.request.query.get("next", ""))
    if not visit.deps.authenticator.asks_for_keys:
        return see_other(wanted)
    return visit.page("sign_in.html", wanted=wanted, refused="")


async def sign_in(visit: Visit) -> Answer:
    wanted = _own(visit.form.get("next", ""))
    try:
        shown = f"Bearer {visit.form.get('api_key', '').strip()}"
        principal = await visit.deps.authenticator.principal(shown)
    except Problem as problem:
        if problem.kind is not UNAUTHORIZED:
            raise
        return visit.page("sign_in.html", _UNAUTHORIZED, wanted=wanted, refused=problem.detail)
    if principal.key_id is not None:
        # Another cookie than the one that came: whoever knew that one knows nothing now.
        browser = Browser.new(is_secure=visit.browser.is_secure)
        now = visit.deps.now()
        async with visit.database() as connection, connection.transaction():
            await begin_session(connection, browser.digest, principal.key_id, now, now + LIFETIME)
        visit.headers["Set-Cookie"] = browser.cookie
    return see_other(wanted)


async def sign_out(visit: Visit) -> Answer:
    async with visit.database() as connection:
        await end_session(connection, visit.browser.digest, visit.deps.now())
    visit.headers["Set-Cookie"] = FORGET
    return see_other("/console/sign-in")


def _own(wanted: str) -> str:
    """Where to go on: a page of ours, whatever was asked for."""
    is_ours = wanted == _HOME or wanted.startswith(("/console/", "/console?"))
    return wanted if is_ours and wanted.isascii() and wanted.isprintable() else _HOME


PAGES: Final = (
    page("/console/sign-in", get_sign_in, Everyone.EVERYONE, "Where one signs in."),
    page("/console/sign-in", sign_in, Everyone.EVERYONE, "Begin a session.", method="POST"),
    page("/console/sign-out", sign_out, Everyone.EVERYONE, "End the session.", method="POST"),
)
