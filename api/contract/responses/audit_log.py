"""A line of the audit log: what an operator asked for, and what became of it."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from store.read.audit_log import AuditEntry, Via, asked_of


class AuditEntryResponse(BaseModel):
    """Who asked for what, and why. `outcome` is `done`, or the code of the refusal.

    `tenant_id` is whose thing it was; null for what is no tenant's, like a relay. What took several
    steps has two entries with one `request_id`: `asked`, and then `done` or `failed`.
    """

    model_config = FROZEN

    id: UUID
    tenant_id: str | None
    actor: str
    via: Via
    action: str
    target: str
    reason: str | None
    asked: dict[str, object]
    outcome: str
    request_id: str
    recorded_at: datetime

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """The entry as it was written."""
        signature = entry.signature
        return cls(
            id=entry.id,
            tenant_id=signature.concerns,
            actor=signature.actor,
            via=signature.via,
            action=signature.action,
            target=signature.target,
            reason=signature.reason,
            asked=asked_of(entry),
            outcome=entry.outcome,
            request_id=signature.request_id,
            recorded_at=entry.recorded_at,
        )
