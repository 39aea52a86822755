"""Sessions of browsers at the console: begun with a key, ended by hand, by time or with the key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from store.queries import bound

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg.pool import PoolConnectionProxy

# For as long as an ended session is kept, for whoever asks who was signed in.
_KEPT: Final = timedelta(days=30)


async def begin_session(
    connection: PoolConnectionProxy,
    id_sha256: bytes,
    key_id: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Record a session of the key's, and forget some that are long over."""
    await connection.execute(*bound("forget_console_sessions", before=now - _KEPT))
    session = bound(
        "insert_console_session",
        id_sha256=id_sha256,
        key_id=key_id,
        now=now,
        expires_at=expires_at,
    )
    await connection.execute(*session)


async def end_session(connection: PoolConnectionProxy, id_sha256: bytes, now: datetime) -> None:
    """It opens nothing any more."""
    await connection.execute(*bound("end_console_session", id_sha256=id_sha256, now=now))


async def session_key(
    connection: PoolConnectionProxy, id_sha256: bytes, now: datetime
) -> str | None:
    """The id of the key whose session it is, or None for none or one that is over."""
    found: str | None = await connection.fetchval(
        *bound("console_session_key", id_sha256=id_sha256, now=now)
    )
    return found
