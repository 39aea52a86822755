"""What operators asked for by hand: who, why, when, how, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import orjson

from store.queries import bound
from store.read.id_ranges import LAST_ID

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

# The outcome of what was not refused; any other is the code of the refusal.
DONE: Final = "done"


class Via(StrEnum):
    """The way by which something was asked for."""

    API = "api"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who asks for what; `asked` is the body in JSON, `target` its address."""

    tenant_id: str
    actor: str
    via: Via
    action: str
    target: str
    reason: str | None
    asked: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log."""

    id: UUID
    signature: Signature
    outcome: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilters:
    """Which entries; None filters nothing."""

    action: str | None = None
    target: str | None = None


async def audit_log_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    filters: AuditFilters,
    *,
    before: UUID | None,
    limit: int,
) -> list[AuditEntry]:
    """The tenant's entries, newest first, older than the entry `before`."""
    page = bound(
        "audit_log_page",
        tenant_id=tenant_id,
        before_id=before or LAST_ID,
        rows_max=limit,
        **asdict(filters),
    )
    return [_entry(row) for row in await connection.fetch(*page)]


def asked_of(entry: AuditEntry) -> dict[str, object]:
    """The body that was sent, as JSON has it."""
    body: dict[str, object] = orjson.loads(entry.signature.asked)
    return body


def _entry(row: Record) -> AuditEntry:
    signature = Signature(
        tenant_id=row["tenant_id"],
        actor=row["actor"],
        via=Via(row["via"]),
        action=row["action"],
        target=row["target"],
        reason=row["reason"],
        asked=row["asked"],
        request_id=row["request_id"],
    )
    return AuditEntry(
        id=row["id"], signature=signature, outcome=row["outcome"], recorded_at=row["recorded_at"]
    )
