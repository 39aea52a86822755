"""Who sends, on the test's own database, and whom it sends to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.agents.webhooks import Office, Street, street

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics


@pytest.fixture
def office(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> Office:
    """On the test's own database."""
    return Office(pool, committer, metrics)


@pytest.fixture
async def shops() -> AsyncIterator[Street]:
    """Endpoints to answer."""
    async with street() as opened:
        yield opened
