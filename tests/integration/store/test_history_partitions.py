"""The payments' history by month: divided while it is written, made ahead, read from one part."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from bench.grown import copy_history, copy_payments
from payments.account import Account
from payments.commands import ClaimPayment, SettlePayment
from payments.decision import Claimed
from payments.outcome import Succeeded
from payments.payment import Payment
from store.housekeeping import keep_house
from store.migrations import migrate_down, migrate_up, read_migrations
from store.pool import connect, connect_single
from store.queries import bound, queries, query
from store.read.id_ranges import LAST_ID
from store.read.payments import payment_in_detail
from store.write.group_commit import Submission
from tests.support.factories import SOURCE, TENANT, open_account, pay, usd
from tests.support.fixtures.committer import brisk

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from payments.commands import Command
    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

# Its last migration before the history is divided.
_BEFORE: Final = 18
# What comes behind it.
_POSITIONS: Final = 19
_STATE_OF_TRACES: Final = 25
_LONG: Final = pytest.mark.long
_WEEK_S: Final = 604_800.0
_DIVIDED: Final = ("payment_events", "attempts")


@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=_LONG)])
async def test_it_is_divided_while_payments_are_made_and_read(
    empty_database: DatabaseAddress, metrics: Metrics, rows: int
) -> None:
    """No command and no read fails, no row is copied, none is missed; again it changes nothing."""
    known = read_migrations()
    migrating = await connect_single(empty_database, application_name="payments migrate")
    await migrate_up(migrating, known[:_BEFORE])
    await copy_payments(migrating, rows)
    await copy_history(migrating)
    # Today's code writes it: so payments are made before the history is divided, too.
    into_outbox = known[_STATE_OF_TRACES].online_statements[0]
    for statement in (*known[_POSITIONS].online_statements, into_outbox):
        await migrating.execute(statement)
    files = {each: await _file(migrating, each) for each in _DIVIDED}
    stopping = asyncio.Event()
    async with (
        brisk(empty_database, metrics) as committer,
        await connect(empty_database, application_name="reads", size=2) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        clients = [tasks.create_task(_pays(committer, pool, stopping)) for _ in range(8)]
        await migrate_up(migrating, known)
        stopping.set()
    assert sum(each.result() for each in clients) > 0
    assert {each: await _file(migrating, f"{each}_first") for each in _DIVIDED} == files
    for name in ("verify_sequences", "verify_fold_of_payments"):
        assert await migrating.fetch(query(name)) == []
    before = await _counts(migrating)
    for statement in known[_BEFORE].online_statements:
        await migrating.execute(statement)
    assert await _counts(migrating) == before
    await migrating.close()


async def test_the_way_back_keeps_every_row(
    empty_database: DatabaseAddress, metrics: Metrics
) -> None:
    """In one table again, with the indexes it had, and forward once more."""
    known = read_migrations()
    migrating = await connect_single(empty_database, application_name="payments migrate")
    await migrate_up(migrating, known)
    async with (
        brisk(empty_database, metrics) as committer,
        await connect(empty_database, application_name="reads", size=1) as pool,
    ):
        await _paid(committer, pool)
        before = await _counts(migrating)
        while (await migrate_down(migrating, known)) != known[_BEFORE]:
            continue
        assert await _counts(migrating) == before
        await migrate_up(migrating, known)
        assert await _counts(migrating) == before
        await _paid(committer, pool)
    await migrating.close()


async def test_a_payment_s_history_lies_in_the_month_it_was_made(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Months are made ahead, none is left out, and what was caught before is moved there."""
    now = datetime.now(UTC)
    later = now + timedelta(days=200)
    ids = {when: await pool.fetchval("SELECT first_id_at($1)", when) for when in (now, later)}
    for each in ids.values():
        await _said(pool, each)
    assert await _places(pool) == {"payment_events_first": 1, "payment_events_default": 1}
    assert {each.refusal for each in await keep_house(pool, later, _WEEK_S)} == {None}
    assert await _places(pool) == {
        "payment_events_first": 1,
        f"payment_events_p{later.replace(day=1):%Y%m%d}": 1,
    }
    for table in _DIVIDED:
        gap = await pool.fetchval(_GAPS, table)
        assert gap == []
    await _paid(committer, pool)


async def test_one_payment_is_looked_for_in_one_month(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Whatever is read or changed of it, of a plan that was made for any payment."""
    await keep_house(pool, datetime.now(UTC) + timedelta(days=200), _WEEK_S)
    payment_id = await _paid(committer, pool)
    page = {"tenant_id": TENANT, "payment_id": payment_id, "rows_max": 10}
    asked: dict[str, dict[str, object]] = {
        "payment_in_detail": {
            "tenant_id": TENANT, "id": payment_id, "with_events": True, "rows_max": 10,
        },
        "events_of_payment_page": page | {"before_version": 9},
        "attempts_of_payment_page": page | {"before_subject": LAST_ID, "before_number": 9},
        "finish_attempts": {
            name: [payment_id if name.endswith("id") else None]
            for name in queries()["finish_attempts"].parameters
        },
    }  # fmt: skip
    for name, arguments in asked.items():
        found = await _partitions_read(pool, name, arguments)
        assert found <= {"payment_events_first", "attempts_first"}, name
        assert found, name


async def _partitions_read(
    pool: asyncpg.Pool[asyncpg.Record], name: str, arguments: dict[str, object]
) -> set[str]:
    text, *ordered = bound(name, **arguments)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        told = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", *ordered)
    nodes, found = [json.loads(told)[0]["Plan"]], set()
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", ())
        table = node.get("Relation Name", "")
        if "Scan" in node["Node Type"] and table.startswith(_DIVIDED) and node["Actual Loops"]:
            found.add(table)
    return found


async def _pays(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record], stopping: asyncio.Event
) -> int:
    """Payments, one after the other, each to its end; how many."""
    count = 0
    while not stopping.is_set():
        await _paid(committer, pool)
        count += 1
    return count


async def _paid(committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]) -> UUID:
    """One payment from its account to its end, read with its history."""
    account = await _done(committer, open_account(usd(1_000)))
    assert isinstance(account, Account)
    payment = await _done(committer, pay(account.id, usd(1)))
    assert isinstance(payment, Payment)
    claimed = await _done(committer, ClaimPayment(payment.id, 1, "w"))
    assert isinstance(claimed, Claimed)
    attempt = claimed.attempt
    await _done(
        committer,
        SettlePayment(payment.id, attempt.id, attempt.operation, Succeeded("pi_1"), SOURCE),
    )
    async with pool.acquire() as connection:
        detail = await payment_in_detail(connection, TENANT, payment.id, with_events=True, limit=10)
    assert detail is not None
    assert [each.result and each.result.outcome for each in detail.attempts] == ["succeeded"]
    assert [each.version for each in detail.events or ()] == [3, 2, 1]
    return payment.id


async def _done(committer: GroupCommitter, command: Command) -> object:
    return (await committer.submit(Submission(command))).result


async def _said(pool: asyncpg.Pool[asyncpg.Record], payment_id: UUID) -> None:
    await pool.execute(
        "INSERT INTO payment_events (payment_id, version, id, tenant_id, type, data, occurred_at)"
        " VALUES ($1, 1, $1, 'default', 'payment.created', '{}', now())",
        payment_id,
    )


async def _places(pool: asyncpg.Pool[asyncpg.Record]) -> dict[str, int]:
    rows = await pool.fetch(
        "SELECT tableoid::regclass::text AS place, count(*) FROM payment_events GROUP BY place"
    )
    return {row["place"]: row["count"] for row in rows}


async def _file(connection: asyncpg.Connection[asyncpg.Record], table: str) -> int:
    return int(await connection.fetchval("SELECT pg_relation_filenode($1::text::regclass)", table))


async def _counts(connection: asyncpg.Connection[asyncpg.Record]) -> list[int]:
    return [
        await connection.fetchval("SELECT count(*) FROM payment_events"),
        await connection.fetchval("SELECT count(*) FROM attempts"),
    ]


# Bounds at which one partition ends and none begins, but for the last.
_GAPS: Final = """
WITH bounds AS (
    SELECT
        substring(pg_get_expr(relpartbound, oid) FROM 'FROM \\(''(.*?)''') AS begins,
        substring(pg_get_expr(relpartbound, oid) FROM 'TO \\(''(.*?)''') AS ends
    FROM pg_inherits
    INNER JOIN pg_class ON pg_inherits.inhrelid = pg_class.oid
    WHERE inhparent = $1::text::regclass AND pg_get_expr(relpartbound, oid) <> 'DEFAULT'
)
SELECT array(
    SELECT ends FROM bounds WHERE ends < (SELECT max(ends) FROM bounds)
    EXCEPT SELECT begins FROM bounds
)
"""
