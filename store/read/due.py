"""What is due, by the clock: payments and refunds that somebody must look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from payments.commands import ExpireAuthorization, WakePayment, WakeRefund
from payments.outcome import Operation
from payments.payment import Provider
from store.queries import bound
from telemetry.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


class Lane(NamedTuple):
    """What a provider is asked for through one of its circuits."""

    provider: Provider
    operations: tuple[Operation, ...]


class Look(NamedTuple):
    """What is due by `now`: `rows_max` of it, but for what is passed over.

    Who has waited for its stage for `patience` has waited for too long.
    """

    now: datetime
    patience: timedelta
    passed_over: Sequence[UUID]
    rows_max: int


class SentAgain(NamedTuple):
    """A payment or refund that was sent to its stage again, its version since, and when."""

    lane: Lane
    id: UUID
    version: int
    sent_at: datetime


class Span(NamedTuple):
    """Times: after the first, up to the last."""

    since: datetime
    until: datetime


def subject_of(command: WakePayment | ExpireAuthorization | WakeRefund) -> UUID:
    """The payment or the refund that it wakes."""
    return command.refund_id if isinstance(command, WakeRefund) else command.payment_id


async def due_payments(
    pool: Pool, since: datetime, look: Look
) -> list[WakePayment | ExpireAuthorization]:
    """What is to be done about the payments whose time came since, the longest due first.

    Not about those that wait for their stage.
    """
    asked = bound("due_payments", since=since, **look._asdict())
    return [
        ExpireAuthorization(row["id"]) if row["has_expired"] else WakePayment(row["id"])
        for row in await pool.fetch(*asked)
    ]


async def due_refunds(pool: Pool, since: datetime, look: Look) -> list[WakeRefund]:
    """The same of refunds."""
    asked = bound("due_refunds", since=since, **look._asdict())
    return [WakeRefund(row["id"]) for row in await pool.fetch(*asked)]


async def untaken_payments(pool: Pool, lane: Lane, look: Look) -> list[WakePayment]:
    """A lane's payments that have waited for their stage for too long, the newest first."""
    of_lane = {"provider": lane.provider, "operations": lane.operations}
    asked = bound("untaken_payments", **of_lane, **look._asdict())
    return [WakePayment(row["id"]) for row in await pool.fetch(*asked)]


async def untaken_refunds(pool: Pool, lane: Lane, look: Look) -> list[WakeRefund]:
    """The same of refunds, which are one lane of their provider's."""
    asked = bound("untaken_refunds", provider=lane.provider, **look._asdict())
    return [WakeRefund(row["id"]) for row in await pool.fetch(*asked)]


async def sent_payments(pool: Pool, now: datetime, sent: Sequence[SentAgain]) -> list[SentAgain]:
    """Those of the payments that have not changed since, nor are due once more."""
    return await _still_sent(pool, "sent_payments", now, sent)


async def sent_refunds(pool: Pool, now: datetime, sent: Sequence[SentAgain]) -> list[SentAgain]:
    """The same of refunds."""
    return await _still_sent(pool, "sent_refunds", now, sent)


async def traces_of(pool: Pool, ids: Sequence[UUID]) -> dict[UUID, Trace]:
    """Of payments and refunds that were accepted in a trace, where in it."""
    rows = await pool.fetch(*bound("traces_of", ids=ids))
    return {row["id"]: Trace(row["traceparent"], row["tracestate"]) for row in rows}


async def _still_sent(
    pool: Pool, name: str, now: datetime, sent: Sequence[SentAgain]
) -> list[SentAgain]:
    ids, versions = [each.id for each in sent], [each.version for each in sent]
    rows = await pool.fetch(*bound(name, now=now, ids=ids, versions=versions))
    unchanged = {row["id"] for row in rows}
    return [each for each in sent if each.id in unchanged]
