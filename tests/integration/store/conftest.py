"""A connection to a database that has nothing yet, for those who migrate it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from store.pool import connect_single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from process.addresses import DatabaseAddress


@pytest.fixture
async def connection(
    empty_database: DatabaseAddress,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    opened = await connect_single(empty_database, application_name="payments migrate")
    yield opened
    await opened.close()
