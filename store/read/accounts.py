"""Reading accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.queries import bound
from store.rows import account_from

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.account import Account


async def account_by_id(
    connection: PoolConnectionProxy, tenant_id: str, account_id: UUID
) -> Account | None:
    """The tenant's account, or None."""
    row = await connection.fetchrow(*bound("account_by_id", tenant_id=tenant_id, id=account_id))
    return account_from(row) if row else None
