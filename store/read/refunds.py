"""Reading refunds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.queries import bound
from store.rows import refund_from

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.refund import Refund


async def refund_by_id(
    connection: PoolConnectionProxy, tenant_id: str, refund_id: UUID
) -> Refund | None:
    """The tenant's refund, or None."""
    row = await connection.fetchrow(*bound("refund_by_id", tenant_id=tenant_id, id=refund_id))
    return refund_from(row) if row else None
