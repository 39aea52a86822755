"""The only loop that touches Faust's events: take, decode, hand over, and only then acknowledge.

What holds: an event is acknowledged after Postgres has recorded what became of it
(claimed, found done, or parked as a dead letter) and after every event before it in
its partition; no exception of a handler, and no undecodable byte, leaves the loop.
Events flow in lanes, one a provider, so that a provider that hangs holds up nobody
else's work; those of one key never overtake each other, and wait behind one of theirs
that is parked. When too many of the last messages had to be parked the stage pauses:
it begins nothing more, and says so, until somebody restarts it.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from uuid import UUID

import structlog

from agents.consumer.acknowledger import Acknowledger
from agents.consumer.dead_letter_limiter import DeadLetterLimiter
from agents.consumer.key_order import KeyOrder
from agents.durably import submit_durably
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetterReason, SourceMessage
from payments.decision import Refused
from payments.ids import dead_letter_id
from store.write.group_commit import Submission
from topics.contracts.envelope import EnvelopeError, Message, from_kafka

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from faust.types import EventT

    from agents.consumer.key_order import KeyTurn
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

log = structlog.get_logger()

# As many as the group committer puts into one transaction.
_BATCH_MAX: Final = 256
# Taken and waiting, a lane: some 20 MB of messages, and a minute of a provider that hangs.
_LANE_MAX: Final = 10_000
# Where a message without a readable tenant is parked: its finder is an operator.
_NO_TENANT: Final = "default"
_ERROR_LENGTH_MAX: Final = 2000


class PoisonError(Exception):
    """This message cannot be processed, now or later; or only after another: it is to be parked."""

    def __init__(self, reason: DeadLetterReason, error: str) -> None:
        super().__init__(error)
        self.reason = reason


class Handler(Protocol):
    """What a stage does with one message."""

    @property
    def stage(self) -> str:
        """The stage's name."""
        ...

    def lane(self, message: Message) -> str:
        """Messages of one lane are begun in order; lanes do not wait for each other."""
        ...

    async def room(self, lane: str) -> int:
        """Wait until a lane may go on; how many messages it may begin now, at least one."""
        ...

    async def handle(self, message: Message, source: SourceMessage) -> None:
        """Return when Postgres has recorded what became of the message.

        Raises PoisonError for a message that can never be processed, or must wait behind one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event, where it stood, and what it says or why nobody can tell."""

    event: EventT[bytes]
    turn: KeyTurn
    source: SourceMessage
    message: Message | PoisonError


_Lane = asyncio.Queue[Delivery]
ResultT = TypeVar("ResultT")


class Stage:
    """A handler on its stream; `committer` is where poison is parked.

    `consume` is what the Faust agent awaits; `run` does the work beside it, so that
    `stop` can end the work between two batches before Faust is torn down.
    """

    def __init__(
        self,
        handler: Handler,
        committer: GroupCommitter,
        metrics: Metrics,
        limiter: DeadLetterLimiter | None = None,
    ) -> None:
        self._handler = handler
        self._committer = committer
        self._metrics = metrics.stage
        self._limiter = limiter or DeadLetterLimiter()
        self._is_paused = False
        self._metrics.paused.labels(handler.stage).set(0)
        self._acknowledger = Acknowledger()
        self._turns = KeyOrder()
        self._lanes: dict[str, _Lane] = {}
        self._tasks = asyncio.TaskGroup()
        self._running = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def is_paused(self) -> bool:
        """Whether it begins nothing more, though nobody told it to stop."""
        return self._is_paused

    async def run(self) -> None:
        """Work until stopped; returns when every batch that was begun is recorded."""
        async with self._tasks:
            self._running.set()
            await self._stopping.wait()

    def stop(self) -> None:
        """Begin no further batch; what was not begun stays unacknowledged and comes again."""
        self._stopping.set()

    async def consume(self, events: AsyncIterator[EventT[bytes]]) -> None:
        """Take events as fast as the slowest lane has room for them."""
        await self._running.wait()
        async for event in events:
            if self._stopping.is_set():
                # Nobody's: unacknowledged, it comes again elsewhere.
                continue
            self._acknowledger.taken(event)
            delivery = _delivered(event, self._turns.taken(event))
            await self._lane(self._name_of_lane(delivery.message)).put(delivery)

    def _name_of_lane(self, message: Message | PoisonError) -> str:
        return "" if isinstance(message, PoisonError) else self._handler.lane(message)

    def _lane(self, name: str) -> _Lane:
        if name not in self._lanes:
            self._lanes[name] = asyncio.Queue(_LANE_MAX)
            work = self._work(name, self._lanes[name])
            self._tasks.create_task(work, name=f"{self._handler.stage}-{name}")
        return self._lanes[name]

    async def _work(self, name: str, lane: _Lane) -> None:
        stage = self._handler.stage
        while batch := await self._batch(name, lane):
            self._metrics.taken.labels(stage).inc(len(batch))
            self._metrics.batch_size.labels(stage).observe(len(batch))
            # All at once, so that their commands share a transaction.
            recorded = await asyncio.gather(*map(self._recorded, batch))
            done = (each.event for each in compress(batch, recorded))
            acknowledged = sum(map(self._acknowledger.done, done))
            self._metrics.acked.labels(stage).inc(acknowledged)

    async def _batch(self, name: str, lane: _Lane) -> list[Delivery]:
        """What has arrived and there is room for, at least one; nothing once stopped."""
        first = await self._unless_stopped(lane.get())
        if first is None:
            return []
        room = await self._unless_stopped(self._handler.room(name))
        if room is None:
            return []
        if self._limiter.is_exceeded:
            await self._pause()
        if self._stopping.is_set():
            return []
        more = min(room, _BATCH_MAX) - 1
        return [first, *(lane.get_nowait() for _ in range(min(more, lane.qsize())))]

    async def _pause(self) -> None:
        """Wait to be stopped: a restart is the word of somebody who has looked."""
        if not self._is_paused:
            self._is_paused = True
            stage = self._handler.stage
            self._metrics.paused.labels(stage).set(1)
            log.error("paused: too many messages had to be parked", stage=stage)
        await self._stopping.wait()

    async def _unless_stopped(self, waiting: Coroutine[object, object, ResultT]) -> ResultT | None:
        """What it waits for, or nothing once stopped."""
        awaited = asyncio.ensure_future(waiting)
        told = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({awaited, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if self._stopping.is_set():
            awaited.cancel()
            return None
        return awaited.result()

    async def _recorded(self, delivery: Delivery) -> bool:
        """Whether it was its turn, so that it was handled or parked; else it comes again."""
        if not await delivery.turn.comes(self._stopping):
            return False
        while (poison := await self._poison_in(delivery)) is not None:
            if await self._is_parked(delivery.source, poison.reason, str(poison)):
                break
        if poison is None or poison.reason is not DeadLetterReason.WAITS_BEHIND:
            # One that waits is no sign of a fault: the one it waits behind was seen.
            self._limiter.saw(parked=poison is not None)
        self._turns.over(delivery.event, delivery.turn)
        return True

    async def _poison_in(self, delivery: Delivery) -> PoisonError | None:
        """Why the message cannot be processed; None once it was."""
        source = delivery.source
        if isinstance(delivery.message, PoisonError):
            return delivery.message
        try:
            await self._handler.handle(delivery.message, source)
        except PoisonError as poison:
            return poison
        except Exception as error:
            # Whatever the bug, the partition must move on and the message must not be lost.
            log.exception("a handler failed", stage=self._handler.stage, offset=source.offset)
            return PoisonError(DeadLetterReason.HANDLER_ERROR, repr(error))
        return None

    async def _is_parked(self, source: SourceMessage, reason: DeadLetterReason, error: str) -> bool:
        """Park it; False when it was to wait, and what it was to wait behind has gone."""
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
            payment_id=_payment_of(source),
        )
        submission = Submission(command, traceparent=source.headers.get("traceparent"))
        if isinstance(await submit_durably(self._committer, submission), Refused):
            return False
        say = log.info if reason is DeadLetterReason.WAITS_BEHIND else log.error
        say("parked a message", stage=stage, reason=reason.value, place=place, error=error)
        return True


def _payment_of(source: SourceMessage) -> UUID | None:
    """Whose message it is, by its key; a key that is none of ours is nobody's."""
    try:
        return UUID((source.key or b"").decode("ascii"))
    except ValueError:
        return None


def _delivered(event: EventT[bytes], turn: KeyTurn) -> Delivery:
    headers = {name: value or b"" for name, value in (event.headers or {}).items()}
    received = event.message
    texts = {name: _storable(value.decode("utf-8", "replace")) for name, value in headers.items()}
    source = SourceMessage(
        received.topic, received.partition, received.offset, received.key, received.value, texts
    )
    try:
        message: Message | PoisonError = from_kafka(
            received.topic, received.key, received.value, headers.items()
        )
    except EnvelopeError as error:
        message = PoisonError(DeadLetterReason.UNDECODABLE, str(error))
    return Delivery(event, turn, source, message)


def _storable(text: str) -> str:
    """Postgres keeps no NUL in a text, and UTF-8 has no lone surrogate."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
