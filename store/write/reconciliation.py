"""Reading our side of a settlement report, and keeping the breaks.

A run is one transaction under a lock of its provider, so that two at once do not resolve each
other's finds. What is read of payments needs no lock: it is as of the moment it is read, and a
payment that moves on meanwhile is right in the next run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from payments.money import Money
from payments.payment import CAPTURED, TERMINAL, Provider
from payments.reconciliation.breaks import (
    BreakState,
    Resolution,
    Run,
    TrackedBreak,
    after_run,
    resolved,
)
from payments.reconciliation.differences import MARGIN, Break, BreakType, Kind, Period, Record
from payments.refund import RefundStatus
from store.queries import query
from store.read.id_ranges import LAST_ID, first_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from asyncpg import Record as Row
    from asyncpg.pool import PoolConnectionProxy

    from store.rows import Values

_PAGE: Final = 5_000
# Whose a movement is that names nobody of ours: its finder is an operator.
NO_TENANT: Final = "default"
# Later than any break, and within what Postgres and Python both can write.
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
_SETTLED: Final = {
    Kind.CHARGE: sorted(status.value for status in CAPTURED),
    Kind.REFUND: [RefundStatus.COMPLETED.value],
}
_OVER: Final = {
    Kind.CHARGE: frozenset(status.value for status in TERMINAL),
    Kind.REFUND: frozenset({RefundStatus.COMPLETED.value, RefundStatus.FAILED.value}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakFilters:
    """Which breaks; None filters nothing."""

    state: BreakState | None = None
    provider: Provider | None = None
    type: BreakType | None = None


async def records_of(
    connection: PoolConnectionProxy,
    provider: Provider,
    period: Period,
    named: Iterable[tuple[Kind, UUID]],
) -> list[Record]:
    """What the report of a period must show, and whatever of ours it names."""
    ids: dict[Kind, list[UUID]] = {Kind.CHARGE: [], Kind.REFUND: []}
    for kind, our_id in set(named):
        ids[kind].append(our_id)
    return [
        *await _between(connection, Kind.CHARGE, "settled_payments_between", provider, period),
        *await _between(connection, Kind.REFUND, "settled_refunds_between", provider, period),
        *await _by_id(connection, Kind.CHARGE, "payments_of_report", provider, ids[Kind.CHARGE]),
        *await _by_id(connection, Kind.REFUND, "refunds_of_report", provider, ids[Kind.REFUND]),
    ]


async def keep_run(
    connection: PoolConnectionProxy,
    provider: Provider,
    period: Period,
    found: Sequence[Break],
    now: datetime,
) -> Run:
    """Write down what a run found and what it no longer did."""
    async with connection.transaction():
        await connection.execute(query("lock_reconciliation"), provider.value)
        ids = [each.id for each in found]
        rows = await connection.fetch(query("reconciliation_breaks_of_run"), provider.value, ids)
        run = after_run({row["id"]: _break_from(row) for row in rows}, found, period, now)
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
        tracked = _break_from(row)
        if tracked.resolution is None:
            tracked = resolved(tracked, actor, reason, now)
            await _put(connection, (tracked,))
    return tracked


async def breaks_page(
    connection: PoolConnectionProxy,
    tenant_id: str | None,
    filters: BreakFilters,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[TrackedBreak]:
    """Breaks, the newest difference first, older than the position `before`."""
    rows = await connection.fetch(
        query("reconciliation_breaks_page"),
        tenant_id,
        *(before or (_LATEST, LAST_ID)),
        filters.state,
        filters.provider,
        filters.type,
        limit,
    )
    return [_break_from(row) for row in rows]


async def _between(
    connection: PoolConnectionProxy, kind: Kind, statement: str, provider: Provider, period: Period
) -> list[Record]:
    """Page by page: a period may hold more than one statement should."""
    # What began within the margin cannot be said to be missing.
    after, before = first_id_of(period.start + MARGIN), first_id_of(period.end)
    found: list[Record] = []
    while rows := await connection.fetch(
        query(statement), provider.value, after, before, _SETTLED[kind], _PAGE
    ):
        found += [_record_from(kind, row) for row in rows]
        after = rows[-1]["id"]
    return found


async def _by_id(
    connection: PoolConnectionProxy,
    kind: Kind,
    statement: str,
    provider: Provider,
    ids: Sequence[UUID],
) -> list[Record]:
    found: list[Record] = []
    for first in range(0, len(ids), _PAGE):
        page = ids[first : first + _PAGE]
        rows = await connection.fetch(query(statement), provider.value, page)
        found += [_record_from(kind, row) for row in rows]
    return found


async def _put(connection: PoolConnectionProxy, tracked: Sequence[TrackedBreak]) -> None:
    if tracked:
        columns = zip(*map(_break_values, tracked), strict=True)
        await connection.execute(query("put_reconciliation_breaks"), *columns)


def _record_from(kind: Kind, row: Row) -> Record:
    return Record(
        kind=kind,
        id=row["id"],
        payment_id=row["payment_id"],
        tenant_id=row["tenant_id"],
        amount=Money(row["amount_minor"], row["currency"]),
        status=row["status"],
        is_open=row["status"] not in _OVER[kind],
        reference=row["provider_reference"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
    )


def _break_from(row: Row) -> TrackedBreak:
    return TrackedBreak(
        found=Break(
            id=row["id"],
            tenant_id=row["tenant_id"],
            provider=Provider(row["provider"]),
            type=BreakType(row["type"]),
            kind=Kind(row["kind"]),
            payment_id=row["payment_id"],
            refund_id=row["refund_id"],
            reference=row["reference"],
            here=_money(row["here_minor"], row["here_currency"]),
            there=_money(row["there_minor"], row["there_currency"]),
            status_here=row["status_here"],
            status_there=row["status_there"],
            began_at=row["began_at"],
            occurred_at=row["occurred_at"],
        ),
        first_found_at=row["first_found_at"],
        last_found_at=row["last_found_at"],
        resolution=Resolution(row["resolved_at"], row["resolved_by"], row["resolution"])
        if row["resolved_at"]
        else None,
    )


def _break_values(tracked: TrackedBreak) -> Values:
    found, resolution = tracked.found, tracked.resolution
    return (
        found.id,
        found.tenant_id or NO_TENANT,
        found.provider.value,
        found.type.value,
        found.kind.value,
        found.payment_id,
        found.refund_id,
        found.reference,
        found.here.amount_minor if found.here else None,
        found.here.currency if found.here else None,
        found.there.amount_minor if found.there else None,
        found.there.currency if found.there else None,
        found.status_here,
        found.status_there,
        found.began_at,
        found.occurred_at,
        tracked.first_found_at,
        tracked.last_found_at,
        tracked.state.value,
        resolution.at if resolution else None,
        resolution.by if resolution else None,
        resolution.reason if resolution else None,
    )


def _money(amount_minor: int | None, currency: str | None) -> Money | None:
    return None if amount_minor is None or currency is None else Money(amount_minor, currency)
