"""The overview reads little, however much there is, and says where it estimates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bench.grown import BEGAN_AT, TENANT, copy_payments
from store.queries import bound
from store.read.id_ranges import first_id_of
from store.read.overview import open_counts, recent_payments

if TYPE_CHECKING:
    import asyncpg


async def test_a_stretch_is_counted_exactly_or_estimated_and_said_so(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """One payment a second: of a minute all are read, of many minutes the newest."""
    async with pool.acquire() as connection:
        await copy_payments(connection, 900)
        end = BEGAN_AT + timedelta(minutes=15)
        minutes = await recent_payments(connection, TENANT, end, timedelta(minutes=1), 2)
        halves = await recent_payments(connection, TENANT, end, timedelta(seconds=450), 2)
        before = await recent_payments(connection, TENANT, BEGAN_AT, timedelta(minutes=1), 2)
        waiting = await open_counts(connection, TENANT)
    for minute in minutes:
        assert 59 <= minute.accepted <= 60
        assert not minute.is_estimate
    for half in halves:
        assert 425 <= half.accepted <= 475
        assert half.is_estimate
    assert [each.accepted for each in before] == [0, 0]
    assert sum(waiting.values()) == 1


async def test_what_is_looked_at_every_few_seconds_goes_by_an_index(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """No table of payments, transfers or messages is read whole."""
    first, end = first_id_of(BEGAN_AT), first_id_of(BEGAN_AT + timedelta(minutes=1))
    ranges: dict[str, object] = {"first_ids": [first], "end_ids": [end]}
    asked: dict[str, dict[str, object]] = {
        "recent_payments": {"tenant_id": TENANT, "rows_max": 300, **ranges},
        "recent_calls": {"tenant_id": TENANT, "rows_max": 1000},
        "open_payments_counted": {"tenant_id": TENANT, "statuses": ["unknown"], "rows_max": 10},
        "payment_transfers": {"account_id": first, "payment_id": first, **ranges},
        "event_messages": {"ids": [first], "times": [BEGAN_AT]},
        "event_deliveries": {"ids": [first], "tenant_id": TENANT},
        "payment_letters": {"payment_id": first, "tenant_id": TENANT},
        "answer_under_key": {"tenant_id": TENANT, "key": "k"},
        "audit_log_page": {
            "tenant_id": TENANT, "before_id": end, "action": None, "target": None, "rows_max": 21,
            "read_max": 21,
        },
        "console_session_key": {"id_sha256": b"x", "now": BEGAN_AT},
        "newest_seals": {"tenant_id": TENANT, "rows_max": 20},
    }  # fmt: skip
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        for name, arguments in asked.items():
            text, *values = bound(name, **arguments)
            rows = await connection.fetch(f"EXPLAIN {text}", *values)
            plan = "\n".join(row[0] for row in rows)
            assert "Seq Scan" not in plan, plan
