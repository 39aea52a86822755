"""Answers of a provider that cannot be recorded now, for somebody holds the payers' account."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from payments.outcome import Operation
from tests.support.agents.calls import BOUND, calling, claimed
from tests.support.factories import SOURCE
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

    from payments.account import Account
    from providers.protected import Protected
    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop


@asynccontextmanager
async def locked(shop: Shop, account: Account) -> AsyncIterator[None]:
    """Somebody works on the account by hand."""
    async with shop.pool.acquire() as holder, holder.transaction():
        await holder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account.id)
        yield


async def test_what_cannot_be_recorded_takes_up_no_others_room(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """With as many such payments as calls may be made at once, another customer's is made."""
    held, other = await idle_shop.customer(), await idle_shop.customer()
    waiting = [await idle_shop.bought(held) for _ in range(BOUND)]
    payment = await idle_shop.bought(other)
    claims = [await claimed(idle_shop, each) for each in (*waiting, payment)]
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        async with locked(idle_shop, held):
            for claim in claims[:-1]:
                calls.start(claim, SOURCE)
            await eventually(lambda: all(idle_shop.charges(each) for each in waiting))
            async with in_time(30):
                assert await calls.room("stripe", Operation.CHARGE) > 0
            calls.start(claims[-1], SOURCE)
            await idle_shop.becomes(payment, "completed")
            assert {await idle_shop.status(each) for each in waiting} == {"processing"}
            in_flight = metrics.registry.get_sample_value
            assert in_flight("payments_stage_in_flight", {"stage": "charge"}) == BOUND
        await idle_shop.settles(waiting)
    assert {await idle_shop.status(each) for each in waiting} == {"completed"}
    assert in_flight("payments_stage_in_flight", {"stage": "charge"}) == 0
    await idle_shop.assert_right(held)
