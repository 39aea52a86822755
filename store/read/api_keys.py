"""API keys as rows: whose, good for what, until when, and the hash of the secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key; `secret_sha256` is all there is of its secret."""

    id: str
    tenant_id: str
    name: str
    secret_sha256: bytes = field(repr=False)
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid_at(self, now: datetime) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


async def api_key_by_id(connection: PoolConnectionProxy, key_id: str) -> ApiKey | None:
    """The key, valid or not, or None."""
    row = await connection.fetchrow(query("api_key_by_id"), key_id)
    return api_key_from(row) if row else None


async def api_keys_by_id(
    connection: PoolConnectionProxy, key_ids: Sequence[str]
) -> dict[str, ApiKey]:
    """Those of the keys that there are, valid or not, by their ids."""
    rows = await connection.fetch(query("api_keys_by_id"), key_ids)
    return {row["id"]: api_key_from(row) for row in rows}


async def api_keys(connection: PoolConnectionProxy, tenant_id: str | None) -> list[ApiKey]:
    """A tenant's keys, or all, oldest first."""
    return [api_key_from(row) for row in await connection.fetch(query("api_keys"), tenant_id)]


def api_key_from(row: Record) -> ApiKey:
    """A key, from all its columns."""
    return ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        secret_sha256=row["secret_sha256"],
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
