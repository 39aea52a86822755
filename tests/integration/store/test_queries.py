"""Every statement fits the migrated schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
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


# Who waits behind a letter is written by a statement of its own, in an UPDATE alone.
@pytest.mark.parametrize(
    ("table", "elsewhere"),
    [("payments", {"charge_blocked_by", "refund_blocked_by"}), ("refunds", set())],
)
async def test_a_new_row_is_recorded_whole(
    pool: asyncpg.Pool[asyncpg.Record], table: str, elsewhere: set[str]
) -> None:
    """A column that a migration adds and the statement forgets would stay NULL in silence."""
    rows = await pool.fetch(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    recorded = set(queries()[f"insert_{table}"].parameters)
    assert recorded == {row["attname"] for row in rows} - elsewhere
