"""Rows are locked in one order everywhere, so that no two batches can wait for each other.

Seen from outside: somebody else holds a row, and while a batch waits for it, a third asks which
rows are taken.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from payments.account import Account
from payments.commands import CancelPayment
from payments.payment import Payment
from store.batch import load
from store.group_commit import Submission
from tests.factories import TENANT, open_account, pay, transfer
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from payments.commands import Command
    from store.group_commit import GroupCommitter

    Pool = asyncpg.Pool[asyncpg.Record]


@pytest.fixture
async def payments(committer: GroupCommitter) -> list[Payment]:
    """Two, in the order of their ids and of their accounts'."""
    made = []
    for _ in range(2):
        account = (await committer.submit(Submission(open_account()))).result
        assert isinstance(account, Account)
        payment = (await committer.submit(Submission(pay(account.id)))).result
        assert isinstance(payment, Payment)
        made.append(payment)
    return made


@pytest.mark.parametrize("table", ["payments", "accounts"])
async def test_rows_of_a_table_are_locked_in_the_order_of_their_ids(
    pool: Pool, payments: Sequence[Payment], table: str
) -> None:
    """Not in the order in which they lie in the table, which changes with every update."""
    commands: list[Command]
    if table == "payments":
        first, second = (payment.id for payment in payments)
        commands = [CancelPayment(TENANT, each) for each in (second, first)]
    else:
        first, second = (payment.source_account_id for payment in payments)
        commands = [transfer(second, first)]
    # A row that is updated is written anew, behind the others.
    await pool.execute(f"UPDATE {table} SET updated_at = now() WHERE id = $1", first)  # noqa: S608 - the test's own name
    await pool.execute(f"ANALYZE {table}")
    assert await _taken(pool, table, commands, while_held=(table, first)) == {first}


async def test_a_payment_is_locked_before_its_account(
    pool: Pool, payments: Sequence[Payment]
) -> None:
    """Who waits for the payment has not taken the account yet; who waits for that has both."""
    payment, account = payments[0].id, payments[0].source_account_id
    commands = [CancelPayment(TENANT, payment)]
    waiting_first = await _taken(pool, "accounts", commands, while_held=("payments", payment))
    waiting_last = await _taken(pool, "payments", commands, while_held=("accounts", account))
    assert (waiting_first, waiting_last) == (set(), {payment})


async def _taken(
    pool: Pool, table: str, commands: Sequence[Command], *, while_held: tuple[str, UUID]
) -> set[UUID]:
    """The rows of a table that are locked while the commands' batch waits for a row."""
    where, which = while_held
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute(f"SELECT FROM {where} WHERE id = $1 FOR UPDATE", which)
        batch = asyncio.create_task(_loaded(pool, commands))
        await eventually(lambda: _is_waited_for(pool))
        every = await pool.fetch(f"SELECT id FROM {table}")  # noqa: S608 - as above
        free = await pool.fetch(f"SELECT id FROM {table} FOR UPDATE SKIP LOCKED")  # noqa: S608 - as above
    await batch
    return {row["id"] for row in every} - {row["id"] for row in free}


async def _loaded(pool: Pool, commands: Sequence[Command]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await load(connection, commands)


async def _is_waited_for(pool: Pool) -> bool:
    return bool(
        await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )
