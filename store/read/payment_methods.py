"""Reading payment methods: one of an account, and a page of them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from store.queries import bound
from store.read.found import found_by
from store.read.id_ranges import LAST_ID
from store.rows import payment_method_from

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.payment_method import PaymentMethod, PaymentMethodState
    from store.read.found import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethodFilters:
    """Which payment methods of a tenant: an account's, in any state or in one."""

    account_id: UUID
    state: PaymentMethodState | None = None


async def payment_method_by_id(
    connection: PoolConnectionProxy, tenant_id: str, account_id: UUID, method_id: UUID
) -> PaymentMethod | None:
    """The account's method, or None."""
    row = await connection.fetchrow(
        *bound("payment_method_by_id", tenant_id=tenant_id, account_id=account_id, id=method_id)
    )
    return payment_method_from(row) if row else None


async def payment_methods_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    filters: PaymentMethodFilters,
    *,
    before: UUID | None,
    limit: int,
) -> Found[PaymentMethod, UUID]:
    """The account's methods, newest first, older than the method `before`."""
    return await found_by(
        connection,
        "payment_methods_page",
        payment_method_from,
        itemgetter("id"),
        tenant_id=tenant_id,
        account_id=filters.account_id,
        state=filters.state,
        before_id=before or LAST_ID,
        rows_max=limit,
    )
