"""An operator ends a doubt over HTTP: signed, recorded whole, and once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson
import pytest

from payments.commands import ClaimPayment
from payments.outcome import Unresolvable
from tests.support.api.stage import answered, claimed, settle, settle_refund

if TYPE_CHECKING:
    import asyncpg

    from tests.support.api.ingress import Client, Ingress, Reply

LOST: Final = Unresolvable("key_window_passed", "nobody can tell")
FAILED: Final = {"outcome": "failed", "reason": "not in the dashboard"}


def found(amount: str = "50.00", reference: str = "pi_found") -> dict[str, str]:
    return {
        "outcome": "succeeded",
        "amount": amount,
        "provider_reference": reference,
        "reason": "seen in the dashboard",
    }


async def reviewed(ingress: Ingress, client: Client) -> tuple[str, str]:
    """An account and its payment of 50 dollars, whose outcome nobody can tell."""
    account = await client.account()
    payment = (await client.pay(account)).text("id")
    await settle(ingress.committer, payment, LOST)
    assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == "review"
    return account, payment


async def reviewed_refund(ingress: Ingress, client: Client) -> tuple[str, str, str]:
    """An account, its payment of 50 dollars and a refund of 20 nobody can tell of."""
    account = await client.account()
    payment = (await client.pay(account)).text("id")
    await settle(ingress.committer, payment)
    refund = await client.post(f"/api/v1/payments/{payment}/refund", {"amount": "20.00"})
    await settle_refund(ingress.committer, refund.text("id"), LOST)
    return account, payment, refund.text("id")


async def resolve(
    client: Client, payment: str, body: object, key: str | None = "", kind: str = "payments"
) -> Reply:
    return await client.post(f"/api/v1/{kind}/{payment}/resolve", body, key=key)


async def money(client: Client, account: str) -> tuple[str, str]:
    """Balance, and what of it is available."""
    shown = await client.get(f"/api/v1/accounts/{account}")
    return shown.text("balance"), shown.text("available")


async def said(pool: asyncpg.Pool[asyncpg.Record], payment: str) -> list[str]:
    """The types of what the outbox has on `payments.events`, in their order."""
    rows = await pool.fetch(
        "SELECT type FROM outbox WHERE aggregateid = $1 AND aggregatetype = 'payments.events'"
        " ORDER BY sequence",
        payment,
    )
    return [row["type"] for row in rows]


async def test_what_was_found_completes_the_payment_and_posts_its_hold(
    ingress: Ingress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """The world is told as if the provider had answered, and no letter stays open."""
    client = ingress.client
    account, payment = await reviewed(ingress, client)
    assert await money(client, account) == ("1000.00", "950.00")
    reply = await resolve(client, payment, found())
    assert (reply.status, reply.text("status")) == (200, "completed")
    assert reply.text("provider_transaction_id") == "pi_found"
    assert await money(client, account) == ("950.00", "950.00")
    assert await said(pool, payment) == ["payment.created", "payment.review", "payment.completed"]
    (letter,) = await pool.fetch("SELECT * FROM dead_letters")
    assert (letter["state"], letter["reason"]) == ("discarded", "outcome_unresolved")
    assert (letter["resolved_by"], letter["resolution"]) == ("open", "seen in the dashboard")


async def test_what_did_not_happen_gives_the_hold_back(
    ingress: Ingress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """The payment failed, and says so; a refund of it is refused as ever."""
    client = ingress.client
    account, payment = await reviewed(ingress, client)
    reply = await resolve(client, payment, FAILED)
    assert (reply.status, reply.text("status")) == (200, "failed")
    assert "dashboard" not in reply.body.decode()
    assert await money(client, account) == ("1000.00", "1000.00")
    assert (await said(pool, payment))[-1] == "payment.failed"


@pytest.mark.parametrize(
    ("provider", "bare", "whole"),
    [
        # What is captured and refunded there is the PaymentIntent, not its charge.
        ("stripe", "ch_3Nxyz", "pi_3Nxyz"),
        # Captures and refunds need the order, too.
        ("paypal", "3C679366", "5O190127TN/capture/3C679366"),
    ],
)
async def test_a_name_its_provider_does_not_give_is_refused(
    ingress: Ingress, provider: str, bare: str, whole: str
) -> None:
    """What is asked of the payment next would fail for it."""
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account, provider=provider)).text("id")
    await settle(ingress.committer, payment, LOST)
    refused = await resolve(client, payment, found("50.00", bare))
    assert (refused.status, refused.code) == (422, "reference_malformed")
    assert (await resolve(client, payment, found("50.00", whole))).text("status") == "completed"


async def test_a_capture_is_posted_as_far_as_it_was_found(ingress: Ingress) -> None:
    """Less than was asked for: the rest of the hold is free."""
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account, capture_method="manual")).text("id")
    await settle(ingress.committer, payment)
    await client.post(f"/api/v1/payments/{payment}/capture", {})
    await settle(ingress.committer, payment, LOST, attempt=2)
    more = await resolve(client, payment, found("50.01"))
    assert (more.status, more.code) == (422, "amount_mismatch")
    reply = await resolve(client, payment, found("30.00"))
    assert (reply.status, reply.text("captured")) == (200, "30.00")
    assert await money(client, account) == ("970.00", "970.00")


@pytest.mark.parametrize(
    ("body", "status", "balance"),
    [(found("20.00", "re_found"), "completed", "970.00"), (FAILED, "failed", "950.00")],
)
async def test_a_refund_is_resolved_either_way(
    ingress: Ingress,
    pool: asyncpg.Pool[asyncpg.Record],
    body: dict[str, str],
    status: str,
    balance: str,
) -> None:
    """Its money is the customer's again, or can be refunded again."""
    client = ingress.client
    account, payment, refund = await reviewed_refund(ingress, client)
    reply = await resolve(client, refund, body, kind="refunds")
    assert (reply.status, reply.text("status")) == (200, status)
    assert await money(client, account) == (balance, balance)
    assert (await said(pool, payment))[-1] == f"refund.{status}"
    assert await pool.fetchval("SELECT count(*) FROM dead_letters WHERE state = 'parked'") == 0
    again = await resolve(client, refund, body, kind="refunds")
    assert (again.status, again.code) == (409, "refund_not_resolvable")
    assert again.text("refund_status") == status


async def test_who_is_not_in_doubt_is_not_resolved(ingress: Ingress) -> None:
    """The refusal says where the payment stands."""
    client = ingress.client
    payment = (await client.pay(await client.account())).text("id")
    for body in (found(), FAILED):
        reply = await resolve(client, payment, body)
        assert (reply.status, reply.code) == (409, "payment_not_resolvable")
        assert reply.text("payment_status") == "pending"
    missing = await resolve(client, str(uuid.uuid4()), FAILED)
    assert (missing.status, missing.code) == (404, "payment_not_found")


async def test_a_worker_that_asks_is_waited_for(ingress: Ingress) -> None:
    """Its answer is better than a verdict; until it is there the key is free."""
    _, payment = await reviewed(ingress, ingress.client)
    claim = await claimed(ingress.committer, ClaimPayment(UUID(payment), 2, "test"))
    reply = await resolve(ingress.client, payment, found(), key="k")
    assert (reply.status, reply.code) == (409, "attempt_in_flight")
    assert reply.json["retryable"] is True
    assert "try again in a moment" in reply.text("detail")
    await answered(ingress.committer, claim, LOST)
    again = await resolve(ingress.client, payment, found(), key="k")
    assert (again.status, again.text("status")) == (200, "completed")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"outcome": "perhaps"}, "/outcome"),
        ({"outcome": None}, "/outcome"),
        ({"amount": None}, "/amount"),
        ({"amount": "0"}, "/amount"),
        ({"amount": "50.001"}, "/amount"),
        ({"provider_reference": None}, "/provider_reference"),
        ({"provider_reference": ""}, "/provider_reference"),
        ({"provider_reference": "pi found"}, "/provider_reference"),
        ({"provider_reference": "pi_found\n"}, "/provider_reference"),
        ({"provider_reference": "p" * 256}, "/provider_reference"),
        ({"reason": ""}, "/reason"),
        ({"reason": None}, "/reason"),
        ({"outcome": "failed"}, "/amount"),
        ({"actor": "ada"}, "/actor"),
    ],
)
async def test_a_verdict_is_whole_or_refused(
    ingress: Ingress, changes: dict[str, object], pointer: str
) -> None:
    """Each refusal names the field, and nothing was done."""
    _, payment = await reviewed(ingress, ingress.client)
    reply = await resolve(ingress.client, payment, found() | changes)
    assert (reply.status, reply.code) == (422, "invalid_request")
    errors = reply.json["errors"]
    assert isinstance(errors, list)
    assert errors[0]["pointer"] == pointer
    shown = await ingress.client.get(f"/api/v1/payments/{payment}")
    assert shown.text("status") == "review"


async def test_another_amount_is_another_payment(ingress: Ingress) -> None:
    """A charge is whole: what was found cannot have been this one."""
    _, payment = await reviewed(ingress, ingress.client)
    reply = await resolve(ingress.client, payment, found("49.99"))
    assert (reply.status, reply.code) == (422, "amount_mismatch")
    assert "50.00" in reply.text("detail")


async def test_it_needs_a_key_and_is_replayed_byte_for_byte(
    ingress: Ingress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Whoever is not sure that it arrived sends it again, and it is done once."""
    _, payment = await reviewed(ingress, ingress.client)
    unsigned = await resolve(ingress.client, payment, found(), key=None)
    assert (unsigned.status, unsigned.code) == (400, "idempotency_key_missing")
    first = await resolve(ingress.client, payment, found(), key="k")
    again = await resolve(ingress.client, payment, found(), key="k")
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await resolve(ingress.client, payment, FAILED, key="k")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert await pool.fetchval("SELECT count(*) FROM operator_actions") == 1


async def test_only_an_operator_of_the_tenant_may(guarded: Ingress) -> None:
    """A shop's key may not, and another tenant's operator finds nothing."""
    shop = await guarded.tenant("acme", "payments:write", "payments:read", "accounts:write")
    _, payment = await reviewed(guarded, shop)
    refused = await resolve(shop, payment, found())
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    stranger = await resolve(await guarded.tenant("other", "ops"), payment, found())
    assert (stranger.status, stranger.code) == (404, "payment_not_found")
    operator = await guarded.tenant("acme", "ops")
    assert (await resolve(operator, payment, found())).status == 200


async def test_who_did_what_by_hand_is_recorded(
    ingress: Ingress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """A redrive and a resolve: who, why, what about, and what was found."""
    client = ingress.client
    _, payment = await reviewed(ingress, client)
    letter = await pool.fetchval("SELECT id FROM dead_letters")
    body = {"reason": "ask again"}
    assert (await client.post(f"/api/v1/dead-letters/{letter}/redrive", body)).status == 200
    assert (await resolve(client, payment, found())).status == 200
    redriven, resolved = await pool.fetch("SELECT * FROM operator_actions ORDER BY id")
    assert (redriven["action"], redriven["reason"]) == ("redrive", "ask again")
    assert orjson.loads(redriven["detail"]) == {
        "dead_letter": str(letter),
        "stage": "charge",
        "parked_for": "outcome_unresolved",
    }
    assert (resolved["action"], resolved["actor"]) == ("resolve", "open")
    assert (resolved["tenant_id"], resolved["payment_id"]) == ("default", UUID(payment))
    assert orjson.loads(resolved["detail"]) == {
        "status_before": "review",
        "operation": "charge",
        "outcome": "succeeded",
        "amount_minor": 5000,
        "currency": "USD",
        "provider_reference": "pi_found",
        "dead_letters": [],
    }
