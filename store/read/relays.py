"""The relays as the database knows them: who has each sink, how far behind, paused or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy


async def relays(connection: PoolConnectionProxy) -> Sequence[Record]:
    """A row a sink."""
    return await connection.fetch(query("relay_status"))
