"""What operators ask for that is no command of the core: signed, together with its effect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from store.queries import bound
from store.rows import columns

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from store.read.audit_log import AuditEntry


class RelayCommand(StrEnum):
    """What is asked of a relay."""

    PAUSE = "pause"
    RESUME = "resume"
    REBUILD = "rebuild"
    REPLAY = "replay"
    RETRY = "retry"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOrder:
    """What the relay of a sink is to do, and with which messages; None bounds nothing."""

    sink: str
    command: RelayCommand
    topic: str | None = None
    key: str | None = None
    first_at: datetime | None = None
    end_at: datetime | None = None
    message_id: UUID | None = None


async def sign(
    connection: PoolConnectionProxy | asyncpg.Connection[asyncpg.Record], entry: AuditEntry
) -> None:
    """Write it into the audit log: in the transaction of what was asked, where that is one."""
    await connection.execute(*columns("insert_audit_log", [entry]))


async def ask_relay(
    connection: PoolConnectionProxy, order: RelayOrder, entry: AuditEntry
) -> int | None:
    """The number of the command, which the relay obeys within a second or so.

    None where there is no such sink.
    """
    asked = bound(
        "ask_relay",
        sink=order.sink,
        command=order.command.value,
        topic=order.topic,
        key=order.key,
        first_at=order.first_at,
        end_at=order.end_at,
        message_id=order.message_id,
        actor=entry.signature.actor,
        reason=entry.signature.reason,
    )
    async with connection.transaction():
        number: int | None = await connection.fetchval(*asked)
        if number is not None:
            await sign(connection, entry)
    return number
