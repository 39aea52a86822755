"""Who may look at the console: sessions begin with a key and end with it; forms are our own."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Final

from api.access.scopes import Everyone, Scope
from api.console.pages import PAGES
from api.console.sessions import COOKIE, LIFETIME
from store.write.api_keys import revoke_api_key
from tests.support.api.visitor import visiting

if TYPE_CHECKING:
    from api.console.visit import Visit
    from api.contract.route import Route
    from tests.support.api.ingress import Ingress
    from tests.support.api.visitor import Seen, Visitor

LIST: Final = "/console/payments"
GUARDED: Final = [each for each in PAGES if each.scope is not Everyone.EVERYONE]


def cookie_of(seen: Seen) -> SimpleCookie:
    return SimpleCookie(seen.headers["Set-Cookie"])


async def test_who_is_not_signed_in_is_led_there_and_back(
    guarded: Ingress, stranger: Visitor
) -> None:
    """With the address that was asked for, filters included; and nowhere else than to a page."""
    led = await stranger.look(f"{LIST}?status=failed")
    assert led.status == 303
    assert (
        led.headers["Location"] == "/console/sign-in?next=%2Fconsole%2Fpayments%3Fstatus%3Dfailed"
    )
    form = (await stranger.follow(led)).form
    key = await guarded.key("acme")
    back = await stranger.send("/console/sign-in", {**form.fields, "api_key": key})
    assert (back.status, back.headers["Location"]) == (303, f"{LIST}?status=failed")
    assert (await stranger.follow(back)).status == 200
    for elsewhere in ("//evil.example", "https://evil.example", "/console\r\nX: y", "/docs"):
        again = await stranger.send(
            "/console/sign-in", {**(await stranger.look("/console/sign-in")).form.fields,
                                 "next": elsewhere, "api_key": key}
        )  # fmt: skip
        assert again.headers["Location"] == "/console", elsewhere


async def test_a_wrong_key_opens_nothing(guarded: Ingress, stranger: Visitor) -> None:
    """Nor one that is no key; the page says so, and repeats nothing of it."""
    good = await guarded.key("acme")
    for key in (good[:-1] + "_", "secret", "pk_0123456789abcdef_" + "x" * 43, ""):
        refused = await stranger.sign_in(key)
        assert refused.status == 401
        assert key == "" or key not in refused.html
    assert (await stranger.look(LIST)).status == 303


async def test_a_cookie_is_for_this_server_alone(guarded: Ingress, stranger: Visitor) -> None:
    """Scripts cannot read it, other sites not send it, HTTP not carry it where there is TLS."""
    signed_in = await stranger.sign_in(await guarded.key("acme"))
    cookie = cookie_of(signed_in)[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/console")
    assert cookie["max-age"] == str(int(LIFETIME.total_seconds()))
    assert not cookie["secure"]
    behind = await stranger.look("/console/sign-in", **{"X-Forwarded-Proto": "https"})
    assert "Set-Cookie" not in behind.headers
    async with visiting(guarded) as other:
        first = await other.look("/console/sign-in", **{"X-Forwarded-Proto": "https"})
        assert cookie_of(first)[COOKIE]["secure"]


async def test_what_is_kept_of_a_session_opens_none(guarded: Ingress, stranger: Visitor) -> None:
    """The table has the cookie's digest; and signing in gives another cookie than came."""
    first = cookie_of(await stranger.look("/console/sign-in"))[COOKIE].value
    second = cookie_of(await stranger.sign_in(await guarded.key("acme")))[COOKIE].value
    assert first != second
    kept = await guarded.pool.fetchval("SELECT id_sha256 FROM console_sessions")
    assert kept == hashlib.sha256(second.encode()).digest()


async def test_signing_out_ends_the_session_itself(guarded: Ingress, stranger: Visitor) -> None:
    """Also for whoever has a copy of the cookie."""
    signed_in = await stranger.sign_in(await guarded.key("acme"))
    cookie = cookie_of(signed_in)[COOKIE].value
    page = await stranger.look(LIST)
    out = await stranger.send("/console/sign-out", page.form.fields)
    assert (out.status, out.headers["Location"]) == (303, "/console/sign-in")
    stolen = await stranger.look(LIST, Cookie=f"{COOKIE}={cookie}")
    assert stolen.status == 303


async def test_a_session_is_over_with_its_key(guarded: Ingress, stranger: Visitor) -> None:
    """Once what was known of the key is not believed any more."""
    key = await guarded.key("acme")
    await stranger.sign_in(key)
    assert (await stranger.look(LIST)).status == 200
    async with guarded.pool.acquire() as connection:
        await revoke_api_key(connection, key.split("_")[1], guarded.deps.now())
    guarded.deps.authenticator._known.clear()  # type: ignore[attr-defined]  # noqa: SLF001 - what time would do
    assert (await stranger.look(LIST)).status == 303


async def test_a_session_is_over_when_its_time_is(guarded: Ingress, stranger: Visitor) -> None:
    """Whatever the browser does with its cookie."""
    await stranger.sign_in(await guarded.key("acme"))
    past = guarded.deps.now() - timedelta(seconds=1)
    await guarded.pool.execute("UPDATE console_sessions SET expires_at = $1", past)
    assert (await stranger.look(LIST)).status == 303


async def test_every_page_needs_its_scope(guarded: Ingress) -> None:
    """Without a session one is led to sign in; without the scope it is 403, and says which."""
    async with visiting(guarded) as stranger:
        for page in GUARDED:
            assert (await _asked(stranger, page)).status == 303, page.path
    for scope in Scope:
        others = [each.value for each in Scope if each is not scope]
        async with visiting(guarded) as browser:
            await browser.sign_in(await guarded.key("acme", *others))
            for page in (each for each in GUARDED if each.scope is scope):
                refused = await _asked(browser, page)
                assert refused.status == 403, page.path
                assert scope.value in refused.text


async def _asked(browser: Visitor, page: Route[Visit]) -> Seen:
    path = re.sub(r"\{\w+\}", "0" * 32, page.path)
    return await (browser.look(path) if page.method == "GET" else browser.send(path, {}))


async def test_a_form_of_another_site_is_refused(guarded: Ingress, stranger: Visitor) -> None:
    """Without what our own forms bear, with another browser's, or sent from elsewhere."""
    form = (await stranger.look("/console/sign-in")).form.fields
    async with visiting(guarded) as other:
        others = (await other.look("/console/sign-in")).form.fields["csrf"]
    key = await guarded.key("acme")
    for csrf in ("", others, form["csrf"][:-1]):
        refused = await stranger.send("/console/sign-in", {**form, "csrf": csrf, "api_key": key})
        assert refused.status == 403, csrf
    for site in ("cross-site", "same-site"):
        sent = {**form, "api_key": key}
        refused = await stranger.send("/console/sign-in", sent, Sec_Fetch_Site=site)
        assert refused.status == 403, site
    assert await guarded.pool.fetchval("SELECT count(*) FROM console_sessions") == 0


async def test_a_link_from_elsewhere_signs_nobody_out(stranger: Visitor) -> None:
    """The cookie is kept back by the browser then: it is asked for again, and not replaced."""
    led = await stranger.look(LIST, **{"Sec-Fetch-Site": "cross-site"})
    assert led.status == 200
    assert 'http-equiv="refresh"' in led.html
    assert "Set-Cookie" not in led.headers
    again = await stranger.look(LIST, **{"Sec-Fetch-Site": "same-origin"})
    assert again.status == 303


async def test_without_keys_nobody_signs_in(visitor: Visitor) -> None:
    """And forms are guarded all the same."""
    assert (await visitor.look("/console/sign-in")).headers["Location"] == "/console"
    assert (await visitor.look(LIST)).status == 200
    assert (await visitor.send("/console/sign-out", {})).status == 403
