"""Relays over every sink, books to export, and a provider that an operator's shell leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.support.agents.notifications import Desk, desk_at_work
from tests.support.store.fixtures import books
from tests.support.topics.fixtures import destination, kafka, outbox, redis_streams, relays

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter

__all__ = ["books", "desk", "destination", "kafka", "outbox", "redis_streams", "relays"]


@pytest.fixture
async def desk(
    committer: GroupCommitter,
    pool: asyncpg.Pool[asyncpg.Record],
    database: DatabaseAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Desk]:
    """The command finds the test's database and simulator as an operator's shell leads it there."""
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name.upper()}", str(getattr(database, name)))
    async with (
        aiohttp.ClientSession() as session,
        desk_at_work(committer, pool, session, tmp_path, is_told=False) as opened,
    ):
        for vendor in ("STRIPE", "PAYPAL"):
            monkeypatch.setenv(f"PAYMENTS_{vendor}_BASE_URL", opened.provider_url)
        yield opened
