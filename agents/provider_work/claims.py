"""A work message becomes a claim, and a claim a call: what charge and refund have in common."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from pydantic import ValidationError

from agents.consumer.delivery import PoisonError
from agents.durably import submit_durably
from payments.commands import ClaimRefund
from payments.dead_letter import DeadLetterReason
from payments.decision import Claimed, RefusalCode, Refused
from payments.outcome import Operation
from providers.circuits import circuit_of
from store.pool import AWAY
from store.read.subjects import known_subjects
from store.write.group_commit import Submission
from telemetry.tracing import Trace
from topics.contracts.payloads import WorkData

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from agents.provider_work.calls import ProviderCalls
    from agents.provider_work.provider_stage import ProviderStage
    from payments.commands import ClaimPayment
    from payments.dead_letter import SourceMessage
    from payments.decision import Result
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics
    from topics.contracts.envelope import Message

log = structlog.get_logger()

# A glance at the bytes: the message is read, and refused if it must be, in `handle`.
_PROVIDER: Final = re.compile(rb'"provider":"([a-z]{1,32})"')
_OPERATION: Final = re.compile(rb'"operation":"(' + b"|".join(map(str.encode, Operation)) + rb')"')
# Of messages that name no provider of ours: they are parked, or were sent by an old release.
_ROOM_OF_NOBODY: Final = 64
# A thousand look-ups by primary key.
_KNOWN_WITHIN_S: Final = 5.0
_ABSENT: Final = frozenset({RefusalCode.PAYMENT_NOT_FOUND, RefusalCode.REFUND_NOT_FOUND})


# Two seconds in all: a synchronous standby that answers slowly keeps a commit invisible.
_NOT_YET_VISIBLE_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ClaimHandler:
    """A stage's handler: claims what a message asks for and starts the call."""

    provider_stage: ProviderStage
    committer: GroupCommitter
    calls: ProviderCalls
    metrics: Metrics
    pool: asyncpg.Pool[asyncpg.Record]

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self.provider_stage.stage

    def lane(self, message: Message) -> str:
        """A provider's work waits for that provider only, and for what it is asked to do."""
        found = _PROVIDER.search(message.value)
        provider = found[1].decode() if found else ""
        if not self.calls.knows(provider):
            return ""
        asked = _OPERATION.search(message.value)
        return f"{provider}/{circuit_of(Operation(asked[1].decode()))}" if asked else provider

    async def room(self, lane: str) -> int:
        """Wait while no more calls to the lane's provider may be begun."""
        provider, _, operation = lane.partition("/")
        if not provider:
            return _ROOM_OF_NOBODY
        return await self.calls.room(provider, Operation(operation) if operation else None)

    async def handle(self, message: Message, source: SourceMessage) -> None:
        """Claim, then start the call; a claim refused means that somebody else did or has."""
        submission = Submission(
            self._claim(message),
            trace=Trace.of(message.traceparent, message.tracestate),
            tenant=message.tenant_id,
        )
        outcome = await self._visible(submission)
        match outcome:
            case Claimed():
                self.metrics.stage.claims.labels(self.stage).inc()
                self.calls.start(outcome, source)
            case Refused(code) if code in _ABSENT:
                raise PoisonError(DeadLetterReason.UNKNOWN_SUBJECT, outcome.detail)
            case Refused(RefusalCode.BEHIND_DEAD_LETTER):
                raise PoisonError(DeadLetterReason.WAITS_BEHIND, outcome.detail)
            case _:
                self.metrics.stage.skipped.labels(self.stage, "not_claimable").inc()

    async def known(self, messages: Sequence[Message]) -> list[bool] | None:
        """Of each, whether what it is about is in Postgres; None while Postgres does not say."""
        subjects = [self._subject(each) for each in messages]
        try:
            async with asyncio.timeout(_KNOWN_WITHIN_S):
                found = await known_subjects(self.pool, filter(None, subjects))
        except AWAY as error:
            log.warning("nothing is left to Postgres while it is away", error=repr(error))
            return None
        return [each in found for each in subjects]

    def _subject(self, message: Message) -> UUID | None:
        """What the message is about; None for one that is to be parked."""
        try:
            claim = self._claim(message)
        except PoisonError:
            return None
        return claim.refund_id if isinstance(claim, ClaimRefund) else claim.payment_id

    async def _visible(self, submission: Submission) -> Result | Refused:
        """The claim's outcome, asked for again while its subject is not to be seen.

        A commit is in the WAL, and with this relay in the stage, a moment before other
        transactions see it: a subject that is missing now may be there in a millisecond.
        """
        for wait_s in _NOT_YET_VISIBLE_S:
            outcome = await submit_durably(self.committer, submission)
            if not (isinstance(outcome, Refused) and outcome.code in _ABSENT):
                return outcome
            await asyncio.sleep(wait_s)
        return await submit_durably(self.committer, submission)

    def _claim(self, message: Message) -> ClaimPayment | ClaimRefund:
        if message.type != self.provider_stage.understands:
            raise PoisonError(
                DeadLetterReason.UNKNOWN_TYPE, f"{self.stage} does not know {message.type!r}"
            )
        try:
            return self.provider_stage.claim(WorkData.model_validate_json(message.value))
        except ValidationError as error:
            raise PoisonError(DeadLetterReason.UNDECODABLE, str(error)) from error
