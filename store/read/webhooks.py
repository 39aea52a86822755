"""Reading webhook endpoints and what was sent to them; None as tenant means any."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from store.queries import bound, query
from store.read.found import found_by, of_one_or_all
from store.read.id_ranges import FIRST_ID, LAST_ID
from store.rows import webhook_endpoint_from

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    import asyncpg
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from payments.webhook_endpoint import EndpointState, WebhookEndpoint
    from store.read.found import Found

_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
# Ten of a schedule, and as many again for each replay: those before are not shown.
_ATTEMPTS_MAX: Final = 100


class DeliveryState(StrEnum):
    """Whether there is another try, and if not, whether the last one was taken."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """An endpoint, and since when and how often in a row it took nothing, if so."""

    endpoint: WebhookEndpoint
    failing_since: datetime | None
    failure_count: int
    retry_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFilters:
    """Which endpoints; None filters nothing."""

    state: EndpointState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilters:
    """Which deliveries of an endpoint; None filters nothing."""

    endpoint_id: UUID
    state: DeliveryState | None = None
    event_type: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event on its way to an endpoint: `due_at` is its next try, or the end of a lease."""

    id: UUID
    endpoint_id: UUID
    event_id: UUID
    event_type: str
    payment_id: UUID | None
    state: DeliveryState
    due_at: datetime | None
    attempt_count: int
    last_status: int | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """A try; without `duration_ms` it is under way, or its worker died."""

    number: int
    started_at: datetime
    duration_ms: int | None
    status: int | None
    error: str | None
    answer: bytes


async def webhook_endpoint_by_id(
    connection: PoolConnectionProxy, tenant_id: str | None, endpoint_id: UUID
) -> KnownEndpoint | None:
    """The endpoint, or None; so for one that was deleted."""
    row = await connection.fetchrow(
        *bound("webhook_endpoint_by_id", tenant_id=tenant_id, id=endpoint_id)
    )
    return _known(row) if row else None


async def webhook_endpoints_page(
    connection: PoolConnectionProxy,
    tenant_id: str | None,
    filters: EndpointFilters,
    *,
    before: UUID | None,
    limit: int,
) -> Found[KnownEndpoint, UUID]:
    """Endpoints, newest first, older than the endpoint `before`."""
    name, of = of_one_or_all("webhook_endpoints_page", tenant_id)
    return await found_by(
        connection,
        name,
        _known,
        itemgetter("id"),
        state=filters.state,
        before_id=before or LAST_ID,
        rows_max=limit,
        **of,
    )


async def webhook_deliveries_page(
    connection: PoolConnectionProxy,
    filters: DeliveryFilters,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Found[Delivery, tuple[datetime, UUID]]:
    """Deliveries of an endpoint, which is the asker's, newest first, from before a position."""
    bounds = [before or (_LATEST, LAST_ID)]
    if filters.created_before is not None:
        bounds.append((filters.created_before, FIRST_ID))
    # One bound: of two Postgres begins at either.
    before_time, before_id = min(bounds)
    return await found_by(
        connection,
        "webhook_deliveries_page",
        delivery_from,
        itemgetter("created_at", "id"),
        before_time=before_time,
        before_id=before_id,
        endpoint_id=filters.endpoint_id,
        state=filters.state,
        event_type=filters.event_type,
        created_from=filters.created_from,
        rows_max=limit,
    )


async def webhook_delivery_by_id(
    connection: PoolConnectionProxy, tenant_id: str | None, endpoint_id: UUID, delivery_id: UUID
) -> Delivery | None:
    """The endpoint's delivery, or None."""
    asked = bound(
        "webhook_delivery_by_id", tenant_id=tenant_id, endpoint_id=endpoint_id, id=delivery_id
    )
    row = await connection.fetchrow(*asked)
    return delivery_from(row) if row else None


async def webhook_attempts_of(
    connection: PoolConnectionProxy, delivery_id: UUID
) -> list[WebhookAttempt]:
    """The tries of a delivery, the newest first."""
    asked = bound("webhook_attempts_of", delivery_id=delivery_id, rows_max=_ATTEMPTS_MAX)
    return [
        WebhookAttempt(
            row["number"],
            row["started_at"],
            row["duration_ms"],
            row["status"],
            row["error"],
            row["answer"] or b"",
        )
        for row in await connection.fetch(*asked)
    ]


async def is_any_event_wanted(pool: asyncpg.Pool[Record]) -> bool:
    """Whether some tenant has an endpoint that takes events, or will when it goes on."""
    return bool(await pool.fetchval(query("is_any_event_wanted")))


async def endpoint_states(connection: PoolConnectionProxy) -> Mapping[str, int]:
    """How many endpoints there are by state; `failing` are those enabled that take nothing."""
    rows = await connection.fetch(query("webhook_endpoint_states"))
    return {row["state"]: row["endpoints"] for row in rows}


def _known(row: Record) -> KnownEndpoint:
    return KnownEndpoint(
        webhook_endpoint_from(row),
        row["failing_since"],
        row["failure_count"] or 0,
        row["retry_at"],
    )


def delivery_from(row: Record) -> Delivery:
    """A delivery, from all its columns."""
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        payment_id=row["payment_id"],
        state=DeliveryState(row["state"]),
        due_at=row["due_at"],
        attempt_count=row["attempt_count"],
        last_status=row["last_status"],
        last_error=row["last_error"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        delivered_at=row["delivered_at"],
    )
