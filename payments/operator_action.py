"""What an operator did to a payment, a refund or a dead letter: who, why, when, and what.

Recorded with its effect and never changed, so that whoever moved money by hand is known.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from payments.record import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


class Action(StrEnum):
    """What operators can do."""

    RESOLVE = "resolve"
    REDRIVE = "redrive"
    DISCARD = "discard"


class OperatorAction(Struct, frozen=True):
    """One action; `detail` is what it was about, in JSON's terms."""

    id: UUID
    tenant_id: str
    actor: str
    reason: str
    action: Action
    payment_id: UUID | None
    refund_id: UUID | None
    detail: Mapping[str, object]
    recorded_at: datetime
