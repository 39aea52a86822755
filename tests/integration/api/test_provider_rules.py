"""What a provider would refuse is refused at the door: at create, capture, refund and redrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.api.stage import settle

if TYPE_CHECKING:
    from tests.support.api.ingress import Client, Ingress


async def _opened(client: Client, currency: str) -> str:
    return await client.account("100000000", currency)


@pytest.mark.parametrize(
    ("provider", "currency", "amount", "code", "pointer", "rule"),
    [
        ("stripe", "KWD", "1.234", "amount_not_supported", "/amount", "a multiple of 0.010 KWD"),
        ("stripe", "MGA", "10.50", "amount_not_supported", "/amount", "a multiple of 1.00 MGA"),
        ("stripe", "USD", "0.49", "amount_not_supported", "/amount", "at least 0.50 USD"),
        ("stripe", "SYP", "50.00", "currency_not_supported", "/currency", "SYP"),
        ("paypal", "HUF", "500.50", "amount_not_supported", "/amount", "a multiple of 1.00 HUF"),
        ("paypal", "KWD", "1.230", "currency_not_supported", "/currency", "KWD"),
    ],
)
async def test_a_payment_its_provider_cannot_take_is_not_accepted(  # noqa: PLR0913, PLR0917 - a row each
    client: Client,
    provider: str,
    currency: str,
    amount: str,
    code: str,
    pointer: str,
    rule: str,
) -> None:
    """422 with the rule, at the field it is about; nothing is held."""
    account = await _opened(client, currency)
    for capture_method in ("automatic", "manual"):
        reply = await client.pay(
            account, amount, provider=provider, currency=currency, capture_method=capture_method
        )
        assert (reply.status, reply.code) == (422, code)
        assert rule in reply.text("detail")
        errors = reply.json["errors"]
        assert isinstance(errors, list)
        assert [each["pointer"] for each in errors] == [pointer]
    shown = await client.get(f"/api/v1/accounts/{account}")
    assert shown.text("available") == shown.text("balance")


async def test_more_than_a_provider_ever_takes_is_not_accepted(client: Client) -> None:
    """Stripe's amounts have twelve digits at the most."""
    account = await client.account("9999999999999.99")
    assert (await client.pay(account, "10000000000.00")).code == "amount_not_supported"
    assert (await client.pay(account, "9999999999.99")).status == 202


async def test_a_capture_its_provider_cannot_take_leaves_the_authorization(
    ingress: Ingress,
) -> None:
    """It can be captured otherwise: nothing was asked, nothing is voided."""
    client = ingress.client
    for provider, currency, wrong, right in (
        ("stripe", "KWD", "1.234", "1.230"),
        ("paypal", "HUF", "500.50", "500"),
    ):
        account = await _opened(client, currency)
        payment = (
            await client.pay(
                account, "1000", provider=provider, currency=currency, capture_method="manual"
            )
        ).text("id")
        await settle(ingress.committer, payment)
        capture = f"/api/v1/payments/{payment}/capture"
        refused = await client.post(capture, {"amount": wrong})
        assert (refused.status, refused.code) == (422, "amount_not_supported")
        assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == "authorized"
        assert (await client.post(capture, {"amount": right})).status == 202


async def test_a_refund_its_provider_cannot_take_is_not_promised(ingress: Ingress) -> None:
    """Nor any that would leave what cannot be given back; what is left always can be."""
    client = ingress.client
    account = await _opened(client, "HUF")
    reply = await client.pay(account, "1000", provider="paypal", currency="HUF")
    payment = reply.text("id")
    await settle(ingress.committer, payment)
    refund = f"/api/v1/payments/{payment}/refund"
    refused = await client.post(refund, {"amount": "500.50"})
    assert (refused.status, refused.code) == (422, "amount_not_supported")
    assert (await client.post(refund, {"amount": "499"})).status == 202
    assert (await client.post(refund)).text("amount") == "501.00"
