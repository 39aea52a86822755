"""The seed's quick start against the running platform, from the first curl to `completed`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.simulator import Simulator


async def test_the_quick_start_works_as_it_is_written(
    client: Client, simulator_api: Simulator
) -> None:
    """Two accounts, a transfer and an external payment, bodies verbatim."""
    first = await client.post(
        "/api/v1/accounts",
        b"""{
    "user_id": "user1",
    "initial_balance": 1000.00,
    "currency": "USD"
  }""",
    )
    second = await client.post(
        "/api/v1/accounts",
        b"""{
    "user_id": "user2",
    "initial_balance": 500.00,
    "currency": "USD"
  }""",
    )
    assert (first.status, second.status) == (201, 201)
    one, other = first.body["id"], second.body["id"]
    transfer = await client.post(
        "/api/v1/transfers",
        f"""{{
    "source_account_id": "{one}",
    "destination_account_id": "{other}",
    "amount": 100.00,
    "currency": "USD"
  }}""".encode(),
    )
    assert (transfer.status, transfer.body["status"]) == (201, "completed")
    assert await client.balance(one) == ("900.00", "900.00")
    assert await client.balance(other) == ("600.00", "600.00")
    payment = await client.post(
        "/api/v1/payments",
        f"""{{
    "payment_type": "external_payment",
    "source_account_id": "{one}",
    "amount": 50.00,
    "currency": "USD",
    "provider": "stripe"
  }}""".encode(),
    )
    assert (payment.status, payment.body["status"]) == (202, "pending")
    ended = await client.ended(payment.body["id"], within=10.0)
    assert (ended["status"], ended["amount"]) == ("completed", "50.00")
    assert ended["provider_transaction_id"].startswith("pi_")
    assert await client.balance(one) == ("850.00", "850.00")
    report = await simulator_api.report(ended["id"])
    assert (report["charges"], report["charged_minor"]) == (1, 5_000)


async def test_health_documentation_and_metrics_are_there(client: Client) -> None:
    """What the seed's README names beside the API."""
    for path in ("/health", "/health/live", "/health/ready"):
        assert (await client.get(path)).status == 200
    assert "openapi" in (await client.get("/openapi.json")).body
    async with client.http.get("/metrics") as page:
        assert "payments_http_requests" in await page.text()
    async with client.http.get("/docs") as page:
        assert page.status == 200
