"""The only loop that touches Faust's events: take, decode, hand over, and only then acknowledge.

What holds: an event is acknowledged after Postgres has recorded what became of it
(claimed, found done, or parked as a dead letter) and after every event before it in
its partition; no exception of a handler, and no undecodable byte, leaves the loop.
Events flow in lanes, one a provider and what it is asked to do, so that a provider that
hangs holds up nobody else's work: what stands still in its lane is left to Postgres, and
acknowledged, if Postgres knows of it. Events of one key never overtake each other, and
wait behind one of theirs that is parked. When too many of the last messages had to be
parked the stage pauses: it begins nothing more, and says so, until somebody restarts it.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from uuid import UUID

import structlog

from agents.consumer.acknowledger import Acknowledger
from agents.consumer.dead_letter_limiter import DeadLetterLimiter
from agents.consumer.delivery import Delivery, PoisonError, delivered, storable, tenant_of
from agents.consumer.key_order import KeyOrder
from agents.consumer.lanes import LANE_MAX, Lane
from agents.durably import submit_durably
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetterReason
from payments.decision import Refused
from payments.ids import dead_letter_id
from store.write.group_commit import Submission
from telemetry.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence

    from faust.types import EventT

    from agents.consumer.lanes import Waiting
    from payments.dead_letter import SourceMessage
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics
    from topics.contracts.envelope import Message

    # Of each message, whether Postgres knows what it is about; None: it cannot be asked now.
    Known = Callable[[Sequence[Message]], Awaitable[Sequence[bool] | None]]

log = structlog.get_logger()

# As many as the group committer puts into one transaction.
_BATCH_MAX: Final = 256
# What is not recorded within this time waits for somebody who holds its rows, or for Postgres: what
# came after it goes on, but for its own key's, while so many are behind at the most.
_HELD_S: Final = 0.5
_BEHIND_MAX: Final = 256
# Until a lane that stands still is seen to, and looked at again.
_LEAVE_EVERY_S: Final = 0.5
_ERROR_LENGTH_MAX: Final = 2000


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


ResultT = TypeVar("ResultT")


class Stage:
    """A handler on its stream; `committer` is where poison is parked.

    `consume` is what the Faust agent awaits; `run` does the work beside it, so that
    `stop` can end the work between two batches before Faust is torn down. Without `known`
    nothing is left to Postgres, and a lane that is full makes all others wait.
    """

    def __init__(
        self,
        handler: Handler,
        committer: GroupCommitter,
        metrics: Metrics,
        limiter: DeadLetterLimiter | None = None,
        *,
        known: Known | None = None,
        lane_max: int = LANE_MAX,
    ) -> None:
        self._handler = handler
        self._committer = committer
        self._metrics = metrics.stage
        self._limiter = limiter or DeadLetterLimiter()
        self._known = known
        self._lane_max = lane_max
        self._is_paused = False
        self._metrics.paused.labels(handler.stage).set(0)
        self._metrics.begin(handler.stage, DeadLetterReason)
        self._acknowledger = Acknowledger()
        self._turns = KeyOrder()
        self._lanes: dict[str, Lane] = {}
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
            if self._known is not None:
                await self._leave_what_stands_still(self._known)
            await self._stopping.wait()

    def stop(self) -> None:
        """Begin no further batch; what was not begun stays unacknowledged and comes again."""
        self._stopping.set()

    async def consume(self, events: AsyncIterator[EventT[bytes]]) -> None:
        """Take events as fast as the lanes that move have room for them."""
        await self._running.wait()
        async for event in events:
            if self._stopping.is_set():
                # Nobody's: unacknowledged, it comes again elsewhere.
                continue
            self._acknowledger.taken(event)
            delivery = delivered(event)
            name = self._turns.lane(event, self._name_of_lane(delivery.message))
            lane = self._lane(name)
            await lane.room(may_overflow=self._known is not None)
            if lane.is_full:
                self._turns.beyond(event, name)
                lane.overflow.append(delivery)
            else:
                lane.put(delivery, self._turns.taken(event, name))

    def _name_of_lane(self, message: Message | PoisonError) -> str:
        return "" if isinstance(message, PoisonError) else self._handler.lane(message)

    def _lane(self, name: str) -> Lane:
        if name not in self._lanes:
            self._lanes[name] = Lane(self._lane_max)
            self._metrics.left.labels(self._handler.stage, name)
            work = self._work(name, self._lanes[name])
            self._tasks.create_task(work, name=f"{self._handler.stage}-{name}")
        return self._lanes[name]

    async def _work(self, name: str, lane: Lane) -> None:
        stage = self._handler.stage
        behind: set[asyncio.Task[None]] = set()
        while batch := await self._batch(name, lane):
            self._metrics.taken.labels(stage).inc(len(batch))
            self._metrics.batch_size.labels(stage).observe(len(batch))
            # All at once, so that their commands share a transaction.
            working = {self._tasks.create_task(self._worked_on(each)) for each in batch}
            _, held = await asyncio.wait(working, timeout=_HELD_S)
            behind = {each for each in behind | held if not each.done()}
            while len(behind) >= _BEHIND_MAX:
                _, behind = await asyncio.wait(behind, return_when=asyncio.FIRST_COMPLETED)

    async def _worked_on(self, waiting: Waiting) -> None:
        """See it recorded, and then acknowledge it."""
        if await self._recorded(waiting) and not waiting.is_left:
            self._acknowledge([waiting.delivery])

    def _acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        acknowledged = sum(self._acknowledger.done(each.event) for each in deliveries)
        self._metrics.acked.labels(self._handler.stage).inc(acknowledged)

    async def _batch(self, name: str, lane: Lane) -> list[Waiting]:
        """What has arrived and there is room for, at least one; nothing once stopped."""
        await self._unless_stopped(lane.arrived())
        if self._stopping.is_set():
            return []
        room = await self._unless_stopped(self._handler.room(name))
        if room is None:
            return []
        if self._limiter.is_exceeded:
            await self._pause()
        if self._stopping.is_set():
            return []
        return lane.take(min(room, _BATCH_MAX))

    async def _leave_what_stands_still(self, known: Known) -> None:
        while not self._stopping.is_set():
            await self._unless_stopped(asyncio.sleep(_LEAVE_EVERY_S))
            for name, lane in [*self._lanes.items()]:
                # A stage that is paused acknowledges nothing, whoever knows of it.
                if not self._limiter.is_exceeded:
                    await self._leave(name, lane, known)

    async def _leave(self, name: str, lane: Lane, known: Known) -> None:
        """Acknowledge what stands still and Postgres knows of; forget it beyond the bound."""
        # What came beyond the bound stays there meanwhile: none of its key may overtake it.
        waiting, beyond = lane.leavable(), [*lane.overflow]
        deliveries = [*(each.delivery for each in waiting), *beyond]
        if not deliveries:
            return
        are_known = await self._unless_stopped(self._are_known(deliveries, known))
        if are_known is None:
            return
        left = []
        for each, is_known in zip(waiting, are_known, strict=False):
            if is_known and not each.is_taken:
                each.is_left = True
                left.append(each.delivery)
        spilt = lane.spilt(len(beyond))
        for delivery, is_known in zip(spilt, are_known[len(waiting) :], strict=True):
            self._turns.beyond_no_more(delivery.event)
            if is_known:
                left.append(delivery)
            else:
                lane.put(delivery, self._turns.taken(delivery.event, name))
        self._acknowledge(left)
        self._metrics.left.labels(self._handler.stage, name).inc(len(left))

    async def _are_known(
        self, deliveries: Sequence[Delivery], known: Known
    ) -> Sequence[bool] | None:
        """Of each, whether Postgres knows what it is about; what nobody can read it does not."""
        readable = [
            each.message for each in deliveries if not isinstance(each.message, PoisonError)
        ]
        answers = await known(readable)
        if answers is None:
            return None
        answer = iter(answers)
        return [not isinstance(each.message, PoisonError) and next(answer) for each in deliveries]

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

    async def _recorded(self, waiting: Waiting) -> bool:
        """Whether it was its turn, so that it was handled or parked; else it comes again."""
        delivery = waiting.delivery
        if not await waiting.turn.comes(self._stopping):
            return False
        while (poison := await self._poison_in(delivery)) is not None:
            if await self._is_parked(delivery.source, poison.reason, str(poison)):
                break
        if poison is None or poison.reason is not DeadLetterReason.WAITS_BEHIND:
            # One that waits is no sign of a fault: the one it waits behind was seen.
            self._limiter.saw(parked=poison is not None)
        self._turns.over(delivery.event, waiting.turn)
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
            tenant_id=tenant_of(source),
            stage=stage,
            reason=reason,
            error=storable(error)[:_ERROR_LENGTH_MAX],
            source=source,
            payment_id=_payment_of(source),
        )
        submission = Submission(command, trace=Trace.carried_by(source.headers))
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
