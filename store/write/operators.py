"""What operators ask for that is no command of the core: signed, together with its effect."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from store.queries import bound
from store.rows import columns

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    from store.read.audit_log import AuditEntry


class RelayCommand(StrEnum):
    """What the console asks of a relay."""

    PAUSE = "pause"
    RESUME = "resume"


async def ask_relay(
    connection: PoolConnectionProxy,
    sink: str,
    command: RelayCommand,
    entry: AuditEntry,
) -> bool:
    """Whether there is such a sink, whose relay then does it within a second or so."""
    asked = bound(
        "ask_relay",
        sink=sink,
        command=command.value,
        topic=None,
        key=None,
        first_at=None,
        end_at=None,
        message_id=None,
        actor=entry.signature.actor,
        reason=entry.signature.reason,
    )
    async with connection.transaction():
        if await connection.fetchval(*asked) is None:
            return False
        await connection.execute(*columns("insert_audit_log", [entry]))
    return True
