"""The dead-letters stage: sees that every letter on the topic is filed, and says so aloud.

Letters of our own stages are in Postgres before they are on the topic. One that is
not (a foreign producer's, or from before a restore) is filed here, so that no letter
is only on a topic that will one day forget it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from pydantic import ValidationError

from agents.consumer.delivery import PoisonError, tenant_of
from agents.durably import submit_durably
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetterReason, DeadLetterState, SourceMessage
from store.write.group_commit import Submission
from telemetry.tracing import Trace
from topics.contracts.payloads import DeadLetterEventData

if TYPE_CHECKING:
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics
    from topics.contracts.envelope import Message

log = structlog.get_logger()

STAGE: Final = "dead-letters"
_ROOM: Final = 100


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Files letters through `committer`."""

    committer: GroupCommitter
    metrics: Metrics
    stage: str = STAGE

    def lane(self, message: Message) -> str:  # noqa: ARG002 - there is but one
        """All letters are filed alike."""
        return ""

    async def room(self, lane: str) -> int:  # noqa: ARG002 - there is but one
        """Filing waits for nothing but Postgres."""
        return _ROOM

    async def handle(
        self,
        message: Message,
        source: SourceMessage,
    ) -> None:
        """File a parked letter unless it is filed; raises PoisonError for what is no letter."""
        try:
            letter = DeadLetterEventData.model_validate_json(message.value).dead_letter
        except ValidationError as error:
            raise PoisonError(DeadLetterReason.UNDECODABLE, str(error)) from error
        if letter.state is not DeadLetterState.PARKED:
            log.info("dead letter resolved", letter_id=str(letter.id), state=letter.state.value)
            return
        command = ParkMessage(
            letter_id=letter.id,
            tenant_id=tenant_of(source),
            stage=letter.stage,
            reason=letter.reason,
            error=f"{letter.error} (shortened: {letter.cut})" if letter.cut else letter.error,
            source=letter.original(),
        )
        submission = Submission(command, trace=Trace.of(message.traceparent, message.tracestate))
        await submit_durably(self.committer, submission)
        self.metrics.stage.processed.labels(self.stage, "filed").inc()
        say = log.info if letter.reason is DeadLetterReason.WAITS_BEHIND else log.warning
        say(
            "dead letter",
            letter_id=str(letter.id),
            of_stage=letter.stage,
            reason=letter.reason.value,
            payment_id=str(letter.payment_id) if letter.payment_id else None,
        )
