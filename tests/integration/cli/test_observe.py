"""`payments observe`: the books follow a payment's provider, and who looked is known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from click.testing import CliRunner, Result

from cli.__main__ import main
from payments.outcome import Succeeded
from payments.payment import Provider
from providers.stripe.config import StripeConfig

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg
    import pytest

    from tests.support.agents.notifications import Desk


async def observe(payment_id: UUID) -> Result:
    """In a thread: the command has an event loop of its own."""
    words = ["observe", str(payment_id), "--actor", "ann"]
    return await asyncio.to_thread(CliRunner().invoke, main, words)


async def test_whoever_looks_signs_for_what_follows(
    desk: Desk, pool: asyncpg.Pool[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the payment's tenant; of what is no payment there is nothing to sign for."""
    monkeypatch.setenv("PAYMENTS_STRIPE_API_KEY", StripeConfig.simulated["PAYMENTS_STRIPE_API_KEY"])
    claimed = await desk.claimed(Provider("stripe"))
    await desk.settle(claimed, Succeeded(await desk.charge(claimed)))
    seen = await observe(claimed.payment.id)
    assert seen.exit_code == 0, seen.output
    assert "stands at its provider as it does here" in seen.output
    assert (await observe(uuid4())).exit_code == 1
    (line,) = await pool.fetch("SELECT * FROM audit_log")
    assert line["about_tenant_id"] == claimed.payment.tenant_id
    assert (line["actor"], line["action"], line["outcome"]) == ("ann", "observe_payment", "done")
