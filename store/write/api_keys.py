"""API keys come, are revoked and expire; none is ever deleted or made valid again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.queries import bound
from store.read.api_keys import ApiKey, api_key_from

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg.pool import PoolConnectionProxy


async def insert_api_key(connection: PoolConnectionProxy, key: ApiKey) -> None:
    """Keep a new key."""
    await connection.execute(
        *bound(
            "insert_api_key",
            id=key.id,
            tenant_id=key.tenant_id,
            name=key.name,
            secret_sha256=key.secret_sha256,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


async def revoke_api_key(
    connection: PoolConnectionProxy, key_id: str, at: datetime
) -> ApiKey | None:
    """The key as it is once revoked, or None if there is no such key."""
    row = await connection.fetchrow(*bound("revoke_api_key", id=key_id, at=at))
    return api_key_from(row) if row else None


async def expire_api_key(
    connection: PoolConnectionProxy, key_id: str, at: datetime
) -> ApiKey | None:
    """The key with so much time left at most, or None if there is no such key."""
    row = await connection.fetchrow(*bound("expire_api_key", id=key_id, at=at))
    return api_key_from(row) if row else None
