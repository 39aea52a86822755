"""Reading dead letters; None as tenant means any, which is said at the command line alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from store.queries import bound
from store.read.found import found_by, of_one_or_all
from store.read.id_ranges import LAST_ID
from store.rows import dead_letter_from

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState
    from store.read.found import Found

# Later than any letter, and within what Postgres and Python both can write.
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilters:
    """Which letters; None filters nothing."""

    state: DeadLetterState | None = None
    stage: str | None = None
    reason: DeadLetterReason | None = None


async def dead_letter_by_id(
    connection: PoolConnectionProxy, tenant_id: str | None, letter_id: UUID
) -> DeadLetter | None:
    """The letter, or None."""
    row = await connection.fetchrow(*bound("dead_letter_by_id", tenant_id=tenant_id, id=letter_id))
    return dead_letter_from(row) if row else None


async def tenants_of_letters(
    connection: PoolConnectionProxy, ids: Iterable[UUID]
) -> dict[UUID, str]:
    """Whose each letter is, of those that there are."""
    rows = await connection.fetch(*bound("tenants_of_letters", ids=list(ids)))
    return {row["id"]: row["tenant_id"] for row in rows}


async def letters_behind(connection: PoolConnectionProxy, letter: DeadLetter) -> list[UUID]:
    """The letters that wait behind this one, in the order in which they will be sent."""
    behind = bound("dead_letters_behind", queued_for=letter.queued_for, waits_behind=letter.id)
    rows = await connection.fetch(*behind)
    return [row["id"] for row in rows]


async def dead_letters_page(
    connection: PoolConnectionProxy,
    tenant_id: str | None,
    filters: DeadLetterFilters,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Found[DeadLetter, tuple[datetime, UUID]]:
    """Letters, the newest failure first, older than the position `before`."""
    before_time, before_id = before or (_LATEST, LAST_ID)
    name, of = of_one_or_all("dead_letters_page", tenant_id)
    return await found_by(
        connection,
        name,
        dead_letter_from,
        itemgetter("last_failed_at", "id"),
        before_time=before_time,
        before_id=before_id,
        rows_max=limit,
        **of,
        **asdict(filters),
    )
