"""Payments at the console: found by whatever names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.support.api.stage import settle

if TYPE_CHECKING:
    from tests.support.api.ingress import Ingress
    from tests.support.api.visitor import Visitor


# As most clients make them, it looks like an id.
_KEY: Final = "0b7e6a52-3a4c-4a55-9d1c-6f1f0c1d2e3f"


async def test_a_payment_is_found_by_whatever_names_it(ingress: Ingress, visitor: Visitor) -> None:
    """Its id, its idempotency key, its provider's transaction, and its refund's id and key."""
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account, key=_KEY)).text("id")
    await settle(ingress.committer, payment)
    shown = await client.get(f"/api/v1/payments/{payment}")
    refund = await client.post(f"/api/v1/payments/{payment}/refund", {}, key="refund-1")
    names = (payment, payment.upper(), _KEY, shown.text("provider_transaction_id"))
    for name in (*names, refund.text("id"), "refund-1"):
        led = await visitor.look(f"/console/search?q={name}")
        assert led.headers.get("Location") == f"/console/payments/{payment}", name


async def test_payments_are_listed_by_filters_and_in_pages(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Amount, status, account, provider transaction and times narrow the list; Older goes on."""
    client = ingress.client
    account, other = await client.account(), await client.account()
    small = (await client.pay(account, "1.23")).text("id")
    large = (await client.pay(other, "45.60")).text("id")
    await settle(ingress.committer, large)
    reference = (await client.get(f"/api/v1/payments/{large}")).text("provider_transaction_id")
    for query, found, left_out in (
        ("amount=1.23&currency=USD", small, large),
        ("status=completed", large, small),
        (f"account_id={account}", small, large),
        (f"provider_transaction_id={reference}", large, small),
        ("created[gte]=2020-01-01T00:00:00Z&status=pending&provider=stripe", small, large),
    ):
        page = await visitor.look(f"/console/payments?{query}&currency=")
        if "currency=USD" in query:
            page = await visitor.look(f"/console/payments?{query}")
        assert f"/console/payments/{found}" in page.links, query
        assert f"/console/payments/{left_out}" not in page.links, query
    first = await visitor.look("/console/payments?limit=1")
    (older,) = [each for each in first.links if "cursor=" in each]
    second = await visitor.look(f"/console/payments{older}")
    assert f"/console/payments/{small}" in second.links


async def test_a_filter_that_is_none_is_said_and_kept(visitor: Visitor) -> None:
    """The page is there, with what was wrong and what was written."""
    for query in ("amount=1.234&currency=USD", "amount=1", "account_id=x", "created[gte]=soon"):
        page = await visitor.look(f"/console/payments?{query}")
        assert page.status == 422, query
        assert 'role="alert"' in page.html
