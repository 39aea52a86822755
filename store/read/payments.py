"""Reading payments: one with what belongs to it, a page of them, those that have ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from payments.payment import TERMINAL
from store.queries import bound
from store.read.id_ranges import FIRST_ID, LAST_ID, first_id_of
from store.read.payment_history import attempt_from, event_from
from store.rows import payment_from, refund_from

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.payment import Payment, PaymentStatus, Provider
    from payments.refund import Refund
    from store.read.payment_history import AttemptRecord, StoredEvent

# An id is made a little after the time its payment bears; far more than that is let through.
_ID_DELAY_MAX: Final = timedelta(minutes=1)
_TERMINAL: Final = sorted(status.value for status in TERMINAL)


@dataclass(frozen=True, slots=True)
class PaymentDetail:
    """A payment and the newest of what belongs to it, newest first, all of one moment.

    `events` if they were asked for.
    """

    payment: Payment
    attempts: tuple[AttemptRecord, ...]
    refunds: tuple[Refund, ...]
    events: tuple[StoredEvent, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilters:
    """Which payments of a tenant; None filters nothing. `account_id` is either side."""

    status: PaymentStatus | None = None
    account_id: UUID | None = None
    provider: Provider | None = None
    currency: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


async def payment_by_id(
    connection: PoolConnectionProxy, tenant_id: str, payment_id: UUID
) -> Payment | None:
    """The tenant's payment, or None."""
    row = await connection.fetchrow(*bound("payment_by_id", tenant_id=tenant_id, id=payment_id))
    return payment_from(row) if row else None


async def payment_in_detail(
    connection: PoolConnectionProxy,
    tenant_id: str,
    payment_id: UUID,
    *,
    with_events: bool,
    limit: int,
) -> PaymentDetail | None:
    """The tenant's payment with at most `limit` attempts, refunds and, if wanted, changes; or None.

    In the order of their lists (`store.read.payment_history`).
    """
    asked = bound(
        "payment_in_detail",
        tenant_id=tenant_id,
        id=payment_id,
        with_events=with_events,
        rows_max=limit,
    )
    row = await connection.fetchrow(*asked)
    if row is None:
        return None
    events = row["events"]
    return PaymentDetail(
        payment=payment_from(row),
        attempts=tuple(attempt_from(each) for each in row["attempts"]),
        refunds=tuple(refund_from(each) for each in row["refunds"]),
        events=None if events is None else tuple(event_from(each) for each in events),
    )


async def payments_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    filters: PaymentFilters,
    *,
    before: UUID | None,
    limit: int,
) -> list[Payment]:
    """The tenant's payments, newest first, older than the payment `before`."""
    arguments: dict[str, object] = {
        "tenant_id": tenant_id,
        "before_id": _upper_bound(before, filters.created_before),
        "first_id": first_id_of(filters.created_from) if filters.created_from else FIRST_ID,
        **asdict(filters),
        "rows_max": limit,
    }
    name = "payments_page_of_account"
    if filters.account_id is None:
        name = "payments_page"
        del arguments["account_id"]
    rows = await connection.fetch(*bound(name, **arguments))
    return [payment_from(row) for row in rows]


async def settled_payments(
    connection: PoolConnectionProxy, payment_ids: Iterable[UUID]
) -> list[Payment]:
    """Those of the payments, whosever they are, that reached a terminal state."""
    rows = await connection.fetch(
        *bound("settled_payments", ids=list(payment_ids), statuses=_TERMINAL)
    )
    return [payment_from(row) for row in rows]


def _upper_bound(before: UUID | None, created_before: datetime | None) -> UUID:
    bound = before or LAST_ID
    if created_before is None:
        return bound
    return min(bound, first_id_of(created_before + _ID_DELAY_MAX))
