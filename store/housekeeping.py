"""What has been kept long enough is forgotten, and room is made for the days to come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from store.queries import bound, query

if TYPE_CHECKING:
    import asyncpg

# Days of partitions made ahead: a schedule that is down over a weekend is noticed before.
_PARTITIONS_AHEAD: Final = 3
# Vendors send a notification again for three days, and later on an operator's word.
_EVENTS_KEPT: Final = timedelta(days=30)
# Published to clients: a key may be retried for so long (API contract, Idempotency-Key).
_KEYS_KEPT: Final = timedelta(days=30)
_FORGET_MAX: Final = 10_000


async def keep_house(
    pool: asyncpg.Pool[asyncpg.Record], now: datetime, outbox_retention_s: float
) -> None:
    """Make the next days' outbox partitions, drop expired ones, forget expired keys and events."""
    today = now.astimezone(UTC).date()
    for ahead in range(_PARTITIONS_AHEAD + 1):
        await pool.execute(query("create_outbox_partition"), today + timedelta(days=ahead))
    # A partition goes when its last row has been kept for the whole retention.
    oldest = (now - timedelta(seconds=outbox_retention_s, days=1)).date()
    for row in await pool.fetch(query("outbox_partitions")):
        day = datetime.strptime(row["name"], "outbox_p%Y%m%d").replace(tzinfo=UTC).date()
        if day < oldest:
            await pool.execute(query("drop_outbox_partition"), day)
    await _forget(pool, "forget_idempotency_keys", now - _KEYS_KEPT)
    await _forget(pool, "forget_provider_events", now - _EVENTS_KEPT)
    await pool.execute(query("forget_provider_states"))


async def _forget(pool: asyncpg.Pool[asyncpg.Record], statement: str, before: datetime) -> None:
    """Delete all that is older, a part at a time: a long transaction would hold up vacuum."""
    full = f"DELETE {_FORGET_MAX}"
    while await pool.execute(*bound(statement, before=before, rows_max=_FORGET_MAX)) == full:
        continue
