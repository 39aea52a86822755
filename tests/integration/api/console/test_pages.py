"""What holds on every page: only our own files, nothing within it runs, all values are text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from api.console.pages import PAGES
from api.console.rendering import Console

if TYPE_CHECKING:
    from tests.support.api.ingress import Client
    from tests.support.api.visitor import Visitor

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


async def test_a_page_loads_nothing_from_elsewhere_and_runs_nothing_of_its_own(
    visitor: Visitor,
) -> None:
    """Its policy says so, and there is nothing in it that the policy would stop."""
    page = await visitor.look("/console/payments")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|javascript:|https?://", page.html)


async def test_files_are_kept_by_browsers_until_they_change(visitor: Visitor) -> None:
    """Their addresses bear what they hold; another digest is another file, which is not there."""
    page = await visitor.look("/console/payments")
    for name in Console().files:
        (address,) = set(re.findall(rf'"(/console/static/[^"]*/{name})"', page.html))
        found = await visitor.look(address)
        assert found.status == 200
        assert "immutable" in found.headers["Cache-Control"]
        again = await visitor.look(address, **{"If-None-Match": found.headers["ETag"]})
        assert again.status == 304
        assert (await visitor.look(address.replace("static/", "static/0"))).status == 404


async def test_hostile_data_is_shown_as_text(visitor: Visitor, client: Client) -> None:
    """Of a payment, in the list of payments and in what is sought."""
    account = await client.account()
    await client.pay(account, description=HOSTILE)
    listed = await visitor.look("/console/payments")
    sought = await visitor.look("/console/search?q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert sought.status == 404
    for page in (listed, sought):
        assert "<script>alert" not in page.html
        assert "<img" not in page.html
        assert "<script>alert(1)</script>" in page.text or "q" in page.html


@pytest.mark.parametrize("odd", ["%00", "a%00b", "%ff%fe", "%C0%80", "%ED%A0%80"])
async def test_what_nothing_of_ours_can_read_is_refused_on_every_page(
    visitor: Visitor, odd: str
) -> None:
    """By any name, known or not, and in place of an id: it is the client's mistake."""
    for route in PAGES:
        if route.method != "GET":
            continue
        path = re.sub(r"{\w+}", "00000000-0000-0000-0000-000000000000", route.path)
        for query in (f"q={odd}", f"account_id={odd}", f"next={odd}", f"{odd}=1"):
            seen = await visitor.look(f"{path}?{query}")
            assert seen.status == 422, (path, query)
        if "{" in route.path:
            path = re.sub(r"{\w+}", odd, route.path)
            seen = await visitor.look(path)
            assert seen.status in {404, 422}, path


async def test_a_page_says_done_of_what_there_is_to_do_alone(visitor: Visitor) -> None:
    """A link from elsewhere does not put its own words into ours."""
    for said, is_shown in (
        ("refund_payment", True), ("pause_relay", True), ("call_this_number_at_once", False),
    ):  # fmt: skip
        page = await visitor.look(f"/console/payments?done={said}")
        assert (": done, and in the" in page.text) == is_shown, said


async def test_a_problem_is_a_page(visitor: Visitor) -> None:
    """With the number to quote, and nothing that a browser would not show."""
    lost = await visitor.look("/console/static/none/none.css")
    assert lost.status == 404
    assert lost.headers["Content-Type"] == "text/html; charset=utf-8"
    assert lost.headers["X-Request-ID"] in lost.text
