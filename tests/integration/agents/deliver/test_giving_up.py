"""Endpoints that are given up: at their own word, or since they have taken nothing for days."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from aiohttp import web

from payments.webhook_endpoint import EndpointState
from store.write.webhook_deliveries import claim_webhook_deliveries
from tests.support.agents.webhooks import wanted
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from payments.webhook_endpoint import WebhookEndpoint
    from store.write.group_commit import GroupCommitter
    from tests.support.agents.webhooks import Office, Street

CREATED = "payment.created"
# Against one that would never stop.
_STOPPED_WITHIN_S: Final = 30.0


@asynccontextmanager
async def locked(office: Office, endpoint: WebhookEndpoint) -> AsyncIterator[None]:
    """Somebody else's transaction, with the endpoint's row as a command locks it."""
    async with office.pool.acquire() as holder, holder.transaction():
        await holder.execute(
            "SELECT FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE", endpoint.id
        )
        yield


async def test_gone_ends_the_subscription(office: Office, shops: Street) -> None:
    """410: the endpoint is disabled, says why, and what waited for it is given up."""
    shop = shops.shop()
    shop.answers = [web.Response(status=410) for _ in range(2)]
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    await office.happens(CREATED)
    async with office.worker().sending():
        await office.become(endpoint, "failed", "failed")
        known = (await office.known(endpoint)).endpoint
        assert known.state is EndpointState.DISABLED
        assert "410" in str(known.disabled_reason)
        await office.happens(CREATED)
        assert len(await office.deliveries(endpoint)) == 2

        def is_told() -> bool:
            labels = {"state": "disabled"}
            return (
                office.metrics.registry.get_sample_value("payments_webhook_endpoints", labels) == 1
            )

        await eventually(is_told)


async def test_an_endpoint_that_somebody_has_locked_holds_up_nobodys_record(
    office: Office, shops: Street, brisk_committer: GroupCommitter
) -> None:
    """What others took is recorded meanwhile; it is disabled when it is let go."""
    office.committer = brisk_committer
    gone, well = shops.shop(), shops.shop()
    gone.answers = [web.Response(status=410)]
    endpoint = await office.endpoint(gone.url)
    other = await office.endpoint(well.url, tenant_id="other")
    async with office.worker().sending():
        async with locked(office, endpoint):
            await office.happens(CREATED)
            await office.become(endpoint, "failed")
            await office.happens(CREATED, tenant_id="other")
            await office.become(other, "delivered")

        async def is_disabled() -> bool:
            return (await office.known(endpoint)).endpoint.state is EndpointState.DISABLED

        await eventually(is_disabled)


async def test_stopped_it_waits_for_no_endpoint_that_somebody_has_locked(
    office: Office, shops: Street, brisk_committer: GroupCommitter
) -> None:
    """What its try came to is recorded, and whoever tries it next gives it up."""
    office.committer = brisk_committer
    shop = shops.shop()
    shop.answers = [web.Response(status=410)]
    endpoint = await office.endpoint(shop.url)
    async with locked(office, endpoint), in_time(_STOPPED_WITHIN_S), office.worker().sending():
        await office.happens(CREATED)
        await office.become(endpoint, "failed")


async def test_an_endpoint_that_takes_nothing_for_days_is_disabled(
    office: Office, shops: Street
) -> None:
    """And is left alone more and more until then; enabled again it gets what failed by a replay."""
    shop = shops.shop()
    shop.refuses = lambda _: True
    endpoint = await office.endpoint(shop.url)
    for _ in range(6):
        await office.happens(CREATED)
    async with office.worker().sending():
        await office.tried(endpoint, 1, place=2)
        known = await office.known(endpoint)
        assert known.failure_count >= 3
        assert known.retry_at is not None
        # The others do not each find out.
        before = known.retry_at - timedelta(milliseconds=1)
        assert await claim_webhook_deliveries(office.pool, wanted(before), before) == []
        office.later(days=5.1)

        async def is_disabled() -> bool:
            return (await office.known(endpoint)).endpoint.state is EndpointState.DISABLED

        await eventually(is_disabled)
        # One that was tried a moment before is given up when it would be due again.
        office.later(days=1.2)
        await office.become(endpoint, *["failed"] * 6)
        shop.refuses = lambda _: False
        await office.set_state(endpoint, EndpointState.ENABLED)
        await office.replay(endpoint, failed_only=True)
        await office.become(endpoint, *["delivered"] * 6)
