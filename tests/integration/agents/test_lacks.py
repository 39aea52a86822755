"""What keeps us from a provider is ours to mend: it costs no payment a try, and says what it is.

A worker of its own, with a door before each vendor, which a test closes and opens again.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from payments.commands import CancelPayment, CapturePayment, RefundPayment
from payments.payment import CaptureMethod, Provider
from payments.refund import Refund
from providers.registry import NAMES
from tests.support.agents.stream import Charges
from tests.support.factories import TENANT
from tests.support.project.alerts import firing
from tests.support.providers.door import Door, Refusal, door
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from payments.account import Account
    from payments.payment import Payment
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.processes import OurProcess, Platform
    from tests.support.fixtures.simulator import SimulatorProcess

STRIPE: Final = Provider("stripe")
PAYPAL: Final = Provider("paypal")
REFUSED: Final = Refusal(401, {"error": {"message": "Invalid API Key provided"}})
# Lack, the state it shows as, and the alert that wakes somebody.
LACKS: Final[Mapping[str, tuple[Refusal | None, str, str]]] = {
    "revoked": (REFUSED, "refusing_credentials", "ProviderRefusesCredentials"),
    "forbidden": (
        Refusal(403, {"message": "not this scope"}),
        "refusing_credentials",
        "ProviderRefusesCredentials",
    ),
    "quota": (Refusal(429, headers={"Retry-After": "5"}), "limited", "ProviderLimited"),
    "quota without a word": (Refusal(429), "limited", "ProviderLimited"),
    "nobody there": (None, "unreachable", "ProviderUnreachable"),
    "proxy": (Refusal(407), "unreachable", "ProviderUnreachable"),
    "broken": (Refusal(500), "circuit_open", "BreakerOpen"),
}
OFTEN: Final = {("revoked", STRIPE), ("quota", PAYPAL), ("nobody there", STRIPE)}
# However long it was so: the next trial is due in fifteen seconds, or in half a minute.
_HEALED_WITHIN_S: Final = 90.0
# More than a lane holds of one provider's payments.
_TOO_MANY: Final = 1_200


@dataclass(frozen=True, slots=True)
class Site:
    """The shop, the worker, and the doors it has to pass."""

    shop: Shop
    worker: OurProcess
    doors: Mapping[Provider, Door]

    async def close(self, provider: Provider, refusal: Refusal | None) -> None:
        if refusal is None:
            await self.doors[provider].wall_up()
        else:
            self.doors[provider].refuse(refusal)

    async def bought(self, customer: Account, provider: Provider, count: int) -> list[Payment]:
        return await asyncio.gather(*(self.shop.bought(customer, provider) for _ in range(count)))

    async def state(self, provider: Provider, stage: str = "charge") -> tuple[str, str]:
        """As the worker tells it to everybody: the state, and why."""
        row = await self.shop.pool.fetchrow(
            "SELECT state, reason FROM provider_states WHERE provider = $1 AND stage = $2",
            provider,
            stage,
        )
        return (row["state"], row["reason"]) if row else ("", "")

    async def is_shown(self, provider: Provider, state: str, stage: str = "charge") -> None:
        async def is_so() -> bool:
            found = await self.state(provider, stage)
            assert found[0] == state, found
            return True

        await eventually(is_so, within=30.0)

    async def attempts(self, payments: Iterable[Payment]) -> int:
        return int(
            await self.shop.pool.fetchval(
                "SELECT count(*) FROM attempts WHERE payment_id = any($1)",
                [each.id for each in payments],
            )
        )

    async def assert_nothing_burned(self, payments: Iterable[Payment]) -> None:
        rows = await self.shop.pool.fetch(
            "SELECT status, retry_count FROM payments WHERE id = any($1)",
            [each.id for each in payments],
        )
        assert {(row["status"], row["retry_count"]) for row in rows} == {("completed", 0)}


@pytest.fixture
async def site(
    platform: Platform, crew: OurProcess, shop: Shop, simulator: SimulatorProcess
) -> AsyncIterator[Site]:
    """The crew's place in the group, taken by a worker that goes through doors."""
    if crew.is_running:
        await crew.drain()
    async with AsyncExitStack() as stack:
        doors = {
            each: await stack.enter_async_context(door(simulator.url)) for each in (STRIPE, PAYPAL)
        }
        worker = platform.charge(
            "one",
            PAYMENTS_STRIPE_BASE_URL=doors[STRIPE].url,
            PAYMENTS_PAYPAL_BASE_URL=doors[PAYPAL].url,
            # The doors are the test's own, and slow where the test has much to do.
            PAYMENTS_PAYMENT_LEASE="20s",
        )
        await worker.start()
        try:
            yield Site(shop, worker, doors)
        finally:
            await worker.drain()


@pytest.mark.parametrize(
    ("lack", "vendor"),
    [
        # Each takes as long as a provider's trial: those of one kind are told apart for long.
        pytest.param(lack, vendor, marks=() if (lack, vendor) in OFTEN else pytest.mark.long)
        for lack in LACKS
        for vendor in NAMES
    ],
)
async def test_work_waits_says_why_and_goes_on_by_itself(
    site: Site, lack: str, vendor: Provider
) -> None:
    """A few find out, one at a time asks whether it is so still, and nobody else is claimed."""
    refusal, state, alert = LACKS[lack]
    customer = await site.shop.customer()
    await site.close(vendor, refusal)
    # A circuit opens by ten calls.
    first = await site.bought(customer, vendor, 10 if state == "circuit_open" else 4)
    await site.is_shown(vendor, state)
    later = await site.bought(customer, vendor, 60)
    asked = site.doors[vendor].knocks

    async def asks_on() -> bool:
        page = await site.worker.page()
        assert firing(page, "providers") == {(alert, vendor)}
        # Of a wall no one can tell.
        return refusal is None or site.doors[vendor].knocks >= asked + 2

    await eventually(asks_on, within=60.0)
    assert await site.attempts(later) <= 4
    await site.doors[vendor].open()
    await site.shop.settles([*first, *later], within=_HEALED_WITHIN_S)
    await site.is_shown(vendor, "well")
    if state != "circuit_open":
        await site.assert_nothing_burned([*first, *later])
        assert await site.attempts([*first, *later]) <= len(first) + len(later) + 30
    await site.shop.assert_right(customer)


@pytest.mark.long
async def test_a_key_that_is_rolled_is_taken_up_by_a_restart(
    site: Site, platform: Platform
) -> None:
    """The old one revoked, a new one in the environment: what waited is paid, nothing is lost."""
    customer = await site.shop.customer()
    site.doors[STRIPE].take(bearer="sk_test_2")
    payments = await site.bought(customer, STRIPE, 20)
    await site.is_shown(STRIPE, "refusing_credentials")
    await site.worker.drain()
    # Who stops says nothing more of anybody.
    assert await site.state(STRIPE) == ("", "")
    rolled = platform.charge(
        "one", PAYMENTS_STRIPE_BASE_URL=site.doors[STRIPE].url, PAYMENTS_STRIPE_API_KEY="sk_test_2"
    )
    await rolled.start()
    try:
        await site.shop.settles(payments, within=_HEALED_WITHIN_S)
        await site.is_shown(STRIPE, "well")
    finally:
        await rolled.drain()
    await site.assert_nothing_burned(payments)
    await site.shop.assert_right(customer)


async def test_captures_voids_and_questions_wait_like_charges(site: Site) -> None:
    """Whatever was begun before the key was revoked ends as it would have, and is tried no less."""
    customer = await site.shop.customer()
    shop = site.shop
    captured, cancelled = [
        await shop.bought(customer, STRIPE, CaptureMethod.MANUAL) for _ in range(2)
    ]
    for payment in (captured, cancelled):
        await shop.becomes(payment, "authorized")
    shop.provider.arm("reset_after", vendor="stripe", operation="charge", times=1)
    doubted = await shop.bought(customer, STRIPE)
    await shop.becomes(doubted, "unknown")
    await site.close(STRIPE, REFUSED)
    await shop.did(CapturePayment(TENANT, captured.id, None))
    await shop.did(CancelPayment(TENANT, cancelled.id))
    await site.is_shown(STRIPE, "refusing_credentials")
    await site.doors[STRIPE].open()
    await shop.settles([captured, cancelled, doubted], within=_HEALED_WITHIN_S)
    statuses = [await shop.status(each) for each in (captured, cancelled, doubted)]
    assert statuses == ["completed", "cancelled", "completed"]
    query = "SELECT sum(retry_count) FROM payments WHERE source_account_id = $1"
    assert await shop.pool.fetchval(query, customer.id) == 0
    await shop.assert_right(customer)


async def test_refunds_wait_like_charges(site: Site, platform: Platform) -> None:
    """The refund stage has a word of its own about the provider, and its work waits unclaimed."""
    customer = await site.shop.customer()
    payments = await site.bought(customer, PAYPAL, 8)
    await site.shop.settles(payments)
    refunder = platform.refund("one", PAYMENTS_PAYPAL_BASE_URL=site.doors[PAYPAL].url)
    await refunder.start()
    try:
        await site.close(PAYPAL, REFUSED)
        refunds = [await site.shop.did(RefundPayment(TENANT, each.id, None)) for each in payments]
        await site.is_shown(PAYPAL, "refusing_credentials", "refund")
        await site.doors[PAYPAL].open()

        async def are_given_back() -> bool:
            rows = await site.shop.pool.fetch(
                "SELECT status, retry_count FROM refunds WHERE id = any($1)",
                [each.id for each in refunds if isinstance(each, Refund)],
            )
            found = [(row["status"], row["retry_count"]) for row in rows]
            assert found == [("completed", 0)] * len(payments), found
            return True

        await eventually(are_given_back, within=_HEALED_WITHIN_S)
    finally:
        await refunder.drain()
    await site.shop.assert_right(customer)


async def test_a_lane_that_overflows_holds_up_no_other(site: Site, platform: Platform) -> None:
    """More than a lane holds for a provider that lets nobody in: the other's payments complete."""
    customer = await site.shop.customer()
    await site.close(STRIPE, REFUSED)
    stuck = await site.bought(customer, STRIPE, _TOO_MANY)
    quick = await site.bought(customer, PAYPAL, 20)
    await site.shop.settles(quick, within=_HEALED_WITHIN_S)
    # All is acknowledged, though hardly anything was claimed: Postgres has it, and it is due.
    await eventually(Charges(platform.kafka).is_read, within=30.0)
    left = await site.worker.metric("payments_stage_events_left_total", lane="stripe/charge")
    assert left > _TOO_MANY / 2
    assert await site.attempts(stuck) < 100
    await site.doors[STRIPE].open()
    await site.is_shown(STRIPE, "well")
    # Two minutes later.
    await site.shop.pool.execute(
        "UPDATE payments SET due_at = now()"
        " WHERE due_at IS NOT NULL AND lease_id IS NULL AND source_account_id = $1",
        customer.id,
    )
    await site.shop.settles(stuck, within=_HEALED_WITHIN_S)
    await site.assert_nothing_burned([*stuck, *quick])
    await site.shop.assert_right(customer)


@pytest.mark.long
async def test_a_quota_of_hundreds_that_is_used_up_for_minutes_fails_nobody(site: Site) -> None:
    """Two minutes of nothing but 429 with the wish to come back in an hour: all complete after."""
    customer = await site.shop.customer()
    await site.close(STRIPE, Refusal(429, headers={"Retry-After": "3600"}))
    payments = await site.bought(customer, STRIPE, 600)
    await site.is_shown(STRIPE, "limited")
    await asyncio.sleep(120)
    assert await site.attempts(payments) < 250
    await site.doors[STRIPE].open()
    await site.shop.settles(payments, within=240.0)
    await site.assert_nothing_burned(payments)
    await site.shop.assert_right(customer)
