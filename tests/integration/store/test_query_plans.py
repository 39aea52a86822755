"""Each statement of a commit goes by an index from a database's first minute on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from store.queries import query

if TYPE_CHECKING:
    import asyncpg

# Whatever a commit looks up, or finds again to change it.
STATEMENTS = (
    "payments_of_refunds",
    "subjects_of_dead_letters",
    "lock_payments",
    "refunds_by_id",
    "unresolved_letters_about",
    "lock_dead_letters",
    "lock_accounts",
    "lock_payment_methods",
    "active_payment_methods",
    "update_payment_methods",
    "known_provider_events",
    "idempotency_answers",
    "update_accounts",
    "update_payments",
    "block_payments",
    "update_refunds",
    "finish_attempts",
    "dead_letters_parked",
    "update_dead_letters",
    "due_payments",
    "due_refunds",
    "traces_of",
    "forget_idempotency_keys",
    "forget_provider_events",
)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_of_a_commit_reads_a_whole_table(
    pool: asyncpg.Pool[asyncpg.Record], name: str
) -> None:
    """As planned on tables that are empty: the plan is kept while they grow."""
    sql = query(name)
    arguments = [None] * len(set(re.findall(r"\$\d+", sql)))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        rows = await connection.fetch(f"EXPLAIN {sql}", *arguments)
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
