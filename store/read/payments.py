"""Reading payments: one with what belongs to it, a page of them, those that have ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson

from payments.payment import TERMINAL, PaymentStatus
from store.event_data import never_changed
from store.queries import bound
from store.read.found import found_by
from store.read.id_ranges import FIRST_ID, LAST_ID, first_id_of
from store.read.payment_history import attempt_from, event_from
from store.rows import payment_from, refund_from

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncpg.pool import PoolConnectionProxy

    from payments.payment import Payment, Provider
    from payments.refund import Refund
    from store.read.found import Found
    from store.read.payment_history import AttemptRecord, StoredEvent

# An id is made a little after the time its payment bears; far more than that is let through.
_ID_DELAY_MAX: Final = timedelta(minutes=1)
_LAST: Final = datetime.max.replace(tzinfo=UTC) - _ID_DELAY_MAX
_TERMINAL: Final = sorted(status.value for status in TERMINAL)


@dataclass(frozen=True, slots=True)
class PaymentDetail:
    """A payment and the newest of what belongs to it, newest first, all of one moment.

    `events` if they were asked for. Attempts and events from before `history_archived_at` are in
    an archive, and not here.
    """

    payment: Payment
    attempts: tuple[AttemptRecord, ...]
    refunds: tuple[Refund, ...]
    events: tuple[StoredEvent, ...] | None
    history_archived_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilters:
    """Which payments of a tenant; None filters nothing. `account_id` is either side."""

    status: PaymentStatus | None = None
    account_id: UUID | None = None
    provider: Provider | None = None
    currency: str | None = None
    amount_minor: int | None = None
    provider_transaction_id: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None

    @property
    def is_for_few(self) -> bool:
        """Whether a state is asked for that has an index: any but the one in which payments end."""
        is_open = self.status not in {None, PaymentStatus.COMPLETED}
        return is_open and self.account_id is None


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
    payment, events = payment_from(row), row["events"]
    of_payment = never_changed(payment) if events else {}
    return PaymentDetail(
        payment=payment,
        attempts=tuple(attempt_from(each) for each in row["attempts"]),
        refunds=tuple(refund_from(each) for each in row["refunds"]),
        events=events and tuple(event_from(each, of_payment) for each in events),
        history_archived_at=row["history_archived_at"],
    )


async def payments_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    filters: PaymentFilters,
    *,
    before: UUID | None,
    limit: int,
) -> Found[Payment, UUID]:
    """The tenant's payments, newest first, older than the payment `before`."""
    sought = asdict(filters)
    if filters.account_id is None:
        way = "_in_state" if filters.is_for_few else ""
        del sought["account_id"]
    else:
        way = "_of_account"
    return await found_by(
        connection,
        f"payments_page{way}",
        payment_from,
        itemgetter("id"),
        tenant_id=tenant_id,
        before_id=_upper_bound(before, filters.created_before),
        first_id=first_id_of(filters.created_from) if filters.created_from else FIRST_ID,
        rows_max=limit,
        **sought,
    )


async def made_under_key(
    connection: PoolConnectionProxy, tenant_id: str, key: str
) -> tuple[UUID, ...]:
    """The ids of what a request with the key made, and of its payment.

    None of them for a key nobody used, or whose request was refused.
    """
    body = await connection.fetchval(*bound("answer_under_key", tenant_id=tenant_id, key=key))
    said = orjson.loads(body) if body else {}
    return tuple(UUID(said[each]) for each in ("id", "payment_id") if said.get(each))


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
    # A client may name the last moment of its calendar, which ours ends with, too.
    return min(bound, first_id_of(min(created_before, _LAST) + _ID_DELAY_MAX))
