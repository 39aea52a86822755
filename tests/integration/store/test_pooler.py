"""Behind PgBouncer in transaction mode: a transaction has what a session of ours has."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from store.pool import BATCH_LOCK_TIMEOUT, REFUSED, connect, connect_single
from tests.support.fixtures.pgbouncer import Pooler, pooler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from process.addresses import DatabaseAddress

_LIMITS = (
    "application_name",
    "timezone",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "enable_seqscan",
    "synchronous_commit",
)


@pytest.fixture
async def before(database: DatabaseAddress) -> AsyncIterator[Pooler]:
    async with pooler(database) as opened:
        yield opened


async def test_every_statement_has_its_limits_whoever_had_the_session_before(
    database: DatabaseAddress, before: Pooler
) -> None:
    """Two pools with other limits share its few sessions, and so does whoever sets none."""
    address = before.before(database)
    expected = ["tests", "UTC", "15s", "5s", "10s", "off", "on"]
    async with (
        await connect(address, application_name="tests", size=6) as one,
        await connect(
            address, application_name="others", size=6, lock_timeout=BATCH_LOCK_TIMEOUT
        ) as two,
    ):

        async def found(pool: asyncpg.Pool[asyncpg.Record], *, alone: bool) -> list[str]:
            asked = "SELECT current_setting(name) FROM unnest($1::text[]) AS name"
            async with pool.acquire() as connection:
                if alone:
                    return [row[0] for row in await connection.fetch(asked, _LIMITS)]
                async with connection.transaction():
                    return [row[0] for row in await connection.fetch(asked, _LIMITS)]

        for alone in (True, False):
            mine, theirs = await asyncio.gather(
                asyncio.gather(*(found(one, alone=alone) for _ in range(30))),
                asyncio.gather(*(found(two, alone=alone) for _ in range(30))),
            )
            assert mine == [expected] * 30
            assert theirs == [["others", "UTC", "15s", "250ms", *expected[4:]]] * 30


async def test_a_statement_alone_is_committed_or_not_at_all(
    database: DatabaseAddress, before: Pooler
) -> None:
    """As without a pooler; and what no transaction may hold runs in none."""
    async with await connect(before.before(database), application_name="tests", size=2) as pool:
        await pool.execute("CREATE TABLE kept (id int)")
        await pool.execute("INSERT INTO kept VALUES ($1)", 1)
        await pool.executemany("INSERT INTO kept VALUES ($1)", [(2,), (3,)])
        with pytest.raises(asyncpg.DivisionByZeroError):
            await pool.fetchval("INSERT INTO kept VALUES ($1) RETURNING id / 0", 4)
        await pool.execute("CREATE INDEX CONCURRENTLY kept_by_id ON kept (id)")
    direct = await connect_single(database, application_name="tests")
    assert [row["id"] for row in await direct.fetch("SELECT id FROM kept")] == [1, 2, 3]
    await direct.close()


@pytest.mark.parametrize(
    "ignored",
    [
        "",
        f"ignore_startup_parameters = {', '.join(_LIMITS[2:6])}",
    ],
)
async def test_a_pooler_that_nobody_told_of_is_refused(
    database: DatabaseAddress, ignored: str
) -> None:
    """It would wait for ever for one that refuses limits, or work without any."""
    async with pooler(database, ignored) as unknown:
        address = replace(unknown.before(database), is_pooler=False)
        with pytest.raises(REFUSED, match="a pooler stands before the server"):
            await connect(address, application_name="tests", size=1)


async def test_who_needs_a_session_is_refused_by_a_pooler(
    database: DatabaseAddress, before: Pooler
) -> None:
    """Migrations hold a lock from one transaction to the next."""
    with pytest.raises(REFUSED, match="a pooler stands before the server"):
        await connect_single(before.before(database), application_name="payments migrate")
