"""The migration runner on a real Postgres: order, atomicity, refusal and the way back."""

import asyncio
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from bench.grown import copy_payments
from process.addresses import DatabaseAddress
from store.migrations import (
    MigrationError,
    history,
    migrate_down,
    migrate_up,
    newest_applied,
    pending,
    read_migrations,
)
from store.pool import connect_single
from store.queries import query
from tests.support.waiting import eventually

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two migrations: a table, then a column of it."""
    write(tmp_path, "0001_ledger", "CREATE TABLE ledger (id int)", "DROP TABLE ledger")
    write(
        tmp_path,
        "0002_amount",
        "ALTER TABLE ledger ADD COLUMN amount int",
        "ALTER TABLE ledger DROP COLUMN amount",
    )
    return tmp_path


def write(directory: Path, label: str, up: str, down: str) -> None:
    (directory / f"{label}.up.sql").write_text(up)
    (directory / f"{label}.down.sql").write_text(down)


async def columns(connection: Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'ledger'"
    )
    return {row["column_name"] for row in rows}


async def test_files_apply_in_order_and_only_once(connection: Connection, files: Path) -> None:
    """A second run finds nothing to do."""
    known = read_migrations(files)
    assert [step.label for step in await pending(connection, known)] == [
        "0001_ledger",
        "0002_amount",
    ]
    assert [step.version for step in await migrate_up(connection, known)] == [1, 2]
    assert await columns(connection) == {"id", "amount"}
    assert await migrate_up(connection, known) == []
    assert await pending(connection, known) == []


async def test_a_failing_migration_leaves_nothing_behind(
    connection: Connection, files: Path
) -> None:
    """What came before it stays; the half of it that worked does not."""
    write(files, "0003_broken", "CREATE TABLE half (id int); SELECT 1 / 0", "SELECT 1")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate_up(connection, read_migrations(files))
    assert set(await history(connection)) == {1, 2}
    assert await connection.fetchval("SELECT to_regclass('half')") is None


async def test_a_changed_file_is_refused(connection: Connection, files: Path) -> None:
    """History is not rewritten under a database that has already lived it."""
    await migrate_up(connection, read_migrations(files))
    write(files, "0001_ledger", "CREATE TABLE ledger (id bigint)", "DROP TABLE ledger")
    with pytest.raises(MigrationError, match=r"0001_ledger\.up\.sql changed"):
        await migrate_up(connection, read_migrations(files))


async def test_a_database_from_a_newer_release_is_refused(
    connection: Connection, files: Path
) -> None:
    """An older release neither migrates nor rolls back what it does not know, but may serve."""
    known = read_migrations(files)
    await migrate_up(connection, known)
    with pytest.raises(MigrationError, match="0002_amount, which this release does not know"):
        await migrate_up(connection, known[:1])
    assert await pending(connection, known[:1]) == []


async def test_down_takes_back_one_at_a_time(connection: Connection, files: Path) -> None:
    """Until there is nothing left to take back."""
    known = read_migrations(files)
    await migrate_up(connection, known)
    newest = await migrate_down(connection, known)
    assert newest is not None
    assert newest.label == "0002_amount"
    assert await columns(connection) == {"id"}
    await migrate_down(connection, known)
    assert await columns(connection) == set()
    assert await migrate_down(connection, known) is None


async def test_down_takes_back_what_was_meant_or_nothing(
    connection: Connection, files: Path
) -> None:
    """Two that confirm the same one do not take back two."""
    known = read_migrations(files)
    await migrate_up(connection, known)
    meant = await newest_applied(connection, known)
    await migrate_down(connection, known, meant=meant)
    with pytest.raises(MigrationError, match="the newest is 0001_ledger now"):
        await migrate_down(connection, known, meant=meant)
    assert await columns(connection) == {"id"}


async def test_processes_that_start_together_migrate_once(
    empty_database: DatabaseAddress, files: Path
) -> None:
    """Each migration is applied by exactly one of them, and all of them succeed."""
    write(files, "0003_index", ONLINE, "DROP INDEX ledger_by_amount")
    known = read_migrations(files)
    connections = [
        await connect_single(empty_database, application_name="payments migrate") for _ in range(6)
    ]
    done = await asyncio.gather(*(migrate_up(each, known) for each in connections))
    assert sorted(step.version for steps in done for step in steps) == [1, 2, 3]
    for each in connections:
        await each.close()


async def test_a_migration_gives_up_on_a_lock_rather_than_block_clients(
    empty_database: DatabaseAddress, connection: Connection, files: Path
) -> None:
    """A table somebody holds makes it fail and say who it may be; a later run succeeds."""
    known = read_migrations(files)
    await migrate_up(connection, known[:1])
    holder = await connect_single(empty_database, application_name="nightly dump")
    async with holder.transaction():
        await holder.execute("LOCK TABLE ledger IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match=r"a lock it needs .*nightly dump"):
            await migrate_up(connection, known, tries=1)
        with pytest.raises(MigrationError, match="nightly dump"):
            await migrate_down(connection, known, tries=1)
    await holder.close()
    assert [step.version for step in await migrate_up(connection, known)] == [2]


async def test_a_migration_outwaits_who_is_done_soon(
    empty_database: DatabaseAddress, connection: Connection, files: Path
) -> None:
    """It lets go of the queue at the lock now and then, and has it when the other has ended."""
    known = read_migrations(files)
    await migrate_up(connection, known[:1])
    holder = await connect_single(empty_database, application_name="nightly dump")
    migrating = await connect_single(empty_database, application_name="migrating")
    async with asyncio.TaskGroup() as tasks, holder.transaction():
        await holder.execute("LOCK TABLE ledger IN ACCESS SHARE MODE")
        applied = tasks.create_task(migrate_up(migrating, known))
        await eventually(lambda: _gave_up(connection))
    assert [step.version for step in applied.result()] == [2]
    for each in (holder, migrating):
        await each.close()


async def _gave_up(connection: Connection) -> bool:
    """Whether it was refused once, and so has rolled back."""
    state = await connection.fetchval(
        "SELECT query FROM pg_stat_activity WHERE application_name = 'migrating'"
    )
    return str(state).startswith("ROLLBACK")


ONLINE = """-- Online: an index.
DROP INDEX CONCURRENTLY IF EXISTS ledger_by_amount;
SET lock_timeout = 0;
-- It waits for whoever writes.
CREATE INDEX CONCURRENTLY ledger_by_amount ON ledger (amount);
"""


async def _is_indexed(connection: Connection) -> bool | None:
    """Whether the index is good; None without one."""
    valid: bool | None = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ledger_by_amount')"
    )
    return valid


async def _waits(connection: Connection, name: str) -> bool:
    waiting = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
        " AND wait_event_type = 'Lock' AND query LIKE '%CREATE INDEX%'",
        name,
    )
    return bool(waiting)


async def test_an_online_migration_holds_up_nobody_who_writes(
    empty_database: DatabaseAddress, connection: Connection, files: Path
) -> None:
    """It waits for a transaction that writes, and whoever comes meanwhile writes at once."""
    await migrate_up(connection, read_migrations(files))
    write(files, "0003_index", ONLINE, "DROP INDEX ledger_by_amount")
    known = read_migrations(files)
    migrating = await connect_single(empty_database, application_name="migrating")
    writer = await connect_single(empty_database, application_name="writer")
    async with asyncio.TaskGroup() as tasks, writer.transaction():
        await writer.execute("INSERT INTO ledger VALUES (1, 1)")
        applied = tasks.create_task(migrate_up(migrating, known))
        await eventually(lambda: _waits(connection, "migrating"))
        await connection.execute("SET lock_timeout = '100ms'")
        await connection.execute("INSERT INTO ledger VALUES (2, 2)")
    assert [step.label for step in applied.result()] == ["0003_index"]
    assert await _is_indexed(connection)
    assert await migrating.fetchval("SHOW lock_timeout") == "0"
    await migrate_down(migrating, known)
    assert await _is_indexed(connection) is None
    for each in (migrating, writer):
        await each.close()


async def test_an_online_migration_that_broke_off_is_run_again(
    empty_database: DatabaseAddress, connection: Connection, files: Path
) -> None:
    """What it left behind is cleared away, and only a whole run is written down."""
    await migrate_up(connection, read_migrations(files))
    write(files, "0003_index", ONLINE, "DROP INDEX ledger_by_amount")
    known = read_migrations(files)
    migrating = await connect_single(empty_database, application_name="migrating")
    writer = await connect_single(empty_database, application_name="writer")
    async with writer.transaction():
        await writer.execute("INSERT INTO ledger VALUES (1, 1)")
        broken = asyncio.create_task(migrate_up(migrating, known))
        await eventually(lambda: _waits(connection, "migrating"))
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'migrating'"
        )
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await broken
    await writer.close()
    assert (await _is_indexed(connection), set(await history(connection))) == (False, {1, 2})
    await migrate_up(connection, known)
    assert (await _is_indexed(connection), set(await history(connection))) == (True, {1, 2, 3})


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0001_a.up.sql"], "0001_a needs"),
        (["0002_a.up.sql", "0002_a.down.sql"], "0002_a needs number 0001"),
        (["0001_a.up.sql", "0001_a.down.sql", "0001_b.up.sql", "0001_b.down.sql"], "0001_b needs"),
        (["1_a.sql"], "1_a.sql is not named"),
    ],
)
def test_files_must_pair_and_count_up(tmp_path: Path, names: list[str], complaint: str) -> None:
    """A gap, a twin or a missing way back is found before anything is applied."""
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(MigrationError, match=complaint):
        read_migrations(tmp_path)


async def test_our_own_migrations_go_forward_and_all_the_way_back(
    connection: Connection,
) -> None:
    """The committed files leave an empty database as they found it."""
    known = read_migrations()
    await migrate_up(connection, known)
    for _ in known:
        await migrate_down(connection, known)
    left = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relname NOT LIKE 'schema_migrations%'"
    )
    assert left == []
    assert [step.label for step in await migrate_up(connection, known)] == [
        step.label for step in known
    ]


async def test_an_authorization_from_before_they_ended_gets_a_week(connection: Connection) -> None:
    """Nobody's money is given back the moment we migrate; on the way back it is held again."""
    known = read_migrations()
    await migrate_up(connection, known[:5])
    await connection.execute(
        """
        INSERT INTO payments (
            id, tenant_id, payment_type, source_account_id, amount_minor, currency,
            capture_method, status, metadata, max_retries, version, sequence, created_at, updated_at
        ) VALUES (
            gen_random_uuid(), 'default', 'external_payment', gen_random_uuid(), 1, 'USD',
            'manual', 'authorized', '{}', 4, 1, 1, now() - interval '1 month', now()
        )
        """
    )
    await migrate_up(connection, known[:6])
    left = "SELECT round(extract(epoch FROM due_at - now()) / 86400) FROM payments"
    assert await connection.fetchval(left) == 7
    await migrate_down(connection, known[:6])
    assert await connection.fetchval("SELECT due_at FROM payments") is None
    await migrate_up(connection, known[:6])


async def test_a_letter_that_waited_can_be_redriven_by_the_release_before(
    connection: Connection,
) -> None:
    """That one knows no such reason: on the way back it becomes one that it knows."""
    known = read_migrations()
    await migrate_up(connection, known[:7])
    await connection.execute(
        """
        INSERT INTO dead_letters (
            id, tenant_id, stage, reason, error, topic, message_partition, message_offset,
            message_headers, attempts, state, first_failed_at, last_failed_at, version,
            queued_for, waits_behind
        ) VALUES (
            gen_random_uuid(), 'default', 'charge', 'waits_behind', 'no', 'payments.charges', 0, 1,
            '{}', 1, 'parked', now(), now(), 1, gen_random_uuid(), gen_random_uuid()
        )
        """
    )
    await migrate_down(connection, known[:7])
    assert await connection.fetchval("SELECT reason FROM dead_letters") == "handler_error"


async def test_what_was_asked_before_we_kept_it_is_found_in_the_attempts(
    connection: Connection,
) -> None:
    """As of the first that a provider may know of; one that was turned away at the door is none."""
    known = read_migrations()
    await migrate_up(connection, known[:7])
    await connection.execute(
        """
        INSERT INTO payments (
            id, tenant_id, payment_type, source_account_id, amount_minor, currency,
            capture_method, status, metadata, max_retries, version, sequence, created_at,
            updated_at, operation, due_at, attempt_count
        )
        SELECT
            id, 'default', 'external_payment', gen_random_uuid(), 1, 'USD', 'automatic', status,
            '{}', 4, 1, 1, '2026-01-01', now(), operation, due_at, 2
        FROM (VALUES
            ('00000000-0000-0000-0000-000000000001'::uuid, 'unknown', 'charge', now()),
            ('00000000-0000-0000-0000-000000000002'::uuid, 'processing', 'charge', now()),
            ('00000000-0000-0000-0000-000000000003'::uuid, 'failed', NULL, NULL)
        ) AS made (id, status, operation, due_at);
        INSERT INTO attempts (
            id, tenant_id, payment_id, number, operation, inquiry, provider, provider_key, worker,
            lease_expires_at, started_at, outcome, error_code
        )
        SELECT
            gen_random_uuid(), 'default', payments.id, number, 'charge', FALSE, 'stripe', 'key',
            'worker', now(), '2026-01-01'::date + number,
            CASE WHEN number = 1 OR status = 'processing' THEN 'retriable' ELSE 'unknown' END,
            CASE WHEN number = 1 OR status = 'processing' THEN 'unauthorized' END
        FROM payments, generate_series(1, 2) AS number
        """
    )
    await migrate_up(connection, known)
    rows = await connection.fetch(
        "SELECT status, asked_operation, first_asked_at::date - '2026-01-01'::date AS asked_on"
        " FROM payments ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        ("unknown", "charge", 2),
        ("processing", "charge", None),
        ("failed", "charge", 2),
    ]


# As the release before 0027 says it.
_WRITE_BEFORE_CLI = """
INSERT INTO audit_log (
    id, tenant_id, actor, via, action, target, reason, asked, outcome, request_id, recorded_at
) VALUES (gen_random_uuid(), 'acme', 'ada', $1, 'x', 'x', NULL, '{}', 'done', 'r', now())
"""
_LIST_BEFORE_CLI = """
SELECT via FROM audit_log
WHERE tenant_id = $1 AND id < 'ffffffff-ffff-ffff-ffff-ffffffffffff'
ORDER BY id DESC LIMIT 20
"""
_WRITE_CLI = """
INSERT INTO audit_log (
    id, tenant_id, about_tenant_id, actor, via, action, target, asked, outcome, request_id,
    recorded_at
) VALUES (gen_random_uuid(), $1, $2, 'ann', $3, 'x', 'x', '{}', 'done', 'r', now())
"""


async def test_the_release_before_writes_and_lists_the_audit_log_beside_the_command_line(
    connection: Connection,
) -> None:
    """What it would not understand is nowhere where it looks, on the way there and back."""
    known = read_migrations()
    await migrate_up(connection, known[:26])
    await connection.execute(_WRITE_BEFORE_CLI, "api")
    await migrate_up(connection, known[:27])
    await connection.execute(_WRITE_BEFORE_CLI, "console")
    await connection.execute(_WRITE_CLI, "", "acme", "cli")
    await connection.execute(_WRITE_CLI, "", None, "cli")
    for wrong in (("acme", None, "cli"), ("acme", "acme", "api"), ("", None, "post")):
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(_WRITE_CLI, *wrong)
    listed = [row["via"] for row in await connection.fetch(_LIST_BEFORE_CLI, "acme")]
    assert sorted(listed) == ["api", "console"]
    await migrate_down(connection, known[:27])
    await connection.execute(_WRITE_BEFORE_CLI, "api")
    listed = [row["via"] for row in await connection.fetch(_LIST_BEFORE_CLI, "acme")]
    assert sorted(listed) == ["api", "api", "console"]
    await migrate_up(connection, known[:27])
    about = "SELECT about_tenant_id FROM audit_log WHERE via = 'cli' ORDER BY 1"
    assert [row[0] for row in await connection.fetch(about)] == ["acme", None]


async def test_the_audit_log_is_written_to_while_it_learns_of_the_command_line(
    connection: Connection, empty_database: DatabaseAddress
) -> None:
    """A transaction that has written to it and goes on holds the migration up, and nobody else."""
    known = read_migrations()
    await migrate_up(connection, known[:26])
    migrating = await connect_single(empty_database, application_name="migrating")
    writer = await connect_single(empty_database, application_name="writer")
    async with asyncio.TaskGroup() as tasks, writer.transaction():
        await writer.execute(_WRITE_BEFORE_CLI, "api")
        applied = tasks.create_task(migrate_up(migrating, known[:27]))
        await eventually(lambda: _waits_for_a_lock(connection, "migrating"))
        await connection.execute("SET lock_timeout = '20s'")
        await connection.execute(_WRITE_BEFORE_CLI, "api")
    assert [step.version for step in applied.result()] == [27]
    for each in (migrating, writer):
        await each.close()


async def _waits_for_a_lock(connection: Connection, name: str) -> bool:
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = $1 AND wait_event_type = 'Lock'"
    )
    return bool(await connection.fetchval(asked, name))


async def test_what_is_open_is_taken_in_while_payments_are_made_and_changed(
    connection: Connection, empty_database: DatabaseAddress
) -> None:
    """From a database with many payments, under load: none is missed, and none is stale."""
    known = read_migrations()
    await migrate_up(connection, known[:14])
    await copy_payments(connection, 20_000, rare_every=10)
    stopping = asyncio.Event()
    changing = asyncio.create_task(_changed(empty_database, stopping))
    await migrate_up(connection, known)
    stopping.set()
    assert await changing > 0
    assert await connection.fetch(query("verify_open")) == []
    assert await connection.fetchval("SELECT count(*) FROM open_payments") > 1_000


async def _changed(database: DatabaseAddress, stopping: asyncio.Event) -> int:
    """Ends open payments and begins others, one after the other; how many."""
    client = await connect_single(database, application_name="client")
    changed = 0
    try:
        await client.execute("SET lock_timeout = '5s'")
        for row in await client.fetch("SELECT id FROM payments WHERE status = 'review'"):
            if stopping.is_set():
                break
            await client.execute(
                "UPDATE payments SET status = 'completed', operation = NULL, due_at = NULL"
                " WHERE id = $1",
                row["id"],
            )
            await client.execute(
                "UPDATE payments SET status = 'refunded' WHERE id = ("
                " SELECT id FROM payments WHERE status = 'completed' AND id > $1"
                " ORDER BY id LIMIT 1)",
                row["id"],
            )
            changed += 1
    finally:
        await client.close()
    return changed
