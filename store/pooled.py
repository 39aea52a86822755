"""A connection through PgBouncer, which gives its session to others after each transaction.

Nothing can be set for a session there, so each transaction is told what a session of ours has: in
the message that begins it, at no price. A statement alone becomes a transaction, with the same
limits, at the price of two more round trips.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

# What the server has, unless that does not wait for its own disk.
_DURABILITY: Final = """
SELECT coalesce(nullif(setting, 'off'), 'on')
FROM pg_settings
WHERE name = 'synchronous_commit'
"""

_Method = TypeVar("_Method", bound="Callable[..., Awaitable[object]]")


def _in_transaction(method: _Method) -> _Method:
    """In one of its own where there is none."""

    @wraps(method)
    async def call(self: PooledConnection, *args: object, **kwargs: object) -> object:
        if self.is_in_transaction():
            return await method(self, *args, **kwargs)
        async with self.transaction():
            return await method(self, *args, **kwargs)

    return cast("_Method", call)


class PooledConnection(asyncpg.Connection):
    """To be told of `limits` before its first transaction."""

    # Of all transactions: `SET LOCAL` statements.
    begins_with = ""

    async def limit(self, limits: Mapping[str, str]) -> None:
        """Of each transaction from now on."""
        durability = await self.fetchval(_DURABILITY)
        settings = {**limits, "synchronous_commit": durability}
        self.begins_with = "".join(
            f" SET LOCAL {name} = '{value}';" for name, value in settings.items()
        )

    def get_reset_query(self) -> str:
        """None: the session is not ours to reset."""
        return ""

    # The signatures are asyncpg's.
    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ANN401, ASYNC109
        if args and not self.is_in_transaction():
            async with self.transaction():
                return await super().execute(query, *args, timeout=timeout)
        if not args and query.startswith("BEGIN"):
            query += self.begins_with
        return await super().execute(query, *args, timeout=timeout)

    executemany = _in_transaction(asyncpg.Connection.executemany)
    fetch = _in_transaction(asyncpg.Connection.fetch)
    fetchrow = _in_transaction(asyncpg.Connection.fetchrow)
    fetchval = _in_transaction(asyncpg.Connection.fetchval)
