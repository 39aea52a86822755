"""A network that swallows everything for a while: what waits for it goes on when it is back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from api.handling.reads import reading
from api.http.problems import Problem
from api.idempotency.known_database import KnownDatabase
from store.pool import connect
from tests.support.front import front_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from process.addresses import DatabaseAddress


async def test_a_lookup_that_was_swallowed_keeps_no_connection(database: DatabaseAddress) -> None:
    """The one connection there is: it is let go, and another one asks."""
    async with front_of(database.host, database.port) as front:
        address = replace(database, host="127.0.0.1", port=front.port)
        async with (
            await connect(address, application_name="tests", size=1) as pool,
            KnownDatabase(pool).running() as known,
        ):
            assert known.identity is not None
            front.go_dark()
            await eventually(lambda: known.identity is None)
            front.come_back()
            await eventually(lambda: known.identity is not None, within=12)


async def test_a_read_that_was_swallowed_keeps_no_connection(database: DatabaseAddress) -> None:
    """Whoever asked is told, and the next one is answered."""
    async with front_of(database.host, database.port) as front:
        address = replace(database, host="127.0.0.1", port=front.port)
        async with await connect(address, application_name="tests", size=1) as pool:
            front.go_dark()
            with pytest.raises(Problem):
                # Against a driver that does not let go before the server has answered.
                async with asyncio.timeout(10), reading(pool, within_s=0.5) as connection:
                    await connection.fetchval("SELECT 1")
            front.come_back()

            async def is_read() -> bool:
                try:
                    async with reading(pool) as connection:
                        return bool(await connection.fetchval("SELECT 1") == 1)
                except Problem:
                    return False

            await eventually(is_read, within=12)
