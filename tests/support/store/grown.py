"""A database that has grown: payments made by one statement, as millions of them would lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    import asyncpg

BUSY: Final = UUID(int=1)
RARE_EVERY: Final = 10_000

# Ids count as UUIDv7 do; one in ten thousand payments is of a rare kind, each of another.
PAYMENTS: Final = """
INSERT INTO payments (
    id, tenant_id, payment_type, source_account_id, amount_minor, currency, capture_method,
    status, provider, captured_minor, metadata, max_retries, version, sequence, operation, due_at,
    created_at, updated_at, completed_at
)
SELECT
    (substr(ms, 1, 8) || '-' || substr(ms, 9) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
    'default', 'external_payment',
    CASE WHEN n % 2 = 0 THEN $2::uuid ELSE gen_random_uuid() END,
    100, CASE WHEN n % $3 = 1 THEN 'KWD' ELSE 'USD' END, 'automatic',
    CASE n % $3 WHEN 2 THEN 'review' WHEN 3 THEN 'failed' ELSE 'completed' END,
    CASE WHEN n % $3 = 4 THEN 'paypal' ELSE 'stripe' END,
    CASE WHEN n % $3 IN (2, 3) THEN 0 ELSE 100 END, '{}', 4, 1, 1,
    CASE WHEN n % $3 = 2 THEN 'charge' END,
    CASE WHEN n % $3 = 2 THEN timestamptz '2100-01-01' END,
    timestamptz '2024-06-01' + n * interval '1 second',
    timestamptz '2024-06-01' + n * interval '1 second',
    CASE WHEN n % $3 NOT IN (2, 3) THEN timestamptz '2024-06-01' + n * interval '1 second' END
FROM generate_series(1, $1::integer) AS n
CROSS JOIN LATERAL (SELECT lpad(to_hex(1717200000000 + n * 1000::bigint), 12, '0') AS ms) AS at
"""

# One busy customer, credited by strangers and debited for payments, a row a second.
_LEDGER: Final = """
INSERT INTO ledger_transfers (
    id, tenant_id, state, debit_account_id, credit_account_id, amount_minor, currency,
    transaction_type, debit_balance_after, credit_balance_after, debit_held_after, recorded_at
)
SELECT
    (substr(ms, 1, 8) || '-' || substr(ms, 9) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
    'default', 'posted', CASE WHEN n % 2 = 0 THEN $2::uuid ELSE gen_random_uuid() END,
    CASE WHEN n % 2 = 0 THEN gen_random_uuid() ELSE $2::uuid END, 100, 'USD', 'transfer',
    CASE WHEN n % 2 = 0 THEN 1000 END, CASE WHEN n % 2 = 1 THEN 1100 END,
    CASE WHEN n % 2 = 0 THEN 7 END, timestamptz '2024-06-01' + n * interval '1 second'
FROM generate_series(1, $1::integer) AS n
CROSS JOIN LATERAL (SELECT lpad(to_hex(1717200000000 + n * 1000::bigint), 12, '0') AS ms) AS at
"""


async def grow(pool: asyncpg.Pool[asyncpg.Record], rows: int) -> None:
    """So many payments, and ledger rows of `BUSY`; analyzed, as autovacuum would have it."""
    async with pool.acquire() as connection:
        await connection.execute(PAYMENTS, rows, BUSY, RARE_EVERY, timeout=300)
        await connection.execute(_LEDGER, rows, BUSY, timeout=300)
        await connection.execute("VACUUM ANALYZE payments, open_payments, ledger_transfers")
