"""A customer's payment methods belong to an account, and no other account can be paid with them."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

import pytest

from payments.outcome import Declined, Retriable
from store.pool import long_reading
from tests.support.api.stage import settle
from verify.database import read_baseline

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from process.addresses import DatabaseAddress
    from tests.support.api.ingress import Client, Ingress, Reply

CARD: Final = {"provider": "stripe", "reference": "pm_1", "customer": "cus_1"}


async def _attached(client: Client, account: str, body: Mapping[str, object] = CARD) -> Reply:
    return await client.post(f"/api/v1/accounts/{account}/payment-methods", body)


async def _paid_with(
    client: Client, account: str, method: object, provider: str = "stripe"
) -> Reply:
    return await client.pay(account, metadata={"payment_method": method}, provider=provider)


async def test_a_method_is_attached_shown_listed_and_detached(client: Client) -> None:
    """Detached it is kept and shown, and can be listed apart."""
    account = await client.account()
    attached = await _attached(client, account)
    assert attached.status == 201
    address = attached.headers["Location"]
    assert address == f"/api/v1/accounts/{account}/payment-methods/{attached.text('id')}"
    shown = (await client.get(address)).json
    assert shown == attached.json
    assert {name: shown[name] for name in CARD} == CARD
    assert (shown["account_id"], shown["state"]) == (account, "active")
    other = await _attached(client, account, {"provider": "paypal", "reference": "8kk8451t"})
    assert other.json["customer"] is None

    gone = await client.post(f"{address}/detach")
    assert (gone.status, gone.json["state"]) == (200, "detached")
    assert (await client.post(f"{address}/detach")).json == gone.json
    assert (await client.get(address)).json == gone.json
    methods = f"/api/v1/accounts/{account}/payment-methods"
    for query, ids in (
        ("", [other.text("id"), attached.text("id")]),
        ("?state=active", [other.text("id")]),
        ("?state=detached", [attached.text("id")]),
    ):
        page = (await client.get(methods + query)).json
        assert isinstance(page["data"], list)
        assert [each["id"] for each in page["data"]] == ids
    first = (await client.get(f"{methods}?limit=1")).json
    second = (await client.get(f"{methods}?limit=1&cursor={first['next_cursor']}")).json
    assert isinstance(second["data"], list)
    assert [each["id"] for each in second["data"]] == [attached.text("id")]


async def test_a_method_belongs_to_one_account(guarded: Ingress) -> None:
    """Neither another account nor another tenant can have it too, until it is detached."""
    client, stranger = await guarded.tenant("acme"), await guarded.tenant("other")
    account, sibling = await client.account(), await client.account()
    attached = await _attached(client, account)
    again = await _attached(client, account)
    assert (again.status, again.json) == (201, attached.json)
    assert (await _attached(client, account, {**CARD, "customer": "cus_2"})).status == 409
    for other, theirs in ((client, sibling), (stranger, await stranger.account())):
        refused = await _attached(other, theirs)
        assert (refused.status, refused.code) == (409, "payment_method_taken")
        assert account not in refused.body.decode()
    # The same name at another provider is another method.
    assert (await _attached(client, sibling, {**CARD, "provider": "paypal"})).status == 201
    await client.post(attached.headers["Location"] + "/detach")
    assert (await _attached(client, sibling)).status == 201


async def test_of_two_that_attach_it_at_once_one_does(guarded: Ingress) -> None:
    """Whoever is second is told so; never is it both's, nor an error."""
    client = await guarded.tenant("acme")
    accounts = [await client.account() for _ in range(4)]
    for number in range(5):
        body = {**CARD, "reference": f"pm_{number}"}
        replies = await asyncio.gather(*(_attached(client, each, body) for each in accounts))
        assert sorted(each.status for each in replies) == [201, 409, 409, 409]


async def test_a_payment_names_a_method_of_its_own_account(guarded: Ingress) -> None:
    """Somebody else's is not told from one that nobody has, nor from one of another provider."""
    client, stranger = await guarded.tenant("acme"), await guarded.tenant("other")
    account, sibling, theirs = (
        await client.account(),
        await client.account(),
        await stranger.account(),
    )
    await _attached(client, account)
    await _attached(client, sibling, {**CARD, "reference": "pm_sibling"})
    await _attached(stranger, theirs, {**CARD, "reference": "pm_theirs"})
    assert (await _paid_with(client, account, "pm_1")).status == 202
    answers = set()
    for method in ("pm_nobody", "pm_sibling", "pm_theirs"):
        refused = await _paid_with(client, account, method)
        assert (refused.status, refused.code) == (422, "payment_method_not_found")
        assert refused.json["errors"] == [
            {"pointer": "/metadata/payment_method", "reason": refused.text("detail")}
        ]
        answers.add(refused.text("detail").replace(method, "it"))
    assert len(answers) == 1
    assert (await _paid_with(client, account, "pm_1", provider="paypal")).status == 422
    shown = await client.get(f"/api/v1/accounts/{account}")
    assert shown.text("available") == "950.00"


@pytest.mark.parametrize("named", [1, True, "", ["pm_1"], {"id": "pm_1"}])
async def test_what_is_no_name_is_no_method(client: Client, named: object) -> None:
    """It was to be charged, so something else is not charged instead."""
    account = await client.account()
    await _attached(client, account)
    assert (await _paid_with(client, account, named)).code == "payment_method_not_found"


async def test_who_names_none_pays_with_the_configured_one(client: Client) -> None:
    """As does who says so; a transfer pays with nothing."""
    account, other = await client.account(), await client.account()
    assert (await client.pay(account)).status == 202
    assert (await _paid_with(client, account, None)).status == 202
    body = {
        "source_account_id": account,
        "destination_account_id": other,
        "amount": "1",
        "currency": "USD",
        "metadata": {"payment_method": "pm_nobody"},
    }
    assert (await client.post("/api/v1/transfers", body)).status == 201


@pytest.mark.parametrize(
    ("provider", "token"), [("stripe", "pm_card_mastercard"), ("paypal", "SIM-TRANSACTION_REFUSED")]
)
async def test_a_test_token_is_everybodys(client: Client, provider: str, token: str) -> None:
    """Any account may name it, and none can have it for itself."""
    account = await client.account()
    assert (await _paid_with(client, account, token, provider=provider)).status == 202
    refused = await _attached(client, account, {"provider": provider, "reference": token})
    assert (refused.status, refused.code) == (409, "payment_method_taken")


async def test_a_detached_method_pays_no_more(ingress: Ingress) -> None:
    """Neither a new payment nor one that an operator would try again; attached again it does."""
    client = ingress.client
    account = await client.account()
    attached = await _attached(client, account)
    payment = (await _paid_with(client, account, "pm_1")).text("id")
    letter = await _given_up(ingress, payment)
    await client.post(attached.headers["Location"] + "/detach")
    assert (await _paid_with(client, account, "pm_1")).code == "payment_method_not_found"
    redrive = f"/api/v1/dead-letters/{letter}/redrive"
    refused = await client.post(redrive, {"reason": "try again"})
    assert (refused.status, refused.code) == (422, "payment_method_not_found")
    assert "pm_1" in refused.text("detail")
    assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == "failed"
    await _attached(client, account)
    assert (await client.post(redrive, {"reason": "try again"})).status == 200
    assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == "pending"


async def test_a_payment_keeps_what_was_chosen(
    ingress: Ingress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Method and customer, as they were when it was accepted, whatever becomes of them."""
    client = ingress.client
    account = await client.account()
    attached = await _attached(client, account)
    payment = (await _paid_with(client, account, "pm_1")).text("id")
    await client.post(attached.headers["Location"] + "/detach")
    await _attached(client, account, {**CARD, "customer": "cus_2"})
    await settle(ingress.committer, payment, Declined("no", "no"))
    columns = "SELECT payment_method, customer_reference FROM payments WHERE id = $1"
    assert tuple(await pool.fetchrow(columns, uuid.UUID(payment)) or ()) == ("pm_1", "cus_1")
    other = (await client.pay(account)).text("id")
    assert tuple(await pool.fetchrow(columns, uuid.UUID(other)) or ()) == (None, None)


async def test_what_is_not_there_is_not_found(guarded: Ingress) -> None:
    """A method has its address under its own account and nowhere else."""
    client = await guarded.tenant("acme")
    account, sibling = await client.account(), await client.account()
    method = (await _attached(client, account)).text("id")
    for address in (
        f"/api/v1/accounts/{sibling}/payment-methods/{method}",
        f"/api/v1/accounts/{account}/payment-methods/{uuid.uuid4()}",
        f"/api/v1/accounts/{account}/payment-methods/x",
    ):
        for reply in (await client.get(address), await client.post(f"{address}/detach")):
            assert (reply.status, reply.code) == (404, "not_found")
    nobodys = f"/api/v1/accounts/{uuid.uuid4()}"
    assert (await client.get(f"{nobodys}/payment-methods")).code == "account_not_found"
    assert (await client.post(f"{nobodys}/payment-methods", CARD)).code == "account_not_found"


async def test_an_answer_about_a_method_is_verified(
    client: Client, pool: asyncpg.Pool[asyncpg.Record], database: DatabaseAddress
) -> None:
    """What a client was told it has attached is there, or `payments verify` says so."""
    method = (await _attached(client, await client.account())).text("id")
    assert await _unsound(database) == []
    await pool.execute("DELETE FROM payment_methods")
    (problem,) = await _unsound(database)
    assert problem == f"{method} was answered and does not exist"


async def _unsound(database: DatabaseAddress) -> list[str]:
    async with long_reading(database, application_name="payments-verify") as connection:
        found = await read_baseline(connection, outbox_retention_s=86_400)
    return [each.problem for result in found.results for each in result.violations]


async def _given_up(ingress: Ingress, payment: str) -> str:
    """The payment's letter, after its provider was never reached."""
    for attempt in range(1, 6):
        await settle(ingress.committer, payment, Retriable("503", "busy"), attempt)
    letters = (await ingress.client.get("/api/v1/dead-letters")).json["data"]
    assert isinstance(letters, list)
    (letter,) = [each["id"] for each in letters if each["payment_id"] == payment]
    return str(letter)
