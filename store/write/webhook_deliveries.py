"""Webhooks on their way, as the stage writes them: recorded once, claimed with a lease, ended.

No decision reads them and none is a fact about a payment: what an endpoint was told is its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from store.queries import bound
from store.rows import webhook_endpoint_from
from telemetry.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from payments.webhook_endpoint import WebhookEndpoint

    Pool = asyncpg.Pool[asyncpg.Record]

# Some tenths of a second, in which nobody waits.
_PART_MAX: Final = 1_000
_MOMENT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A public event, with the bytes of its message."""

    id: UUID
    tenant_id: str
    type: str
    payment_id: UUID
    sequence: int | None
    data: bytes
    occurred_at: datetime
    trace: Trace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a worker has room for, in all and by endpoint; until when it is believed alive."""

    endpoint_ids: Sequence[UUID]
    rooms: Sequence[int]
    are_proven: Sequence[bool]
    room_max: int
    unproven_max: int
    claims_max: int
    lease_id: UUID
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A try that is to be made now; `number` counts them."""

    delivery_id: UUID
    number: int
    retry_count: int
    endpoint: WebhookEndpoint
    event_id: UUID
    type: str
    occurred_at: datetime
    data: bytes
    trace: Trace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """What became of a try, and of its delivery: `due_at` is the next try, if there is one."""

    delivery_id: UUID
    number: int
    duration_ms: int
    status: int | None
    error: str | None
    answer: bytes
    state: str
    due_at: datetime | None
    retry_count: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class FailingEndpoint:
    """An endpoint that takes nothing: since when, and how often in a row."""

    endpoint_id: UUID
    failing_since: datetime
    failure_count: int


async def record_webhook_events(pool: Pool, events: Sequence[WebhookEvent], now: datetime) -> bool:
    """Keep what somebody wants, and a delivery for each who does; what was kept stays as it is.

    Returns whether there is a delivery more.
    """
    recorded = bound(
        "record_webhook_events",
        ids=[each.id for each in events],
        tenant_ids=[each.tenant_id for each in events],
        types=[each.type for each in events],
        payment_ids=[each.payment_id for each in events],
        sequences=[each.sequence for each in events],
        datas=[each.data.decode() for each in events],
        occurred_ats=[each.occurred_at for each in events],
        traceparents=[each.trace and each.trace.parent for each in events],
        tracestates=[each.trace and each.trace.state for each in events],
        # They are listed in this order.
        recorded_ats=[now + place * _MOMENT for place in range(len(events))],
    )
    return await pool.execute(*recorded) != "INSERT 0 0"


async def claim_webhook_deliveries(
    pool: Pool, wanted: Wanted, now: datetime
) -> list[ClaimedDelivery]:
    """Take what is due and there is room for, for as long as the lease."""
    async with pool.acquire() as connection:
        claim = bound("claim_webhook_deliveries", **asdict(wanted), now=now)
        rows = await connection.fetch(*claim)
        endpoints = await _endpoints(connection, {row["endpoint_id"] for row in rows})
    return [
        ClaimedDelivery(
            row["delivery_id"],
            row["attempt_count"],
            row["retry_count"],
            endpoints[row["endpoint_id"]],
            row["event_id"],
            row["type"],
            row["occurred_at"],
            row["data"].encode(),
            Trace.of(row["traceparent"], row["tracestate"]),
        )
        for row in rows
    ]


async def _endpoints(
    connection: PoolConnectionProxy, ids: Collection[UUID]
) -> Mapping[UUID, WebhookEndpoint]:
    if not ids:
        return {}
    rows = await connection.fetch(*bound("webhook_endpoints_by_id", ids=list(ids)))
    return {row["id"]: webhook_endpoint_from(row) for row in rows}


async def finish_webhook_attempts(
    connection: PoolConnectionProxy, lease_id: UUID, ended: Sequence[EndedAttempt]
) -> None:
    """Tell what became of tries; of a delivery that somebody else tries by now only the try."""
    finished = bound(
        "finish_webhook_attempts",
        delivery_ids=[each.delivery_id for each in ended],
        numbers=[each.number for each in ended],
        durations_ms=[each.duration_ms for each in ended],
        statuses=[each.status for each in ended],
        errors=[each.error for each in ended],
        answers=[each.answer for each in ended],
        states=[each.state for each in ended],
        due_ats=[each.due_at for each in ended],
        retry_counts=[each.retry_count for each in ended],
        ended_ats=[each.ended_at for each in ended],
        lease_id=lease_id,
    )
    await connection.execute(*finished)


async def endpoints_failed(
    connection: PoolConnectionProxy, failures: Mapping[UUID, int], now: datetime
) -> list[FailingEndpoint]:
    """Count so many failures more of each; how it stands with them."""
    failed = bound(
        "webhook_endpoints_failed",
        endpoint_ids=list(failures),
        failures=list(failures.values()),
        now=now,
    )
    return [FailingEndpoint(**row) for row in await connection.fetch(*failed)]


async def leave_endpoints_alone(
    connection: PoolConnectionProxy, until: Mapping[UUID, datetime]
) -> None:
    """Send them nothing until then."""
    alone = bound(
        "leave_webhook_endpoints_alone",
        endpoint_ids=list(until),
        retry_ats=list(until.values()),
    )
    await connection.execute(*alone)


async def endpoints_took(connection: PoolConnectionProxy, ids: Collection[UUID]) -> None:
    """They took something: whatever they failed before is forgotten."""
    await connection.execute(*bound("webhook_endpoints_took", endpoint_ids=list(ids)))


async def close_webhook_deliveries(pool: Pool, now: datetime) -> bool:
    """Give up what waits for endpoints that are sent nothing any more; whether that was all."""
    closed = bound("close_webhook_deliveries", now=now, rows_max=_PART_MAX)
    return await pool.execute(*closed) == "UPDATE 0"


async def replay_webhook_deliveries(pool: Pool, now: datetime, after_tenant_id: str) -> str | None:
    """Do a part of the first replay of the tenant after this one; whose it is, None if nobody's."""
    async with pool.acquire() as connection, connection.transaction():
        turn = bound("next_webhook_replay", after_tenant_id=after_tenant_id)
        replay = await connection.fetchrow(*turn)
        if replay is None:
            return None
        names = ("endpoint_id", "delivery_id", "created_from", "created_before", "requested_at")
        asked = {name: replay[name] for name in (*names, "failed_only", "passed_at", "passed_id")}
        part = await connection.fetchrow(
            *bound("replay_webhook_deliveries", **asked, now=now, rows_max=_PART_MAX)
        )
        assert part is not None, "a count is a row"
        noted = bound(
            "note_webhook_replay",
            id=replay["id"],
            passed_at=part["passed_at"],
            passed_id=part["passed_id"],
            replayed=part["replayed"],
            done_at=now if part["looked_at"] < _PART_MAX else None,
        )
        await connection.execute(*noted)
        await endpoints_took(connection, [replay["endpoint_id"]])
        tenant_id: str = replay["tenant_id"]
        return tenant_id
