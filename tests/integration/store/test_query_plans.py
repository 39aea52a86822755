"""Each statement of a commit goes by an index from a database's first minute on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

_SCANS: Final = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"}
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
    "untaken_payments",
    "untaken_refunds",
    "sent_payments",
    "sent_refunds",
    "traces_of",
    "forget_idempotency_keys",
    "forget_provider_events",
    "forget_webhook_events",
)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_each_statement_of_a_commit_asks_an_index(
    pool: asyncpg.Pool[asyncpg.Record], name: str
) -> None:
    """As planned on tables that are empty, whatever it is asked for, which is kept while they grow.

    EXPLAIN of the statement itself would fold what is NULL, and conditions with it.
    """
    sql = query(name)
    nulls = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", sql))))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE explained AS {sql}")
        told = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE explained ({nulls})")
        await connection.execute("DEALLOCATE explained")
    scans = [each for each in _nodes(json.loads(told)[0]["Plan"]) if each["Node Type"] in _SCANS]
    # Read from one end to the other, an index is no better than its table.
    assert all("Index Cond" in each for each in scans), told


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
