"""The stage as an operator runs it, behind a real broker and a relay: killed under traffic."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.agents.stream import unread
from tests.support.agents.webhooks import KEY, Office, street
from tests.support.waiting import eventually
from topics.names import by_command

if TYPE_CHECKING:
    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.processes import Platform

# Loopback is where the test's endpoint is.
SETTINGS = {"PAYMENTS_WEBHOOK_KEY": KEY, "PAYMENTS_WEBHOOK_NETWORKS": "127.0.0.0/8"}


async def test_what_nobody_wants_is_passed_over_until_somebody_wants_it(
    platform: Platform, shop: Shop, metrics: Metrics
) -> None:
    """The group reads all of it; of what happens once there is an endpoint nothing is missing."""
    await shop.pool.execute("UPDATE webhook_endpoints SET state = 'deleted'")
    worker = platform.process("passing", "agents", "deliver", "--member", "one", **SETTINGS)
    customer = await shop.customer()
    await shop.bought_many(customer, 100)
    await worker.start()

    async def has_passed_over() -> bool:
        skipped = await worker.metric("payments_stage_skipped_total", reason="unwanted")
        left = await unread(platform.kafka, by_command()["deliver"])
        assert (skipped > 0, left) == (True, 0), f"{skipped:.0f} skipped, {left} unread"
        return True

    await eventually(has_passed_over, within=60)
    async with street() as shops:
        front = shops.shop()
        await Office(shop.pool, shop.committer, metrics).endpoint(front.url)
        bought = [str(each.id) for each in await shop.bought_many(customer, 50)]
        created = "payment.created"

        async def all_have_come() -> bool:
            events = [each.event for each in front.received]
            came = [str(each["data"]) for each in events if each["type"] == created]
            missing = [each for each in bought if not any(each in data for data in came)]
            assert not missing, f"{len(missing)} of {len(bought)}"
            assert len(came) == len(bought), "some of them happened before"
            return True

        await eventually(all_have_come, within=60)
        assert await worker.drain() == 0


@pytest.mark.parametrize(
    ("kills", "payments"), [(3, 20), pytest.param(50, 10, marks=pytest.mark.long)]
)
async def test_no_delivery_is_lost_though_the_stage_is_killed(
    platform: Platform, shop: Shop, metrics: Metrics, kills: int, payments: int
) -> None:
    """Every event of every payment comes, in its order, under its id, whenever it is killed."""
    worker = platform.process("deliver", "agents", "deliver", "--member", "one", **SETTINGS)
    async with street() as shops:
        front = shops.shop()
        await worker.start()
        office = Office(shop.pool, shop.committer, metrics)
        endpoint = await office.endpoint(front.url)
        customer, chance = await shop.customer(), random.Random(1)
        bought = []
        for _ in range(kills):
            bought += await shop.bought_many(customer, payments)
            seen = len(front.received)
            await eventually(lambda: len(front.received) > seen, within=60)  # noqa: B023 - awaited here
            # Anywhere in what it does: nobody waits for anything here.
            await asyncio.sleep(chance.random() * 0.05)
            await worker.kill()
            bought += await shop.bought_many(customer, payments)
            await worker.start()
        ids = [each.id for each in bought]
        public = "SELECT id, payment_id FROM payment_events WHERE payment_id = any($1::uuid[])"

        async def all_have_come() -> bool:
            rows = await shop.pool.fetch(f"{public} AND sequence IS NOT NULL", ids)
            missing = {str(row["id"]) for row in rows} - set(front.ids())
            assert not missing, f"{len(missing)} of {len(rows)}"
            return True

        await eventually(all_have_come, within=120)

        async def all_are_told() -> bool:
            return set(await office.states(endpoint)) == {"delivered"}

        # What was answered and not recorded is sent again when its lease runs out.
        await eventually(all_are_told, within=90)
        assert await worker.drain() == 0
    for payment_id in map(str, ids):
        first = dict.fromkeys(
            each.event["type"] for each in front.received if payment_id in str(each.event["data"])
        )
        assert next(iter(first)) == "payment.created"
