"""Reading the journal: the ledger's rows with their seals, and what is wrong with them.

Whoever reads does so inside a transaction of one snapshot (REPEATABLE READ). What a seal is, and
what is wrong with a journal, `payments` says.
"""

from __future__ import annotations

from dataclasses import fields
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from payments.journal.seals import JournalRow
from store.queries import query
from store.rows import seal_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import asyncpg
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from payments.journal.audit import Audit, JournalItem, Problem

    Connection = asyncpg.Connection[Record] | PoolConnectionProxy

_PREFETCH: Final = 2_000
_ROW: Final = itemgetter(*(each.name for each in fields(JournalRow)))


async def verify_ledger(
    connection: Connection, audit: Audit, tenant_id: str | None = None
) -> list[Problem]:
    """Hold the ledger of a tenant, or of all, against its seals; what is wrong with it."""
    problems: list[Problem] = []
    async for item in journal(connection, tenant_id):
        problems.extend(audit.take(item))
    problems.extend(audit.end(await sealed_up_to(connection)))
    return problems


async def journal(connection: Connection, tenant_id: str | None) -> AsyncIterator[JournalItem]:
    """A tenant's rows by their ids, or all tenants', and each seal after the last of its rows."""
    rows = aiter(connection.cursor(query("journal_rows"), tenant_id, prefetch=_PREFETCH))
    row = await anext(rows, None)
    async for found in connection.cursor(query("journal_seals"), tenant_id, prefetch=_PREFETCH):
        next_seal = seal_from(found)
        while row is not None and row["id"] <= next_seal.last_id:
            yield journal_row_from(row)
            row = await anext(rows, None)
        yield next_seal
    while row is not None:
        yield journal_row_from(row)
        row = await anext(rows, None)


async def sealed_up_to(connection: Connection) -> UUID | None:
    """The last row that is sealed; so are all before it."""
    last: UUID | None = await connection.fetchval(query("sealed_up_to"))
    return last


def journal_row_from(row: Record) -> JournalRow:
    """A row as it stands in the ledger, whatever a forger made of it."""
    return JournalRow(*_ROW(row))
