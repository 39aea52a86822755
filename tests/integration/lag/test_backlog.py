"""A backlog in Postgres is counted without being read: who measures it leaves it be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from payments.account import Account
from payments.payment import Payment
from store.queries import query
from store.write.group_commit import Submission
from tests.support.factories import open_account, pay, usd

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

    from payments.commands import Command
    from store.write.group_commit import GroupCommitter

    Pool = asyncpg.Pool[asyncpg.Record]


async def _did(committer: GroupCommitter, command: Command) -> object:
    return (await committer.submit(Submission(command))).result


async def _due(
    committer: GroupCommitter, pool: Pool, count: int, instant: datetime
) -> list[Payment]:
    """So many payments, a second after each other, the first of them due since the instant."""
    account = await _did(committer, open_account())
    assert isinstance(account, Account)
    made = [await _did(committer, pay(account.id, usd(1))) for _ in range(count)]
    payments = [each for each in made if isinstance(each, Payment)]
    async with pool.acquire() as connection:
        for number, each in enumerate(payments):
            await connection.execute(
                "UPDATE payments SET due_at = $2 WHERE id = $1",
                each.id,
                instant + timedelta(seconds=number),
            )
    return payments


async def _waiting(pool: Pool) -> tuple[int, datetime | None]:
    rows = await pool.fetch(query("waiting_work"), datetime.now(UTC))
    (found,) = [row for row in rows if row["kind"] == "payments"]
    return found["count"], found["oldest_at"]


async def test_what_is_due_is_counted_but_for_what_waits_behind_a_dead_letter(
    committer: GroupCommitter, pool: Pool
) -> None:
    """The oldest is that of the others, too."""
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    blocked, *others = await _due(committer, pool, 4, since)
    assert await _waiting(pool) == (4, since)
    letter_id = uuid4()
    await pool.execute(
        """
        INSERT INTO dead_letters (
            id, tenant_id, stage, reason, error, topic, message_partition, message_offset,
            message_headers, attempts, state, first_failed_at, last_failed_at, version, queued_for
        ) VALUES (
            $1, 't', 'charge', 'undecodable', 'x', 'payments.charges', 0, 7, '{}', 1, 'parked',
            now(), now(), 1, $2
        )
        """,
        letter_id,
        blocked.id,
    )
    await pool.execute(
        "UPDATE payments SET charge_blocked_by = $2 WHERE id = $1", blocked.id, letter_id
    )
    assert await _waiting(pool) == (len(others), since + timedelta(seconds=1))


async def test_no_backlog_is_joined_or_read_whole(committer: GroupCommitter, pool: Pool) -> None:
    """Of a thousand payments that are due one is looked at: whoever is due first."""
    (payment,) = await _due(committer, pool, 1, datetime.now(UTC) - timedelta(minutes=5))
    await pool.execute(
        """
        INSERT INTO payments
        SELECT (jsonb_populate_record(made, jsonb_build_object('id', uuidv7()))).*
        FROM payments AS made CROSS JOIN generate_series(2, 1000)
        WHERE made.id = $1
        """,
        payment.id,
    )
    await pool.execute("ANALYZE payments, open_payments")
    assert (await _waiting(pool))[0] == 1000
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {query('waiting_work')}"
    ((explained,),) = await pool.fetch(explain, datetime.now(UTC))
    assert sum(_looked_at(orjson.loads(explained)[0]["Plan"])) == 1


def _looked_at(plan: dict[str, Any]) -> Iterator[float]:
    """How many payments each node of the plan has looked at."""
    if plan.get("Relation Name") == "payments":
        given = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield given * plan["Actual Loops"]
    for each in plan.get("Plans", ()):
        yield from _looked_at(each)
