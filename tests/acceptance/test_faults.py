"""A provider that fails in every way: nobody is charged twice, nothing ends in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.client import Client
    from tests.acceptance.simulator import Simulator


@pytest.mark.parametrize(
    "kind",
    [
        "rate_limit",
        "error_before",
        "error_after",
        "reset_before",
        "reset_after",
        "hang_after",
        "truncate",
    ],
)
async def test_a_payment_is_charged_once_whatever_became_of_the_call(
    client: Client, simulator: Simulator, kind: str
) -> None:
    """Refused, reset, timed out or cut off, before or after the money moved: one charge."""
    account = await client.account()
    await simulator.fail(kind, vendor="stripe", operation="create_payment_intent")
    payment_id = (await client.pay(account))["id"]
    assert (await client.ended(payment_id, within=30.0))["status"] == "completed"
    assert (await simulator.testimony(payment_id))["charges"] == 1
    assert await client.balance(account) == ("950.00", "950.00")


async def test_a_timeout_is_unknown_and_keeps_the_hold(
    client: Client, simulator: Simulator
) -> None:
    """Until the provider was asked, the money is neither spent nor free."""
    account = await client.account()
    await simulator.fail("reset_after", vendor="paypal", times=1)
    await simulator.fail("hang_before", vendor="paypal", times=2)
    payment_id = (await client.pay(account, provider="paypal"))["id"]
    unknown = await client.until(payment_id, "unknown", within=30.0)
    assert unknown["last_error"]
    assert await client.balance(account) == ("1000.00", "950.00")
    assert (await client.ended(payment_id, within=60.0))["status"] in {"completed", "failed"}
    charged = (await simulator.testimony(payment_id))["charges"]
    balance = "950.00" if charged else "1000.00"
    assert await client.balance(account) == (balance, balance)
