"""A payment or a refund of any tenant, named by its id alone: by an operator, or by a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payments.payment import Provider
from store.queries import bound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy


@dataclass(frozen=True, slots=True)
class Subject:
    """Which of the two it is, whose, its currency, and what its provider calls it."""

    is_refund: bool
    tenant_id: str
    currency: str
    provider: Provider | None
    provider_reference: str | None
    version: int


async def subject_by_id(connection: PoolConnectionProxy, subject_id: UUID) -> Subject | None:
    """The payment or refund of that id, or None."""
    row = await connection.fetchrow(*bound("subject_by_id", id=subject_id))
    if row is None:
        return None
    provider = Provider(row["provider"]) if row["provider"] else None
    return Subject(
        row["is_refund"],
        row["tenant_id"],
        row["currency"],
        provider,
        row["provider_reference"],
        row["version"],
    )


async def known_subjects(pool: asyncpg.Pool[asyncpg.Record], ids: Iterable[UUID]) -> set[UUID]:
    """Those of the ids that are a payment's or a refund's."""
    return {row["id"] for row in await pool.fetch(*bound("known_subjects", ids=list(ids)))}
