"""Reading disputes; None as tenant means any, which only an operator's console says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from store.queries import bound
from store.read.id_ranges import LAST_ID
from store.rows import dispute_from

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.dispute import Dispute
    from payments.payment import Provider
    from payments.standing import DisputeState

# Later than any dispute, and within what Postgres and Python both can write.
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFilters:
    """Which disputes; None filters nothing."""

    state: DisputeState | None = None
    provider: Provider | None = None
    payment_id: UUID | None = None


async def dispute_by_id(
    connection: PoolConnectionProxy, tenant_id: str | None, dispute_id: UUID
) -> Dispute | None:
    """The dispute, or None."""
    row = await connection.fetchrow(*bound("dispute_by_id", tenant_id=tenant_id, id=dispute_id))
    return dispute_from(row) if row else None


async def disputes_page(
    connection: PoolConnectionProxy,
    tenant_id: str | None,
    filters: DisputeFilters,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Dispute]:
    """Disputes, the newest first, older than the position `before`."""
    before_time, before_id = before or (_LATEST, LAST_ID)
    page = bound(
        "disputes_page",
        tenant_id=tenant_id,
        before_time=before_time,
        before_id=before_id,
        **asdict(filters),
        rows_max=limit,
    )
    return [dispute_from(row) for row in await connection.fetch(*page)]
