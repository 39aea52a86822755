"""Migration 0028 on a real Postgres: two indexes that take up less, once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from store.migrations import migrate_down, migrate_up, read_migrations
from store.pool import connect_single
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from process.addresses import DatabaseAddress

    Connection = asyncpg.Connection[asyncpg.Record]

_TENANTS_INDEX: Final = (
    "SELECT indexrelid, pg_get_indexdef(indexrelid) LIKE '%(tenant_id, id)' FROM pg_index"
    " WHERE indexrelid = 'payments_by_tenant'::regclass AND indisvalid"
)
_PRIMARY: Final = (
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE conrelid = 'attempts_first'::regclass AND contype = 'p'"
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


async def test_payments_are_made_while_the_index_is_unpacked(
    connection: Connection, empty_database: DatabaseAddress
) -> None:
    """A transaction that goes on holds the way back up, and nobody else; cut off, it goes on."""
    known = read_migrations()[:28]
    await migrate_up(connection, known)
    migrating = await connect_single(empty_database, application_name="migrating")
    writer = await connect_single(empty_database, application_name="writer")
    writes = "UPDATE payments SET version = version"
    async with asyncio.TaskGroup() as tasks, writer.transaction():
        await writer.execute(writes)
        unpacked = tasks.create_task(migrate_down(migrating, known))
        await eventually(lambda: _waits_for_a_lock(connection, "migrating"))
        await connection.execute("SET lock_timeout = '1s'")
        await connection.execute(writes)
    assert unpacked.result() == known[-1]
    ((_, is_ascending),) = await connection.fetch(_TENANTS_INDEX)
    assert not is_ascending
    assert await connection.fetchval(_PRIMARY) == "PRIMARY KEY (id)"
    # What a build that broke off has left is built anew.
    await migrate_up(connection, known)
    async with writer.transaction():
        await writer.execute(writes)
        await connection.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await connection.execute(
                "CREATE INDEX CONCURRENTLY payments_by_tenant_descending"
                " ON payments (tenant_id, id DESC)"
            )
    await migrate_down(connection, known)
    ((_, is_ascending),) = await connection.fetch(_TENANTS_INDEX)
    assert not is_ascending
    assert await connection.fetchval(_PRIMARY) == "PRIMARY KEY (id)"
    for each in (migrating, writer):
        await each.close()


async def _waits_for_a_lock(connection: Connection, name: str) -> bool:
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = $1 AND wait_event_type = 'Lock'"
    )
    return bool(await connection.fetchval(asked, name))
