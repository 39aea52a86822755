"""What a payment takes up for ever: bytes of each table and of its indexes, once all is forgotten.

Messages, answers to keys and notifications are forgotten after days; the rest is kept, and counted
after a vacuum of a database that payments have gone through as always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from bench.target import Target

_ACCOUNTS: Final = 100
# So fast that batches are those of a busy day, and the machine is not full.
_RATE: Final = 100.0
_FORGOTTEN: Final = ("outbox", "idempotency_keys", "provider_events", "provider_states")
_SIZES: Final = """
WITH sizes AS (
    SELECT
        coalesce(pg_partition_root(relation.oid), relation.oid)::regclass::text AS of_table,
        pg_table_size(relation.oid) AS rows_bytes,
        pg_indexes_size(relation.oid) AS indexes_bytes
    FROM pg_class AS relation
    WHERE relation.relnamespace = 'public'::regnamespace AND relation.relkind = 'r'
)
SELECT of_table, sum(rows_bytes)::float AS rows_bytes, sum(indexes_bytes)::float AS indexes_bytes
FROM sizes
WHERE of_table <> ALL($1::text[])
GROUP BY of_table
ORDER BY sum(rows_bytes + indexes_bytes) DESC
"""


async def measure(target: Target, seconds: float) -> list[Figure]:
    """Payments of one attempt at 100/s, in whatever else is there."""
    load = Load(target.url, await target.accounts(_ACCOUNTS), seconds, rate=_RATE)
    await generated(load)
    await target.at_rest()
    async with target.connected() as connection:
        await connection.execute("VACUUM ANALYZE", timeout=600)
        payments = await connection.fetchval("SELECT count(*) FROM payments")
        sizes = await connection.fetch(_SIZES, _FORGOTTEN)
    note = f"of {payments:,}"
    total = sum(row["rows_bytes"] + row["indexes_bytes"] for row in sizes)
    return [
        Figure("bytes a payment keeps", total / payments, "B", note),
        *(
            Figure(
                f"bytes a payment keeps in {row['of_table']}",
                (row["rows_bytes"] + row["indexes_bytes"]) / payments,
                "B",
                f"rows {row['rows_bytes'] / payments:,.0f},"
                f" indexes {row['indexes_bytes'] / payments:,.0f}",
            )
            for row in sizes
        ),
    ]
