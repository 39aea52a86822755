"""A dead letter: a message or a piece of work that could not be processed, kept whole.

It has an owner (the stage), an age, the original bytes and the reason; it leaves
the queue only signed by an actor.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from payments.ids import dead_letter_id
from payments.payment import Payment
from payments.record import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from payments.refund import Refund


class DeadLetterState(StrEnum):
    """Parked until an operator redrives or discards it."""

    PARKED = "parked"
    REDRIVEN = "redriven"
    DISCARDED = "discarded"


class DeadLetterReason(StrEnum):
    """Why it could not be processed."""

    UNDECODABLE = "undecodable"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_SUBJECT = "unknown_subject"
    HANDLER_ERROR = "handler_error"
    RETRIES_EXHAUSTED = "retries_exhausted"
    OUTCOME_UNRESOLVED = "outcome_unresolved"
    CONTRADICTION = "contradiction"
    # Nothing is wrong with it: an earlier message of its payment is parked.
    WAITS_BEHIND = "waits_behind"


class SourceMessage(Struct, frozen=True):
    """A consumed message as it came: where it stood and its bytes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)


class DeadLetter(Struct, frozen=True):
    """One letter; `version` counts its changes.

    A letter of a payment's message is `queued_for` that payment, whose later messages to
    the stage are parked behind it; `waits_behind` is the letter that is in its own way.
    """

    id: UUID
    tenant_id: str
    stage: str
    reason: DeadLetterReason
    error: str
    source: SourceMessage
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    payment_id: UUID | None = None
    refund_id: UUID | None = None
    queued_for: UUID | None = None
    waits_behind: UUID | None = None
    state: DeadLetterState = DeadLetterState.PARKED
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None
    version: int = 1

    @property
    def message_id(self) -> UUID:
        """The id of the message that says this version: the same, however often it is said."""
        return dead_letter_id(str(self.id), str(self.version))


def letter_about(  # noqa: PLR0917 - each is a column of the letter
    subject: Payment | Refund,
    stage: str,
    reason: DeadLetterReason,
    error: str,
    source: SourceMessage,
    at: datetime,
) -> DeadLetter:
    """The letter of work that was given up, one an attempt; `source` is what asked for it."""
    attempts = subject.progress.attempt_count
    payment_id, refund_id = (
        (subject.id, None) if isinstance(subject, Payment) else (subject.payment_id, subject.id)
    )
    return DeadLetter(
        id=dead_letter_id(stage, f"{subject.id}/{attempts}/{reason.value}"),
        tenant_id=subject.tenant_id,
        stage=stage,
        reason=reason,
        error=error,
        source=source,
        attempts=attempts,
        first_failed_at=subject.created_at,
        last_failed_at=at,
        payment_id=payment_id,
        refund_id=refund_id,
    )
