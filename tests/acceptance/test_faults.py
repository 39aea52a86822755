"""A provider that fails in every way: nobody is charged twice, nothing ends in silence."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.running import Installation
    from tests.support.acceptance.simulator import Simulator

PROVIDERS = ("stripe", "paypal")
FAULTS = (
    "rate_limit",
    "error_before",
    "error_after",
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
    "truncate",
)


async def test_a_payment_is_charged_once_whatever_became_of_the_call(
    client: Client, simulator_api: Simulator, installation: Installation
) -> None:
    """Refused, reset, timed out or cut off, before or after the money moved: one charge."""
    account = await client.account("10000.00")
    payments = {}
    installation.freeze("charge")
    try:
        for provider, kind in product(PROVIDERS, FAULTS):
            # One that succeeds before each that fails: the circuit stays closed.
            payments[(await client.pay(account, provider=provider))["id"]] = f"{provider} well"
            payment_id = (await client.pay(account, provider=provider))["id"]
            await simulator_api.fail(
                kind, vendor=provider, operation="charge", payment_id=payment_id
            )
            payments[payment_id] = f"{provider} {kind}"
    finally:
        installation.thaw("charge")
    outcomes = {}
    for payment_id, what in payments.items():
        ended = await client.ended(payment_id, within=60.0)
        charges = (await simulator_api.report(payment_id))["charges"]
        outcomes[what] = (ended["status"], charges)
    assert outcomes == dict.fromkeys(payments.values(), ("completed", 1))


async def test_an_unknown_outcome_keeps_the_hold_until_the_provider_is_asked(
    client: Client, simulator_api: Simulator
) -> None:
    """As long as it does not answer, the money is neither spent nor free; then it is spent."""
    account = await client.account()
    await simulator_api.fail("reset_after", vendor="stripe", operation="charge")
    for inquiry in ("search", "list", "retrieve"):
        await simulator_api.fail("error_before", vendor="stripe", operation=inquiry, times=None)
    payment_id = (await client.pay(account))["id"]
    unknown = await client.until(payment_id, "unknown")
    assert unknown["last_error"]
    assert await client.balance(account) == ("1000.00", "950.00")
    await simulator_api.heal()
    assert (await client.ended(payment_id, within=60.0))["status"] == "completed"
    assert (await simulator_api.report(payment_id))["charges"] == 1
    assert await client.balance(account) == ("950.00", "950.00")


async def test_a_provider_that_refuses_for_a_while_is_asked_again(
    client: Client, simulator_api: Simulator
) -> None:
    """It took nothing in, so no try was made, and none is counted."""
    account = await client.account()
    await simulator_api.fail("rate_limit", vendor="paypal", operation="charge", times=2)
    payment_id = (await client.pay(account, provider="paypal"))["id"]
    ended = await client.ended(payment_id, within=60.0)
    assert (ended["status"], ended["retry_count"]) == ("completed", 0)
