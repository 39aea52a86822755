"""Seals over the ledger, made behind the writers' backs.

Nothing on the path of a payment knows of them. A sealing takes all rows, of all tenants, that
came to rest since the one before, and appends one seal a tenant; whoever else seals meanwhile
does nothing. What a seal is `payments` says.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from payments.journal.seals import JournalRow, Seal, seal
from store.queries import bound, query
from store.read.id_ranges import FIRST_ID, first_id_of
from store.read.journal import journal_row_from, sealed_up_to
from store.rows import columns, seal_from

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import asyncpg
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

# A thousand rows take some twenty milliseconds to digest, in which a process does nothing else.
ROWS_MAX: Final = 1_000
# Ids are made by the writers' clocks, and compared with the server's. Hosts that keep time at all
# agree within a second; a row from one further behind than this would look like a forgery.
CLOCK_SKEW_MAX: Final = timedelta(seconds=30)
# Any constant: whoever seals this database takes the same one.
_ADVISORY_LOCK: Final = 0x6C65646765727365


async def seal_settled(
    pool: asyncpg.Pool[Record], now: datetime, clock_skew_max: timedelta = CLOCK_SKEW_MAX
) -> list[Seal]:
    """Seal the next `ROWS_MAX` rows that can get no company; the new seals, at most one a tenant.

    As many rows as that in them together mean that there may be more.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(query("lock_sealing"), _ADVISORY_LOCK):
            return []
        settled: datetime = await connection.fetchval(query("settled_before"))
        limit = first_id_of(settled - clock_skew_max)
        # Read after `settled`, in a statement and so in a snapshot of its own.
        after = await sealed_up_to(connection) or FIRST_ID
        unsealed = bound("rows_to_seal", after=after, before=limit, rows_max=ROWS_MAX)
        rows = await connection.fetch(*unsealed)
        seals = await _sealed(connection, map(journal_row_from, rows), now)
        if seals:
            await connection.execute(*columns("insert_seals", seals))
        return seals


async def _sealed(
    connection: PoolConnectionProxy, rows: Iterable[JournalRow], now: datetime
) -> list[Seal]:
    by_tenant: defaultdict[str, list[JournalRow]] = defaultdict(list)
    for row in rows:
        by_tenant[row.tenant_id].append(row)
    found = await connection.fetch(query("last_seals"), list(by_tenant))
    last = {each["tenant_id"]: seal_from(each) for each in found}
    return [seal(each, last.get(tenant_id), now) for tenant_id, each in by_tenant.items()]
