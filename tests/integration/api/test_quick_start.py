"""The seed's quick start, sent as it is written there."""

import uuid

from tests.support.api.ingress import Client

ACCOUNT = b"""{
    "user_id": "user1",
    "initial_balance": 1000.00,
    "currency": "USD"
  }"""


async def test_the_account_of_the_quick_start_is_opened(client: Client) -> None:
    """The curl that opens an account gets 201 and the seed's fields, amounts exact."""
    reply = await client.post("/api/v1/accounts", ACCOUNT, key=None)
    assert reply.status == 201
    assert reply.headers["Location"] == f"/api/v1/accounts/{reply.text('id')}"
    account = reply.json
    assert account["user_id"] == "user1"
    assert (account["balance"], account["balance_minor"]) == ("1000.00", 100_000)
    assert (account["available"], account["pending"]) == ("1000.00", "0.00")
    assert (account["currency"], account["status"], account["version"]) == ("USD", "active", 1)


async def test_the_transfer_of_the_quick_start_moves_the_money(client: Client) -> None:
    """The curl that transfers gets 201, and both balances have changed."""
    first, second = await client.account("1000.00"), await client.account("500.00")
    body = f"""{{
    "source_account_id": "{first}",
    "destination_account_id": "{second}",
    "amount": 100.00,
    "currency": "USD"
  }}"""
    reply = await client.post("/api/v1/transfers", body.encode(), key=str(uuid.uuid4()))
    assert reply.status == 201
    payment = reply.json
    assert (payment["payment_type"], payment["status"]) == ("internal_transfer", "completed")
    assert (payment["amount"], payment["amount_minor"]) == ("100.00", 10_000)
    balances = [
        (await client.get(f"/api/v1/accounts/{account}/balance")).json["balance"]
        for account in (first, second)
    ]
    assert balances == ["900.00", "600.00"]


async def test_the_external_payment_of_the_quick_start_is_accepted(client: Client) -> None:
    """The curl that pays gets 202, the payment's address and the seed's fields."""
    account = await client.account()
    body = f"""{{
    "payment_type": "external_payment",
    "source_account_id": "{account}",
    "amount": 50.00,
    "currency": "USD",
    "provider": "stripe"
  }}"""
    key = str(uuid.uuid4())
    reply = await client.post("/api/v1/payments", body.encode(), key=key)
    assert reply.status == 202
    payment = reply.json
    assert reply.headers["Location"] == f"/api/v1/payments/{payment['id']}"
    assert payment["idempotency_key"] == key
    expected: dict[str, object] = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "destination_account_id": None,
        "amount": "50.00",
        "currency": "USD",
        "status": "pending",
        "provider": "stripe",
        "provider_transaction_id": None,
        "retry_count": 0,
        "max_retries": 4,
        "last_error": None,
        "metadata": {},
        "completed_at": None,
    }
    assert {name: payment[name] for name in expected} == expected
    shown = await client.get(reply.headers["Location"])
    assert shown.status == 200
    assert {name: shown.json[name] for name in payment} == payment
    assert (shown.json["attempts"], shown.json["refunds"], shown.json["events"]) == ([], [], None)
    held = (await client.get(f"/api/v1/accounts/{account}/balance")).json
    assert (held["balance"], held["available"], held["pending"]) == ("1000.00", "950.00", "50.00")
