"""Reading disputes; None as tenant means any, which is said at the command line alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from store.queries import bound
from store.read.found import found_by, of_one_or_all
from store.read.id_ranges import LAST_ID
from store.rows import dispute_from

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.dispute import Dispute
    from payments.payment import Provider
    from payments.standing import DisputeState
    from store.read.found import Found

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
) -> Found[Dispute, tuple[datetime, UUID]]:
    """Disputes, the newest first, older than the position `before`."""
    before_time, before_id = before or (_LATEST, LAST_ID)
    sought = asdict(filters)
    name, of = "disputes_page_of_payment", dict[str, object](tenant_id=tenant_id)
    if filters.payment_id is None:
        name, of = of_one_or_all("disputes_page", tenant_id)
        del sought["payment_id"]
    return await found_by(
        connection,
        name,
        dispute_from,
        itemgetter("created_at", "id"),
        before_time=before_time,
        before_id=before_id,
        rows_max=limit,
        **of,
        **sought,
    )
