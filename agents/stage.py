"""The only loop that touches Faust's events: take, decode, hand over, and only then acknowledge.

What holds: an event is acknowledged after Postgres has recorded what became of it
(claimed, found done, or parked as a dead letter) and after every event before it in
its partition; no exception of a handler, and no undecodable byte, leaves the loop.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from agents.durably import submit_durably
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetterReason, SourceMessage
from payments.ids import dead_letter_id
from store.group_commit import Submission
from topics.contracts.envelope import EnvelopeError, Message, from_kafka

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faust.types import EventT

    from store.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

log = structlog.get_logger()

# As many as the group committer puts into one transaction.
_BATCH_MAX: Final = 256
# Where a message without a readable tenant is parked: its finder is an operator.
_NO_TENANT: Final = "default"
_ERROR_LENGTH_MAX: Final = 2000


class PoisonError(Exception):
    """This message cannot be processed, now or later; it is to be parked."""

    def __init__(self, reason: DeadLetterReason, error: str) -> None:
        super().__init__(error)
        self.reason = reason


class Handler(Protocol):
    """What a stage does with one message."""

    @property
    def stage(self) -> str:
        """The stage's name."""
        ...

    async def ready(self) -> None:
        """Return when there is room for more work: this is the stage's back-pressure."""
        ...

    async def handle(self, message: Message, source: SourceMessage) -> None:
        """Return when Postgres has recorded what became of the message.

        Raises PoisonError for a message that can never be processed.
        """
        ...


class Stage:
    """A handler on its stream; `committer` is where poison is parked.

    `consume` is what the Faust agent awaits; `run` does the work beside it, so that
    `stop` can end the work between two batches before Faust is torn down.
    """

    def __init__(self, handler: Handler, committer: GroupCommitter, metrics: Metrics) -> None:
        self._handler = handler
        self._committer = committer
        self._metrics = metrics.stage
        self._inbox: asyncio.Queue[EventT[bytes] | None] = asyncio.Queue(_BATCH_MAX)
        self._stopping = False

    async def consume(self, events: AsyncIterator[EventT[bytes]]) -> None:
        """Take events as fast as they are worked off."""
        async for event in events:
            await self._inbox.put(event)

    def stop(self) -> None:
        """Let `run` return after the batch it is at; what was not begun is not acknowledged."""
        self._stopping = True
        if self._inbox.empty():
            self._inbox.put_nowait(None)

    async def run(self) -> None:
        """Record batch after batch, acknowledging each, until stopped."""
        stage = self._handler.stage
        while batch := await self._batch():
            self._metrics.taken.labels(stage).inc(len(batch))
            self._metrics.batch_size.labels(stage).observe(len(batch))
            # All at once, so that their commands share a transaction.
            await asyncio.gather(*map(self._handled, batch))
            for event in batch:
                event.ack()
            self._metrics.acked.labels(stage).inc(len(batch))

    async def _batch(self) -> list[EventT[bytes]]:
        """What has arrived, at least one event; nothing once stopped."""
        await self._handler.ready()
        if self._stopping:
            return []
        taken = [await self._inbox.get()]
        while len(taken) < _BATCH_MAX and not self._inbox.empty():
            taken.append(self._inbox.get_nowait())
        return [event for event in taken if event is not None]

    async def _handled(self, event: EventT[bytes]) -> None:
        source = _source(event)
        try:
            message = _decoded(event)
            await self._handler.handle(message, source)
        except PoisonError as poison:
            await self._park(source, poison.reason, str(poison))
        except Exception as error:
            # Whatever the bug, the partition must move on and the message must not be lost.
            log.exception("a handler failed", stage=self._handler.stage, offset=source.offset)
            await self._park(source, DeadLetterReason.HANDLER_ERROR, repr(error))

    async def _park(self, source: SourceMessage, reason: DeadLetterReason, error: str) -> None:
        stage = self._handler.stage
        digest = hashlib.sha256(source.value or b"").hexdigest()
        place = f"{source.topic}/{source.partition}/{source.offset}/{digest}"
        command = ParkMessage(
            letter_id=dead_letter_id(stage, place),
            tenant_id=source.headers.get("ce_tenantid", _NO_TENANT),
            stage=stage,
            reason=reason,
            error=_storable(error)[:_ERROR_LENGTH_MAX],
            source=source,
        )
        submission = Submission(command, traceparent=source.headers.get("traceparent"))
        await submit_durably(self._committer, submission)
        self._metrics.dead_letters.labels(stage, reason.value).inc()
        log.error("parked a message", stage=stage, reason=reason.value, place=place, error=error)


def _decoded(event: EventT[bytes]) -> Message:
    try:
        return from_kafka(
            event.message.topic, event.message.key, event.message.value, _headers(event).items()
        )
    except EnvelopeError as error:
        raise PoisonError(DeadLetterReason.UNDECODABLE, str(error)) from error


def _source(event: EventT[bytes]) -> SourceMessage:
    message = event.message
    headers = {
        name: _storable(value.decode("utf-8", "replace")) for name, value in _headers(event).items()
    }
    return SourceMessage(
        message.topic, message.partition, message.offset, message.key, message.value, headers
    )


def _headers(event: EventT[bytes]) -> dict[str, bytes]:
    return {name: value or b"" for name, value in (event.headers or {}).items()}


def _storable(text: str) -> str:
    """Postgres keeps no NUL in a text."""
    return text.replace("\0", "\ufffd")
