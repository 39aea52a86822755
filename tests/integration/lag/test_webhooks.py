"""Webhooks that could be sent and are not are seen although no worker is there to say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from store.queries import query
from tests.support.agents.webhooks import Office

if TYPE_CHECKING:
    import asyncpg

    from payments.webhook_endpoint import WebhookEndpoint
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics


@pytest.fixture
def office(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> Office:
    return Office(pool, committer, metrics)


async def _waiting(office: Office) -> tuple[int, datetime | None]:
    """How many endpoints could be sent something, and since when."""
    rows = await office.pool.fetch(query("waiting_work"), office.now() + timedelta(seconds=1))
    (found,) = [row for row in rows if row["kind"] == "webhooks"]
    return found["count"], found["oldest_at"]


async def _put_off(office: Office, endpoint: WebhookEndpoint, number: int) -> None:
    """The endpoint did not take its delivery of that number: it is tried again in half an hour."""
    delivery = (await office.deliveries(endpoint))[number]
    await office.pool.execute(
        "UPDATE webhook_deliveries SET due_at = now() + interval '30 minutes' WHERE id = $1",
        delivery.id,
    )


async def test_what_could_be_sent_waits(office: Office) -> None:
    """One endpoint counts once, and since its first."""
    endpoint = await office.endpoint("https://shop.example/hook")
    assert await _waiting(office) == (0, None)
    await office.happens("payment.created", "payment.completed")
    await office.happens("payment.created")
    count, since = await _waiting(office)
    assert count == 1
    assert since == (await office.deliveries(endpoint))[0].due_at


async def test_what_comes_behind_another_of_its_payment_does_not_wait_for_us(
    office: Office,
) -> None:
    """It is the first one's time that counts, and that has not come."""
    endpoint = await office.endpoint("https://shop.example/hook")
    await office.happens("payment.created", "payment.completed")
    await _put_off(office, endpoint, 0)
    assert await _waiting(office) == (0, None)


async def test_an_endpoint_that_is_left_alone_does_not_wait_for_us(office: Office) -> None:
    """Nor does one that its owner has paused."""
    endpoint = await office.endpoint("https://shop.example/hook")
    await office.happens("payment.created")
    await office.pool.execute(
        "INSERT INTO webhook_endpoint_failures VALUES ($1, now(), 5, $2)",
        endpoint.id,
        datetime.now(UTC) + timedelta(minutes=5),
    )
    assert await _waiting(office) == (0, None)
