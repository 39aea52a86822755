"""What is due, by the clock: payments and refunds that somebody must look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from payments.commands import ExpireAuthorization, WakePayment, WakeRefund
from payments.payment import Provider
from store.queries import bound
from telemetry.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


class SentAgain(NamedTuple):
    """A payment or refund that was sent to its stage again, its version since, and when."""

    provider: Provider
    id: UUID
    version: int
    sent_at: datetime


class Span(NamedTuple):
    """Times: after the first, up to the last."""

    since: datetime
    until: datetime


async def due_payments(
    pool: Pool, span: Span, patience: timedelta, limit: int
) -> list[WakePayment | ExpireAuthorization]:
    """What is to be done about the payments whose time came within `span`, the longest due first.

    Not what has waited for its stage for `patience`.
    """
    since, now = span
    asked = bound("due_payments", since=since, now=now, patience=patience, rows_max=limit)
    return [
        ExpireAuthorization(row["id"]) if row["has_expired"] else WakePayment(row["id"])
        for row in await pool.fetch(*asked)
    ]


async def due_refunds(pool: Pool, span: Span, patience: timedelta, limit: int) -> list[WakeRefund]:
    """The same of refunds."""
    since, now = span
    asked = bound("due_refunds", since=since, now=now, patience=patience, rows_max=limit)
    return [WakeRefund(row["id"]) for row in await pool.fetch(*asked)]


async def untaken_payments(
    pool: Pool, now: datetime, patience: timedelta, provider: Provider, limit: int
) -> list[WakePayment]:
    """So many of a provider's payments that have waited for their stage, the newest first."""
    asked = {"now": now, "patience": patience, "provider": provider, "rows_max": limit}
    rows = await pool.fetch(*bound("untaken_payments", **asked))
    return [WakePayment(row["id"]) for row in rows]


async def untaken_refunds(
    pool: Pool, now: datetime, patience: timedelta, provider: Provider, limit: int
) -> list[WakeRefund]:
    """The same of refunds."""
    asked = {"now": now, "patience": patience, "provider": provider, "rows_max": limit}
    rows = await pool.fetch(*bound("untaken_refunds", **asked))
    return [WakeRefund(row["id"]) for row in rows]


async def traces_of(pool: Pool, ids: Sequence[UUID]) -> dict[UUID, Trace]:
    """Of payments and refunds that were accepted in a trace, where in it."""
    rows = await pool.fetch(*bound("traces_of", ids=ids))
    return {row["id"]: Trace(row["traceparent"], row["tracestate"]) for row in rows}


async def sent_payments(pool: Pool, now: datetime, sent: Sequence[SentAgain]) -> list[SentAgain]:
    """Those of the payments that have not changed since, nor are due once more."""
    return await _still_sent(pool, "sent_payments", now, sent)


async def sent_refunds(pool: Pool, now: datetime, sent: Sequence[SentAgain]) -> list[SentAgain]:
    """The same of refunds."""
    return await _still_sent(pool, "sent_refunds", now, sent)


async def _still_sent(
    pool: Pool, name: str, now: datetime, sent: Sequence[SentAgain]
) -> list[SentAgain]:
    ids, versions = [each.id for each in sent], [each.version for each in sent]
    rows = await pool.fetch(*bound(name, now=now, ids=ids, versions=versions))
    unchanged = {row["id"] for row in rows}
    return [each for each in sent if each.id in unchanged]
