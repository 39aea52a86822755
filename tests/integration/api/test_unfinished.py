"""A payment says why it is not done: whose turn it is, and how its provider is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payments.commands import ClaimPayment
from payments.outcome import Declined, Retriable, Succeeded, Unknown, Unresolvable
from payments.payment import Provider
from payments.provider_state import ProviderCondition, ProviderState
from store.write.provider_states import withdraw_provider_states, write_provider_states
from tests.support.api.stage import claimed, settle, settle_refund

if TYPE_CHECKING:
    import asyncpg

    from tests.support.api.ingress import Client, Ingress

    Pool = asyncpg.Pool[asyncpg.Record]

STRIPE: Final = Provider("stripe")
REFUSED: Final = Retriable("unauthorized", "the provider refused our credentials", is_asked=False)
SINCE: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def waiting(client: Client, payment: str) -> dict[str, object] | None:
    reply = await client.get(f"/api/v1/payments/{payment}")
    found = reply.json["waiting"]
    assert found is None or isinstance(found, dict)
    return found


async def says(
    pool: Pool, worker: str, state: ProviderState, reason: str = "", stage: str = "charge"
) -> None:
    condition = ProviderCondition(STRIPE, state, reason, SINCE)
    await write_provider_states(pool, stage, worker, [condition])


async def test_a_new_payment_waits_for_a_worker(client: Client) -> None:
    """Its work is on the way; it is sent again at a time."""
    accepted = await client.pay(await client.account())
    found = await waiting(client, accepted.text("id"))
    assert found is not None
    assert found.pop("until") is not None
    assert found == {"for": "worker", "operation": "charge", "provider_state": None, "reason": None}


async def test_one_that_is_being_asked_for_waits_for_the_answer(
    ingress: Ingress, client: Client
) -> None:
    """Until its worker would be given up."""
    payment = (await client.pay(await client.account())).text("id")
    claim = await claimed(ingress.committer, ClaimPayment(UUID(payment), 1, "test"))
    found = await waiting(client, payment)
    assert found is not None
    assert found["for"] == "answer"
    assert datetime.fromisoformat(str(found["until"])) == claim.attempt.lease_expires_at


async def test_one_that_was_turned_away_waits_for_its_next_try_and_says_why(
    ingress: Ingress, client: Client
) -> None:
    """No try was burned, and the reason is there for who asks."""
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingress.committer, payment, REFUSED)
    found = await waiting(client, payment)
    assert found is not None
    assert (found["for"], found["reason"]) == ("retry", "the provider refused our credentials")
    shown = await client.get(f"/api/v1/payments/{payment}")
    assert shown.json["retry_count"] == 0


async def test_while_its_provider_is_not_well_it_waits_for_the_provider(
    pool: Pool, client: Client
) -> None:
    """By the worst that a living worker of its stage says; one that stopped says nothing more."""
    payment = (await client.pay(await client.account())).text("id")
    await says(pool, "one", ProviderState.WELL)
    await says(pool, "two", ProviderState.LIMITED, "too many requests")
    await says(pool, "three", ProviderState.REFUSING_CREDENTIALS, "the key is revoked")
    await says(pool, "four", ProviderState.UNREACHABLE, "another stage's", stage="refund")
    expected = {"for": "provider", "operation": "charge", "until": None}
    assert await waiting(client, payment) == {
        **expected, "provider_state": "refusing_credentials", "reason": "the key is revoked"
    }  # fmt: skip
    await withdraw_provider_states(pool, "charge", "three")
    assert await waiting(client, payment) == {
        **expected, "provider_state": "limited", "reason": "too many requests"
    }  # fmt: skip
    await pool.execute(
        "UPDATE provider_states SET updated_at = now() - interval '61 s' WHERE worker = 'two'"
    )
    found = await waiting(client, payment)
    assert found is not None
    assert (found["for"], found["provider_state"]) == ("worker", "well")


async def test_one_in_doubt_is_asked_after(ingress: Ingress, client: Client) -> None:
    """Nobody knows yet, and somebody asks again at a time."""
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingress.committer, payment, Unknown("no_answer", "no whole answer"))
    found = await waiting(client, payment)
    assert found is not None
    assert (found["for"], found["reason"]) == ("retry", "no whole answer")


async def test_one_in_review_waits_for_an_operator(ingress: Ingress, client: Client) -> None:
    """However its provider is."""
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingress.committer, payment, Unresolvable("key_window_passed", "nobody can tell"))
    found = await waiting(client, payment)
    assert found is not None
    assert (found["for"], found["reason"]) == ("review", "nobody can tell")


async def test_an_authorized_one_waits_for_its_capture(ingress: Ingress, client: Client) -> None:
    """Until the authorization ends."""
    accepted = await client.pay(await client.account(), capture_method="manual")
    payment = accepted.text("id")
    await settle(ingress.committer, payment, Succeeded("pi_1"))
    shown = await client.get(f"/api/v1/payments/{payment}")
    assert shown.json["waiting"] == {
        "for": "capture",
        "operation": "capture",
        "provider_state": None,
        "reason": None,
        "until": shown.json["authorization_expires_at"],
    }


async def test_who_is_owed_nothing_waits_for_nothing_and_else_for_its_refund(
    ingress: Ingress, pool: Pool, client: Client
) -> None:
    """Failed or completed it is done; a refund under way is what is owed next."""
    account = await client.account()
    failed = (await client.pay(account)).text("id")
    await settle(ingress.committer, failed, Declined("card_declined", "no"))
    assert await waiting(client, failed) is None
    payment = (await client.pay(account)).text("id")
    await settle(ingress.committer, payment)
    assert await waiting(client, payment) is None
    refund = await client.post(f"/api/v1/payments/{payment}/refund", {"amount": "20.00"})
    found = await waiting(client, payment)
    assert found is not None
    assert (found["for"], found["operation"]) == ("worker", "refund")
    await says(pool, "one", ProviderState.UNREACHABLE, "no connection", stage="refund")
    found = await waiting(client, payment)
    assert found is not None
    assert (found["for"], found["operation"]) == ("provider", "refund")
    await settle_refund(ingress.committer, refund.text("id"))
    assert await waiting(client, payment) is None
