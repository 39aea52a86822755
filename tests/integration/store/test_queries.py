"""Every statement fits the migrated schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncpg import PostgresError

from store.queries import queries, query

if TYPE_CHECKING:
    import asyncpg


async def test_every_statement_prepares_against_the_migrated_schema(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """A column renamed in a migration and forgotten in a statement is found here."""
    broken = {}
    async with pool.acquire() as connection:
        for name in queries():
            try:
                await connection.prepare(query(name))
            except PostgresError as error:
                broken[name] = str(error)
    assert broken == {}
