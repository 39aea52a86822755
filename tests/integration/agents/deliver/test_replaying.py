"""Replays of several tenants: each has its turn, however much another asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from store.write import webhook_deliveries
from store.write.webhook_deliveries import replay_webhook_deliveries
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.agents.webhooks import Office, Street

CREATED: Final = "payment.created"
# How many events of each tenant are replayed, in the order in which they ask for it.
_EVENTS: Final = {"big": 9, "other": 3, "small": 1}


@pytest.fixture
async def asked(office: Office, shops: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has asked for all of its own, of which two are replayed at a time."""
    monkeypatch.setattr(webhook_deliveries, "_PART_MAX", 2)
    for tenant_id, events in _EVENTS.items():
        endpoint = await office.endpoint(shops.shop().url, tenant_id=tenant_id)
        for _ in range(events):
            await office.happens(CREATED, tenant_id=tenant_id)
        await office.replay(endpoint)


@pytest.mark.usefixtures("asked")
async def test_tenants_take_turns_part_by_part(office: Office) -> None:
    """Until what each has asked for is done."""
    turns, last = [], ""
    while (turn := await replay_webhook_deliveries(office.pool, office.now(), last)) is not None:
        turns.append(turn)
        last = turn
    assert turns == ["big", "other", "small", "big", "other", "big", "big", "big"]


@pytest.mark.usefixtures("asked")
async def test_a_worker_is_done_first_with_who_asked_for_the_least(office: Office) -> None:
    """It knows whose turn was last."""
    done = "SELECT tenant_id FROM webhook_replays WHERE done_at IS NOT NULL ORDER BY done_at"

    async def done_of() -> list[str]:
        return [row["tenant_id"] for row in await office.pool.fetch(done)]

    async def are_all_done() -> bool:
        return len(await done_of()) == len(_EVENTS)

    async with office.worker().sending():
        await eventually(are_all_done)
    assert await done_of() == ["small", "other", "big"]
