"""Migration 0028 on a real Postgres: two indexes that take up less, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from store.migrations import migrate_down, migrate_up, read_migrations

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

_TENANTS_INDEX: Final = (
    "SELECT indexrelid, pg_get_indexdef(indexrelid) LIKE '%(tenant_id, id)' FROM pg_index"
    " WHERE indexrelid = 'payments_by_tenant'::regclass AND indisvalid"
)
_FORGET_28: Final = "DELETE FROM schema_migrations WHERE version = 28"


async def test_an_index_is_packed_once_wherever_the_migration_broke_off(
    connection: Connection,
) -> None:
    """Where the first month was archived, too; run again it builds nothing anew."""
    known = read_migrations()
    await migrate_up(connection, known[:27])
    await connection.execute("ALTER TABLE attempts DETACH PARTITION attempts_first")
    await connection.execute("DROP TABLE attempts_first")
    await migrate_up(connection, known[:28])
    ((packed, is_ascending),) = await connection.fetch(_TENANTS_INDEX)
    assert is_ascending
    await connection.execute(_FORGET_28)
    await migrate_up(connection, known[:28])
    assert await connection.fetchval(_TENANTS_INDEX) == packed
    # Between the two names.
    await connection.execute(
        "ALTER INDEX payments_by_tenant RENAME TO payments_by_tenant_ascending"
    )
    await connection.execute(_FORGET_28)
    await migrate_up(connection, known[:28])
    assert await connection.fetchval(_TENANTS_INDEX) == packed
    await migrate_down(connection, known[:28])
    ((unpacked, is_ascending),) = await connection.fetch(_TENANTS_INDEX)
    assert not is_ascending
    await migrate_up(connection, known[:28])
    assert await connection.fetchval(_TENANTS_INDEX) not in {packed, unpacked}
