"""Rows are locked in one order, seen in Postgres: who waits for one row holds none after it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from payments.account import Account
from payments.commands import CancelPayment
from payments.payment import Payment
from store.write.batch import load
from store.write.group_commit import Submission
from tests.support.factories import TENANT, open_account, pay, transfer
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    import asyncpg

    from payments.commands import Command
    from store.write.group_commit import GroupCommitter

    Pool = asyncpg.Pool[asyncpg.Record]


@pytest.fixture
async def accounts(committer: GroupCommitter, pool: Pool) -> list[Account]:
    """Three by id, each with its row in the table before those of the accounts before it."""
    opened = [(await committer.submit(Submission(open_account()))).result for _ in range(3)]
    made = sorted((each for each in opened if isinstance(each, Account)), key=lambda one: one.id)
    await _laid_in_reverse(pool, "accounts", [each.id for each in made])
    return made


@pytest.fixture
async def payments(
    committer: GroupCommitter, pool: Pool, accounts: Sequence[Account]
) -> list[Payment]:
    """Three by id, of the accounts in reverse, laid in reverse too."""
    asked = [(await committer.submit(Submission(pay(each.id)))).result for each in accounts[::-1]]
    made = sorted((each for each in asked if isinstance(each, Payment)), key=lambda one: one.id)
    await _laid_in_reverse(pool, "payments", [each.id for each in made])
    return made


@pytest.mark.parametrize("held", range(3))
async def test_accounts_are_locked_by_id(pool: Pool, accounts: list[Account], held: int) -> None:
    """Whatever the commands' order and the table's: behind the one waited for, all are free."""
    first, second, third = (each.id for each in accounts)
    commands = [transfer(third, second), transfer(second, first)]
    async with waiting(pool, "accounts", accounts[held].id, commands):
        free = await free_rows(pool, "accounts")
    assert free == {each.id for each in accounts[held + 1 :]}


@pytest.mark.parametrize("held", range(3))
async def test_payments_are_locked_by_id_and_before_any_account(
    pool: Pool, accounts: list[Account], payments: list[Payment], held: int
) -> None:
    """Who waits for a payment holds the payments before it, and no account."""
    commands = [CancelPayment(TENANT, each.id) for each in reversed(payments)]
    async with waiting(pool, "payments", payments[held].id, commands):
        assert await free_rows(pool, "payments") == {each.id for each in payments[held + 1 :]}
        assert await free_rows(pool, "accounts") == {each.id for each in accounts}


async def test_who_waits_for_an_account_holds_all_payments(
    pool: Pool, accounts: list[Account], payments: list[Payment]
) -> None:
    """The other half of payments before accounts, when payments bring their accounts."""
    commands = [CancelPayment(TENANT, each.id) for each in payments]
    async with waiting(pool, "accounts", accounts[0].id, commands):
        assert await free_rows(pool, "payments") == set()
        assert await free_rows(pool, "accounts") == {each.id for each in accounts[1:]}


@asynccontextmanager
async def waiting(
    pool: Pool, table: str, held: UUID, commands: Sequence[Command]
) -> AsyncIterator[None]:
    """Inside the block a batch of these stands before a row that somebody else holds."""

    async def loaded() -> None:
        async with pool.acquire() as connection, connection.transaction():
            # As Postgres may choose to read a small table: in the order its rows lie there.
            await connection.execute("SET LOCAL enable_seqscan = on")
            await connection.execute("SET LOCAL enable_indexscan = off")
            await connection.execute("SET LOCAL enable_bitmapscan = off")
            await load(connection, commands)

    async with pool.acquire() as holder, holder.transaction():
        await holder.execute(f"SELECT FROM {table} WHERE id = $1 FOR UPDATE", held)
        batch = asyncio.create_task(loaded())
        await eventually(lambda: _is_waiting(pool))
        yield
        assert not batch.done()
    await batch


async def free_rows(pool: Pool, table: str) -> set[UUID]:
    """The rows nobody has locked."""
    rows = await pool.fetch(f"SELECT id FROM {table} FOR UPDATE SKIP LOCKED")  # noqa: S608 - as above
    return {row["id"] for row in rows}


async def _is_waiting(pool: Pool) -> bool:
    """Whether exactly one session of this database stands before another's transaction."""
    blocked = await pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    return bool(blocked == 1)


async def _laid_in_reverse(pool: Pool, table: str, ids: Sequence[UUID]) -> None:
    """Write each row again, the first last: a scan of the table now meets them backwards."""
    for each in reversed(ids):
        await pool.execute(f"UPDATE {table} SET version = version WHERE id = $1", each)  # noqa: S608 - as above
    rows = await pool.fetch(f"SELECT id FROM {table} ORDER BY ctid")  # noqa: S608 - as above
    assert [row["id"] for row in rows] == [*reversed(ids)]
