"""After everything the suite has done so far, every invariant holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.running import Installation


async def test_verify_is_clean(installation: Installation, client: Client) -> None:
    """`payments verify` finds nothing, on the database, both logs and the provider's journal."""
    await client.ended((await client.pay(await client.account()))["id"])
    await installation.assert_sound()


async def test_verify_may_run_while_everything_is_at_work(
    installation: Installation, client: Client
) -> None:
    """Without waiting for rest: what is in flight is no violation."""
    account = await client.account()
    payments = [(await client.pay(account, "1.00"))["id"] for _ in range(20)]
    verified = await installation.command("verify")
    assert verified.code == 0, verified.printed
    for payment_id in payments:
        await client.ended(payment_id)
