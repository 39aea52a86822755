"""What is due, by the clock: payments and refunds that somebody must look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.commands import ExpireAuthorization, WakePayment, WakeRefund
from store.queries import bound

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg


async def due_payments(
    pool: asyncpg.Pool[asyncpg.Record], now: datetime, limit: int
) -> list[WakePayment | ExpireAuthorization]:
    """What is to be done about the payments whose time has come, the longest due first."""
    return [
        ExpireAuthorization(row["id"]) if row["has_expired"] else WakePayment(row["id"])
        for row in await pool.fetch(*bound("due_payments", now=now, rows_max=limit))
    ]


async def due_refunds(
    pool: asyncpg.Pool[asyncpg.Record], now: datetime, limit: int
) -> list[WakeRefund]:
    """The same of refunds."""
    due = await pool.fetch(*bound("due_refunds", now=now, rows_max=limit))
    return [WakeRefund(row["id"]) for row in due]
