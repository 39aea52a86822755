"""What is due, by the clock: payments and refunds that somebody must look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from payments.commands import ExpireAuthorization, WakePayment, WakeRefund
from payments.payment import Provider
from store.queries import bound
from telemetry.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


class SentAgain(NamedTuple):
    """A payment or refund that was sent to its stage again, and its version since."""

    provider: Provider
    id: UUID
    version: int


async def due_payments(
    pool: Pool, now: datetime, patience: timedelta, limit: int
) -> list[WakePayment | ExpireAuthorization]:
    """What is to be done about the payments whose time has come, the longest due first.

    Not what has waited for its stage for `patience`.
    """
    asked = bound("due_payments", now=now, patience=patience, rows_max=limit)
    return [
        ExpireAuthorization(row["id"]) if row["has_expired"] else WakePayment(row["id"])
        for row in await pool.fetch(*asked)
    ]


async def due_refunds(
    pool: Pool, now: datetime, patience: timedelta, limit: int
) -> list[WakeRefund]:
    """The same of refunds."""
    asked = bound("due_refunds", now=now, patience=patience, rows_max=limit)
    return [WakeRefund(row["id"]) for row in await pool.fetch(*asked)]


async def untaken_payments(
    pool: Pool, now: datetime, patience: timedelta, counts: Mapping[Provider, int]
) -> list[tuple[Provider, WakePayment]]:
    """Of each provider so many payments that have waited for their stage, the newest first."""
    rows = await _untaken(pool, "untaken_payments", now, patience, counts)
    return [(provider, WakePayment(payment_id)) for provider, payment_id in rows]


async def untaken_refunds(
    pool: Pool, now: datetime, patience: timedelta, counts: Mapping[Provider, int]
) -> list[tuple[Provider, WakeRefund]]:
    """The same of refunds."""
    rows = await _untaken(pool, "untaken_refunds", now, patience, counts)
    return [(provider, WakeRefund(refund_id)) for provider, refund_id in rows]


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


async def _untaken(
    pool: Pool, name: str, now: datetime, patience: timedelta, counts: Mapping[Provider, int]
) -> Iterable[tuple[Provider, UUID]]:
    wanted = {provider: count for provider, count in counts.items() if count > 0}
    if not wanted:
        return []
    providers, numbers = [*wanted], [*wanted.values()]
    asked = bound(name, now=now, patience=patience, providers=providers, counts=numbers)
    return [(Provider(row["provider"]), row["id"]) for row in await pool.fetch(*asked)]


async def _still_sent(
    pool: Pool, name: str, now: datetime, sent: Sequence[SentAgain]
) -> list[SentAgain]:
    ids, versions = [each.id for each in sent], [each.version for each in sent]
    rows = await pool.fetch(*bound(name, now=now, ids=ids, versions=versions))
    unchanged = {row["id"] for row in rows}
    return [each for each in sent if each.id in unchanged]
