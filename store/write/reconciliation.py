"""Keeping the breaks: what a run over a settlement report found, and what somebody signed for.

A run is one transaction under a lock of its provider, so that two at once do not resolve each
other's finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.reconciliation.breaks import Run, TrackedBreak, after_run, resolved
from store.queries import bound, query
from store.rows import break_from, columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.payment import Provider
    from payments.reconciliation.differences import Break, Period


async def keep_run(
    connection: PoolConnectionProxy,
    provider: Provider,
    period: Period,
    found: Sequence[Break],
    now: datetime,
) -> Run:
    """Write down what a run found and what it no longer did."""
    async with connection.transaction():
        await connection.execute(query("lock_reconciliation"), provider)
        ids = [each.id for each in found]
        known = bound("reconciliation_breaks_of_run", provider=provider, ids=ids)
        rows = await connection.fetch(*known)
        run = after_run({row["id"]: break_from(row) for row in rows}, found, period, now)
        await _put(connection, (*run.new, *run.again, *run.gone))
    return run


async def resolve_break(
    connection: PoolConnectionProxy, break_id: UUID, actor: str, reason: str, now: datetime
) -> TrackedBreak | None:
    """Sign for a break; None if there is no such. One that is resolved stays as it was signed."""
    async with connection.transaction():
        row = await connection.fetchrow(query("lock_reconciliation_break"), break_id)
        if row is None:
            return None
        tracked = break_from(row)
        if tracked.resolution is None:
            tracked = resolved(tracked, actor, reason, now)
            await _put(connection, (tracked,))
    return tracked


async def _put(connection: PoolConnectionProxy, tracked: Sequence[TrackedBreak]) -> None:
    if tracked:
        await connection.execute(*columns("put_reconciliation_breaks", tracked))
