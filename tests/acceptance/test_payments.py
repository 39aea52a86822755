"""The life of a payment over HTTP, with everything running: paid, declined, refunded, stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.running import Installation
    from tests.support.acceptance.simulator import Simulator

# The simulator's issuers decline this amount, whatever the card.
DECLINED = "4000.02"
PROVIDERS = ("stripe", "paypal")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_payment_completes_within_seconds(
    client: Client, simulator_api: Simulator, provider: str
) -> None:
    """Accepted at once, charged once, and the money is gone from the account."""
    account = await client.account()
    payment = await client.pay(account, provider=provider)
    assert (await client.ended(payment["id"]))["status"] == "completed"
    assert await client.balance(account) == ("950.00", "950.00")
    assert (await simulator_api.report(payment["id"]))["charged_minor"] == 5_000


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_declined_payment_fails_and_gives_the_money_back(
    client: Client, simulator_api: Simulator, provider: str
) -> None:
    """With the provider's reason, no retry, and the hold released."""
    account = await client.account("5000.00")
    payment = await client.pay(account, DECLINED, provider=provider)
    failed = await client.ended(payment["id"])
    assert (failed["status"], failed["retry_count"]) == ("failed", 0)
    assert failed["last_error"]
    assert await client.balance(account) == ("5000.00", "5000.00")
    assert (await simulator_api.report(payment["id"]))["charges"] == 0


async def test_an_amount_its_provider_cannot_take_is_refused_at_the_door(client: Client) -> None:
    """With the provider's own rule; the same amount goes through one that takes it."""
    account = await client.account("100000", "HUF")
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": "500.50",
        "currency": "HUF",
        "provider": "paypal",
    }
    refused = await client.post("/api/v1/payments", body)
    assert (refused.status, refused.body["code"]) == (422, "amount_not_supported")
    assert "multiple of 1.00 HUF" in refused.body["detail"]
    payment = await client.pay(account, "500.50", currency="HUF")
    assert (await client.ended(payment["id"]))["status"] == "completed"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_payment_is_charged_to_its_own_accounts_method(
    client: Client, simulator_api: Simulator, provider: str
) -> None:
    """With its customer, and which another account can neither have nor charge."""
    account, stranger = await client.account(), await client.account()
    vaulted = {"reference": "8kk8451t"}
    card = vaulted if provider == "paypal" else await simulator_api.customers_card()
    card = {"provider": provider, **card}
    attached = await client.post(f"/api/v1/accounts/{account}/payment-methods", card)
    assert attached.status == 201, attached.body
    taken = await client.post(f"/api/v1/accounts/{stranger}/payment-methods", card)
    assert (taken.status, taken.body["code"]) == (409, "payment_method_taken")
    chosen = {"payment_method": card["reference"]}
    payment = await client.pay(account, provider=provider, metadata=chosen)
    assert (await client.ended(payment["id"]))["status"] == "completed"
    assert (await simulator_api.report(payment["id"]))["charges"] == 1
    body = {
        "payment_type": "external_payment",
        "source_account_id": stranger,
        "amount": "50.00",
        "currency": "USD",
        "provider": provider,
        "metadata": chosen,
    }
    refused = await client.post("/api/v1/payments", body)
    assert (refused.status, refused.body["code"]) == (422, "payment_method_not_found")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_payment_is_refunded_in_parts_and_never_more(
    client: Client, simulator_api: Simulator, provider: str
) -> None:
    """Twice a part, then the rest; one cent more is refused."""
    account = await client.account()
    payment_id = (await client.pay(account, provider=provider))["id"]
    await client.ended(payment_id)
    await client.refunded(payment_id, {"amount": "20.00", "reason": "requested_by_customer"})
    assert (await client.payment(payment_id))["status"] == "partially_refunded"
    excessive = await client.post(f"/api/v1/payments/{payment_id}/refund", {"amount": "30.01"})
    assert (excessive.status, excessive.body["code"]) == (422, "refund_exceeds_payment")
    await client.refunded(payment_id)
    assert (await client.payment(payment_id))["status"] == "refunded"
    assert await client.balance(account) == ("1000.00", "1000.00")
    assert (await simulator_api.report(payment_id))["refunded_minor"] == 5_000


async def test_an_internal_transfer_can_be_returned(client: Client) -> None:
    """At once, since nobody else is asked."""
    one, other = await client.account(), await client.account("0")
    body = {
        "source_account_id": one,
        "destination_account_id": other,
        "amount": "7",
        "currency": "USD",
    }
    moved = await client.post("/api/v1/transfers", body)
    assert (await client.balance(other))[0] == "7.00"
    returned = await client.post(f"/api/v1/payments/{moved.body['id']}/refund")
    assert (returned.status, returned.body["status"]) == (201, "completed")
    assert await client.balance(one) == ("1000.00", "1000.00")


async def test_a_payment_nobody_was_asked_about_can_be_cancelled(
    client: Client, installation: Installation, simulator_api: Simulator
) -> None:
    """The hold is released and the work that waits on the topic finds nothing to do."""
    account = await client.account()
    installation.freeze("charge")
    try:
        payment_id = (await client.pay(account))["id"]
        cancelled = await client.post(f"/api/v1/payments/{payment_id}/cancel")
    finally:
        installation.thaw("charge")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    assert await client.balance(account) == ("1000.00", "1000.00")
    # Whatever was sent after it has been done: so has it.
    await client.ended((await client.pay(account))["id"])
    assert (await client.payment(payment_id))["status"] == "cancelled"
    assert (await simulator_api.report(payment_id))["charges"] == 0


async def test_a_completed_payment_cannot_be_cancelled(client: Client) -> None:
    """409, with the state it is in."""
    payment_id = (await client.pay(await client.account()))["id"]
    await client.ended(payment_id)
    refused = await client.post(f"/api/v1/payments/{payment_id}/cancel")
    assert (refused.status, refused.body["code"]) == (409, "payment_not_cancellable")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_authorization_is_captured_for_less(
    client: Client, simulator_api: Simulator, provider: str
) -> None:
    """Held whole, captured in part, the rest released."""
    account = await client.account()
    manual = {"capture_method": "manual", "provider": provider}
    payment_id = (await client.pay(account, **manual))["id"]
    await client.until(payment_id, "authorized")
    assert await client.balance(account) == ("1000.00", "950.00")
    captured = await client.post(f"/api/v1/payments/{payment_id}/capture", {"amount": "30.00"})
    assert captured.status == 202
    await client.until(payment_id, "completed")
    assert await client.balance(account) == ("970.00", "970.00")
    assert (await simulator_api.report(payment_id))["charged_minor"] == 3_000


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_authorization_can_be_cancelled(
    client: Client, simulator_api: Simulator, provider: str
) -> None:
    """The client has its money at once, and the provider is told to let go."""
    account = await client.account()
    manual = {"capture_method": "manual", "provider": provider}
    payment_id = (await client.pay(account, **manual))["id"]
    await client.until(payment_id, "authorized")
    assert (await client.post(f"/api/v1/payments/{payment_id}/cancel")).status == 200
    assert await client.balance(account) == ("1000.00", "1000.00")

    async def is_voided() -> bool:
        return bool((await simulator_api.report(payment_id))["voids"] == 1)

    await eventually(is_voided, within=20.0)


async def test_a_retried_request_makes_one_payment(client: Client) -> None:
    """The same key and body again: the first answer, byte for byte, and one charge."""
    account = await client.account()
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": "50.00",
        "currency": "USD",
        "provider": "stripe",
    }
    first = await client.post("/api/v1/payments", body, key="same-key-" + account)
    again = await client.post("/api/v1/payments", body, key="same-key-" + account)
    assert (first.status, again.status) == (202, 202)
    assert first.body == again.body
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await client.post(
        "/api/v1/payments", {**body, "amount": "51"}, key="same-key-" + account
    )
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    await client.ended(first.body["id"])
    assert await client.balance(account) == ("950.00", "950.00")


async def test_who_prefers_to_wait_gets_the_end(client: Client) -> None:
    """200 and `completed` in the answer to the request itself."""
    account = await client.account()
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": "50.00",
        "currency": "USD",
        "provider": "paypal",
    }
    answer = await client.post("/api/v1/payments", body, Prefer="wait=20")
    assert (answer.status, answer.body["status"]) == (200, "completed")


async def test_payments_are_listed_newest_first_and_filtered(client: Client) -> None:
    """Pages by cursor, each payment once, in a stable order."""
    account = await client.account()
    made = [(await client.pay(account, "1.00"))["id"] for _ in range(5)]
    for payment_id in made:
        await client.ended(payment_id)
    where = f"/api/v1/payments?account_id={account}&status=completed&limit=2"
    listed: list[str] = []
    page = (await client.get(where)).body
    listed += [each["id"] for each in page["data"]]
    while page["next_cursor"]:
        page = (await client.get(f"{where}&cursor={page['next_cursor']}")).body
        listed += [each["id"] for each in page["data"]]
    assert listed == made[::-1]
    statement = (await client.get(f"/api/v1/accounts/{account}/transactions")).body
    assert len(statement["data"]) == 6


async def test_money_is_exact_in_every_currency(client: Client) -> None:
    """Three decimals, none, and no amount in between."""
    dinars, yen = await client.account("10.125", "KWD"), await client.account("1000", "JPY")
    assert await client.balance(dinars) == ("10.125", "10.125")
    paid = await client.pay(yen, "123", currency="JPY")
    assert (await client.ended(paid["id"]))["amount"] == "123"
    assert await client.balance(yen) == ("877", "877")
    body = {"user_id": "u", "initial_balance": "0.005", "currency": "USD"}
    assert (await client.post("/api/v1/accounts", body)).status in {400, 422}
