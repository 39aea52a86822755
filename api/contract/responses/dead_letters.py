"""A dead letter, with the message as it came and what waits behind it."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

import base64
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState


class DeadLetterResponse(BaseModel):
    """A dead letter with the original bytes in base64."""

    model_config = FROZEN

    id: UUID
    stage: str
    reason: DeadLetterReason
    error: str
    state: DeadLetterState
    attempts: int
    payment_id: UUID | None
    refund_id: UUID | None
    topic: str
    partition: int
    offset: int
    key_base64: str | None
    value_base64: str | None
    headers: dict[str, str]
    first_failed_at: datetime
    last_failed_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None
    # Whose queue it stands in, and which letter is in its way there.
    queued_for: UUID | None = None
    waits_behind: UUID | None = None

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        """The letter, whole."""
        source = letter.source
        return cls(
            id=letter.id,
            stage=letter.stage,
            reason=letter.reason,
            error=letter.error,
            state=letter.state,
            attempts=letter.attempts,
            payment_id=letter.payment_id,
            refund_id=letter.refund_id,
            topic=source.topic,
            partition=source.partition,
            offset=source.offset,
            key_base64=_base64(source.key),
            value_base64=_base64(source.value),
            headers=dict(source.headers),
            first_failed_at=letter.first_failed_at,
            last_failed_at=letter.last_failed_at,
            resolved_at=letter.resolved_at,
            resolved_by=letter.resolved_by,
            resolution=letter.resolution,
            queued_for=letter.queued_for,
            waits_behind=letter.waits_behind,
        )


class DeadLetterDetailResponse(DeadLetterResponse):
    """A dead letter, and the letters that wait behind it, in the order of their messages."""

    waiting: list[UUID]

    @classmethod
    def detailed(cls, letter: DeadLetter, waiting: list[UUID]) -> Self:
        """The letter with its queue."""
        return cls(**vars(DeadLetterResponse.of(letter)), waiting=waiting)


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")
