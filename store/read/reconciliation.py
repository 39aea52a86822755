"""Reading our side of a settlement report, and the breaks there are.

It needs no lock: our side is as of the moment it is read, and a payment that moves on meanwhile
is right in the next run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from payments.money import Money
from payments.payment import CAPTURED, TERMINAL, Provider
from payments.reconciliation.breaks import BreakState, TrackedBreak
from payments.reconciliation.differences import MARGIN, BookEntry, BreakType, Kind, Period
from payments.refund import RefundStatus
from store.queries import bound
from store.read.found import found_by, of_one_or_all
from store.read.id_ranges import FIRST_ID, LAST_ID, first_id_of
from store.rows import break_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from store.read.found import Found

_PAGE: Final = 5_000
# A row's id is made by one host's clock, and what it is about is dated by another's, or later.
_CLOCKS_DIFFER: Final = timedelta(hours=1)
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


async def entries_of(
    connection: PoolConnectionProxy,
    provider: Provider,
    period: Period,
    named: Iterable[tuple[Kind, UUID]],
) -> list[BookEntry]:
    """What the report of a period must show, and whatever of ours it names."""
    ids: dict[Kind, list[UUID]] = {Kind.CHARGE: [], Kind.REFUND: []}
    for kind, our_id in set(named):
        ids[kind].append(our_id)
    return [
        *await _charges_between(connection, provider, period),
        *await _refunds_between(connection, provider, period),
        *await _by_id(connection, Kind.CHARGE, "payments_of_report", provider, ids[Kind.CHARGE]),
        *await _by_id(connection, Kind.REFUND, "refunds_of_report", provider, ids[Kind.REFUND]),
    ]


async def breaks_page(
    connection: PoolConnectionProxy,
    tenant_id: str | None,
    filters: BreakFilters,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Found[TrackedBreak, tuple[datetime, UUID]]:
    """Breaks, the newest difference first, older than the position `before`."""
    before_time, before_id = before or (_LATEST, LAST_ID)
    name, of = of_one_or_all("reconciliation_breaks_page", tenant_id)
    return await found_by(
        connection,
        name,
        break_from,
        itemgetter("occurred_at", "id"),
        before_time=before_time,
        before_id=before_id,
        rows_max=limit,
        **of,
        **asdict(filters),
    )


async def _charges_between(
    connection: PoolConnectionProxy, provider: Provider, period: Period
) -> list[BookEntry]:
    """Page by page: a period may hold more than one statement should."""
    # A line that names nothing of ours is found by its reference, and its clock is not ours.
    since, before = period.start - MARGIN, period.end + MARGIN
    after_id = first_id_of(since - _CLOCKS_DIFFER)
    page = {
        "provider": provider,
        "since": since,
        "before": before,
        "before_id": first_id_of(before + _CLOCKS_DIFFER),
        "statuses": _SETTLED[Kind.CHARGE],
        "rows_max": _PAGE,
    }
    found: list[BookEntry] = []
    while rows := await connection.fetch(
        *bound("settled_payments_between", after_id=after_id, **page)
    ):
        found += [_entry_from(Kind.CHARGE, row) for row in rows]
        after_id = rows[-1]["position"]
    return found


async def _refunds_between(
    connection: PoolConnectionProxy, provider: Provider, period: Period
) -> list[BookEntry]:
    """Likewise."""
    after_time, after_id = period.start - MARGIN, FIRST_ID
    page = {
        "provider": provider,
        "before": period.end + MARGIN,
        "statuses": _SETTLED[Kind.REFUND],
        "rows_max": _PAGE,
    }
    found: list[BookEntry] = []
    while rows := await connection.fetch(
        *bound("settled_refunds_between", after_time=after_time, after_id=after_id, **page)
    ):
        found += [_entry_from(Kind.REFUND, row) for row in rows]
        after_time, after_id = rows[-1]["settled_at"], rows[-1]["id"]
    return found


async def _by_id(
    connection: PoolConnectionProxy,
    kind: Kind,
    statement: str,
    provider: Provider,
    ids: Sequence[UUID],
) -> list[BookEntry]:
    found: list[BookEntry] = []
    for first in range(0, len(ids), _PAGE):
        page = ids[first : first + _PAGE]
        rows = await connection.fetch(*bound(statement, provider=provider, ids=page))
        found += [_entry_from(kind, row) for row in rows]
    return found


def _entry_from(kind: Kind, row: Record) -> BookEntry:
    return BookEntry(
        kind=kind,
        id=row["id"],
        payment_id=row["payment_id"],
        tenant_id=row["tenant_id"],
        amount=Money(row["amount_minor"], row["currency"]),
        status=row["status"],
        is_open=row["status"] not in _OVER[kind],
        reference=row["provider_reference"],
        began_at=row["began_at"],
        settled_at=row["settled_at"],
    )
