"""Two ingresses that share nothing but Postgres: one key is one effect, one balance one balance."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from process.addresses import RedisAddress
from store.pool import connect
from tests.support.api.ingress import Client, Ingress, Options, Reply, running
from tests.support.api.stage import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from process.addresses import DatabaseAddress

_NOWHERE = RedisAddress("127.0.0.1", 1)


@pytest.fixture
async def ingresses(database: DatabaseAddress) -> AsyncIterator[list[Ingress]]:
    """Two, each with connections of its own, and no Redis that could answer in their place."""
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(
                await connect(database, application_name=name, size=4)  # as two processes would
            )
            for name in ("one", "other")
        ]
        yield [
            await stack.enter_async_context(running(pool, _NOWHERE, Options())) for pool in pools
        ]


async def raced(ingresses: list[Ingress], path: str, body: object) -> Reply:
    """The one answer to thirty requests with one key, half of them through either ingress."""
    key = str(uuid.uuid4())
    replies = await asyncio.gather(
        *(each.client.post(f"/api/v1/{path}", body, key=key) for each in ingresses * 15)
    )
    assert len({(reply.status, reply.body) for reply in replies}) == 1
    fresh = [reply for reply in replies if "Idempotent-Replayed" not in reply.headers]
    assert len(fresh) == 1
    return fresh[0]


async def pending(client: Client, account: str) -> object:
    return (await client.get(f"/api/v1/accounts/{account}/balance")).json["pending"]


async def story(client: Client, payment: str) -> list[str]:
    """The types of all that happened to a payment."""
    shown = (await client.get(f"/api/v1/payments/{payment}?expand=events")).json["events"]
    assert isinstance(shown, list)
    return [each["type"] for each in shown]


async def test_one_key_is_one_payment(ingresses: list[Ingress]) -> None:
    """Thirty equal answers, one hold."""
    client = ingresses[0].client
    account = await client.account()
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": 50,
        "currency": "USD",
        "provider": "stripe",
    }
    reply = await raced(ingresses, "payments", body)
    assert reply.status == 202
    assert await pending(client, account) == "50.00"
    assert await story(client, reply.text("id")) == ["payment.created"]


async def test_one_key_is_one_transfer(ingresses: list[Ingress]) -> None:
    """Thirty equal answers, moved once."""
    client = ingresses[0].client
    source, destination = await client.account(), await client.account("0")
    body = {
        "source_account_id": source,
        "destination_account_id": destination,
        "amount": 400,
        "currency": "USD",
    }
    assert (await raced(ingresses, "transfers", body)).status == 201
    shown = await client.get(f"/api/v1/accounts/{destination}/balance")
    assert shown.text("balance") == "400.00"


async def test_one_key_is_one_refund(ingresses: list[Ingress]) -> None:
    """Of a part that would fit twice: thirty equal answers, promised once."""
    client = ingresses[0].client
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingresses[0].committer, payment)
    reply = await raced(ingresses, f"payments/{payment}/refund", {"amount": "20.00"})
    assert reply.status == 202
    shown = (await client.get(f"/api/v1/payments/{payment}")).json
    assert isinstance(shown["refunds"], list)
    assert [each["id"] for each in shown["refunds"]] == [reply.text("id")]
    assert shown["refundable"] == "30.00"


async def test_one_key_is_one_capture(ingresses: list[Ingress]) -> None:
    """Thirty equal answers though a second capture would be refused: it is the first one's."""
    client = ingresses[0].client
    payment = (await client.pay(await client.account(), capture_method="manual")).text("id")
    await settle(ingresses[0].committer, payment)
    reply = await raced(ingresses, f"payments/{payment}/capture", {"amount": "30.00"})
    assert reply.status == 202
    assert (await story(client, payment)).count("payment.capture_requested") == 1


async def test_one_key_is_one_refusal(ingresses: list[Ingress]) -> None:
    """Money that is not there: the same no for all thirty, request id included."""
    client = ingresses[0].client
    body = {
        "source_account_id": await client.account("1.00"),
        "destination_account_id": await client.account(),
        "amount": 50,
        "currency": "USD",
    }
    reply = await raced(ingresses, "transfers", body)
    assert (reply.status, reply.code) == (422, "insufficient_funds")


async def test_a_hot_account_is_spent_once_whichever_ingress_is_asked(
    ingresses: list[Ingress],
) -> None:
    """Of sixty payments of 10 on a balance of 100, ten are accepted and fifty told why not."""
    client = ingresses[0].client
    account = await client.account("100.00")
    replies = await asyncio.gather(*(each.client.pay(account, "10.00") for each in ingresses * 30))
    assert Counter(reply.status for reply in replies) == {202: 10, 422: 50}
    refused = {reply.code for reply in replies if reply.status == 422}
    assert refused == {"insufficient_funds"}
    assert await pending(client, account) == "100.00"


async def test_a_payment_method_that_two_accounts_want_is_ones(ingresses: list[Ingress]) -> None:
    """Whoever is second is refused for it, by either ingress; none of them fails."""
    accounts = [await each.client.account() for each in ingresses]
    for number in range(20):
        body = {"provider": "stripe", "reference": f"pm_{number}"}
        replies = await asyncio.gather(
            *(
                ingress.client.post(f"/api/v1/accounts/{account}/payment-methods", body)
                for ingress, account in zip(ingresses, accounts, strict=True)
            )
        )
        assert sorted(each.status for each in replies) == [201, 409]
