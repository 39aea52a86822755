"""The whole platform behind PgBouncer: what needs a session goes past it, and nobody notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from process.addresses import DatabaseAddress
from tests.support.acceptance.client import client_of
from tests.support.acceptance.running import Installation
from tests.support.fixtures.pgbouncer import pooler

if TYPE_CHECKING:
    from pathlib import Path


async def test_payments_are_paid_and_refunded_behind_a_pooler(tmp_path: Path) -> None:
    """Ingress and stages share three sessions of Postgres; relays and migrations have their own."""
    installation = Installation.in_folder(tmp_path)
    port = int(installation.variables["PAYMENTS_DATABASE_PORT"])
    embedded = DatabaseAddress("127.0.0.1", port, "payments", "payments", "payments")
    async with pooler(embedded) as between:
        ways = {
            "PAYMENTS_DATABASE_POOLER_HOST": "127.0.0.1",
            "PAYMENTS_DATABASE_POOLER_PORT": str(between.port),
        }
        installation.variables = {**installation.variables, **ways}
        try:
            await installation.start()
            async with client_of(installation.url) as client:
                account = await client.account()
                payments = [await client.pay(account, "1.00") for _ in range(20)]
                ended = [await client.ended(payment["id"]) for payment in payments]
            assert {payment["status"] for payment in ended} == {"completed"}
            await installation.assert_sound()
        finally:
            installation.end()
