"""Seals over the ledger: made behind the writers' backs, read back with the rows they stand for.

Nothing on the path of a payment knows of them. A sealing takes all rows, of all tenants, that
came to rest since the one before, and appends one seal a tenant; whoever else seals meanwhile
does nothing. What a seal is, and what is wrong with a journal, `payments` says.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from datetime import timedelta
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final

from payments.journal.audit import Audit
from payments.journal.seals import JournalRow, Seal, seal
from store.queries import query
from store.read.id_ranges import FIRST_ID, first_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime
    from uuid import UUID

    import asyncpg
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from payments.journal.audit import JournalItem, Problem
    from store.rows import Values

    Connection = asyncpg.Connection[Record] | PoolConnectionProxy

# A thousand rows take some twenty milliseconds to digest, in which a process does nothing else.
ROWS_MAX: Final = 1_000
# Ids are made by the writers' clocks, and compared with the server's. Hosts that keep time at all
# agree within a second; a row from one further behind than this would look like a forgery.
CLOCK_SKEW_MAX: Final = timedelta(seconds=30)
# Any constant: whoever seals this database takes the same one.
_ADVISORY_LOCK: Final = 0x6C65646765727365
_PREFETCH: Final = 2_000

_ROW: Final = itemgetter(*(each.name for each in fields(JournalRow)))
_SEAL: Final = attrgetter("tenant_id", "number", "first_id", "last_id", "row_count", "sealed_at")


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
        rows = await connection.fetch(query("rows_to_seal"), after, limit, ROWS_MAX)
        seals = await _sealed(connection, map(_row_from, rows), now)
        if seals:
            await connection.execute(query("insert_seals"), *zip(*map(_values, seals), strict=True))
        return seals


async def _sealed(
    connection: PoolConnectionProxy, rows: Iterable[JournalRow], now: datetime
) -> list[Seal]:
    by_tenant: defaultdict[str, list[JournalRow]] = defaultdict(list)
    for row in rows:
        by_tenant[row.tenant_id].append(row)
    found = await connection.fetch(query("last_seals"), list(by_tenant))
    last = {each["tenant_id"]: _seal_from(each) for each in found}
    return [seal(each, last.get(tenant_id), now) for tenant_id, each in by_tenant.items()]


async def verify_ledger(
    connection: Connection, audit: Audit, tenant_id: str | None = None
) -> list[Problem]:
    """Hold the ledger of a tenant, or of all, against its seals; what is wrong with it.

    To be called inside a transaction of one snapshot (REPEATABLE READ).
    """
    problems: list[Problem] = []
    async for item in journal(connection, tenant_id):
        problems.extend(audit.take(item))
    problems.extend(audit.end(await sealed_up_to(connection)))
    return problems


async def journal(connection: Connection, tenant_id: str | None) -> AsyncIterator[JournalItem]:
    """A tenant's rows by their ids, or all tenants', and each seal after the last of its rows.

    To be called inside a transaction of one snapshot (REPEATABLE READ).
    """
    rows = aiter(connection.cursor(query("journal_rows"), tenant_id, prefetch=_PREFETCH))
    row = await anext(rows, None)
    async for found in connection.cursor(query("journal_seals"), tenant_id, prefetch=_PREFETCH):
        next_seal = _seal_from(found)
        while row is not None and row["id"] <= next_seal.last_id:
            yield _row_from(row)
            row = await anext(rows, None)
        yield next_seal
    while row is not None:
        yield _row_from(row)
        row = await anext(rows, None)


async def sealed_up_to(connection: Connection) -> UUID | None:
    """The last row that is sealed; so are all before it."""
    last: UUID | None = await connection.fetchval(query("sealed_up_to"))
    return last


def _row_from(row: Record) -> JournalRow:
    return JournalRow(*_ROW(row))


def _seal_from(row: Record) -> Seal:
    return Seal(
        tenant_id=row["tenant_id"],
        number=row["number"],
        first_id=row["first_ledger_id"],
        last_id=row["last_ledger_id"],
        row_count=row["row_count"],
        sealed_at=row["sealed_at"],
        previous_digest=row["previous_digest"].hex(),
        fingerprints=row["fingerprints"].hex(),
        digest=row["digest"].hex(),
    )


def _values(each: Seal) -> Values:
    digests = (each.previous_digest, each.fingerprints, each.digest)
    return (*_SEAL(each), *map(bytes.fromhex, digests))
