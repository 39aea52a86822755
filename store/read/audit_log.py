"""What operators asked for by hand: who, why, when, how, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import orjson

from store.read.found import READ_MAX, found_by
from store.read.id_ranges import FIRST_ID, LAST_ID, first_id_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from store.read.found import Found

# The outcome of what was not refused; any other is the code of the refusal.
DONE: Final = "done"
# Of what is no one transaction: written before it, and what became of it in a line of its own, with
# the same `request_id`.
ASKED: Final = "asked"
FAILED: Final = "failed"
# Whose operator asks where it is the platform's own: no tenant is called so.
PLATFORM: Final = ""


class Via(StrEnum):
    """The way by which something was asked for."""

    API = "api"
    CONSOLE = "console"
    CLI = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who asks for what; `asked` is the body in JSON, `target` its address.

    `tenant_id` is whose operator asks, and `about_tenant_id` whom the platform's asks about: None
    for what is no tenant's.
    """

    tenant_id: str
    actor: str
    via: Via
    action: str
    target: str
    reason: str | None
    asked: str
    request_id: str
    about_tenant_id: str | None = None

    @property
    def concerns(self) -> str | None:
        """Whose thing it is about; None for what is no tenant's."""
        return self.about_tenant_id if self.tenant_id == PLATFORM else self.tenant_id


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSearch:
    """Which entries of all; None filters nothing."""

    tenant_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None


async def audit_log_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    filters: AuditFilters,
    *,
    before: UUID | None,
    limit: int,
) -> Found[AuditEntry, UUID]:
    """What an operator of the tenant sees, newest first, older than the entry `before`.

    That is the tenant's, and what was asked about no tenant.
    """
    # The parts are sorted together, so that whatever may be read is.
    read_max = limit if filters == AuditFilters() else READ_MAX
    return await found_by(
        connection,
        "audit_log_page",
        _entry,
        itemgetter("id"),
        read_max=read_max,
        tenant_id=tenant_id,
        before_id=before or LAST_ID,
        rows_max=limit,
        **asdict(filters),
    )


async def audit_log_of_all(
    connection: PoolConnectionProxy, search: AuditSearch, *, before: UUID | None, limit: int
) -> Found[AuditEntry, UUID]:
    """Entries of every tenant and of none, newest first, older than the entry `before`."""
    return await found_by(
        connection,
        "audit_log_of_all",
        _entry,
        itemgetter("id"),
        before_id=before or LAST_ID,
        first_id=FIRST_ID if search.since is None else first_id_of(search.since),
        tenant_id=search.tenant_id,
        actor=search.actor,
        action=search.action,
        rows_max=limit,
    )


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
        about_tenant_id=row["about_tenant_id"],
    )
    return AuditEntry(
        id=row["id"], signature=signature, outcome=row["outcome"], recorded_at=row["recorded_at"]
    )
