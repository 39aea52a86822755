"""Takes events from their topic and keeps those that some endpoint wants, with a delivery for each.

Nothing is sent from here: what is acknowledged is in Postgres, and is sent from there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson
import structlog

from agents.consumer.delivery import PoisonError
from payments.dead_letter import DeadLetterReason
from store.faults import Fault, fault_of
from store.pool import AWAY
from store.read.webhooks import is_any_event_wanted
from store.write.webhook_deliveries import WebhookEvent, record_webhook_events
from telemetry.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import asyncpg

    from payments.dead_letter import SourceMessage
    from telemetry.metrics import Metrics
    from topics.contracts.envelope import Message

    Waiting = tuple[WebhookEvent, asyncio.Future[None]]

log = structlog.get_logger()

STAGE: Final = "deliver"
_ROOM: Final = 256
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 2.0
# A look at a few rows; a rebalance waits for it.
_LOOK_WITHIN_S: Final = 1.0
_UNWANTED: Final = "unwanted"


@dataclass(slots=True)
class Recording:
    """The stage's handler; whoever sends is told by `recorded` that there is something."""

    pool: asyncpg.Pool[asyncpg.Record]
    metrics: Metrics
    clock: Callable[[], datetime]
    recorded: Callable[[], None]
    stage: str = STAGE
    _waiting: list[Waiting] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def lane(self, message: Message) -> str:  # noqa: ARG002 - there is but one
        """All events are kept alike."""
        return ""

    async def room(self, lane: str) -> int:  # noqa: ARG002 - there is but one
        """Keeping waits for nothing but Postgres."""
        return _ROOM

    async def passes_over(self, count: int) -> bool:
        """Whether nobody wants so many events, told by Postgres once they are there.

        An endpoint that was there before one of them is seen, so that it is not passed over.
        """
        try:
            async with asyncio.timeout(_LOOK_WITHIN_S):
                is_wanted = await is_any_event_wanted(self.pool)
        except AWAY as error:
            log.warning("no event is passed over while Postgres is away", error=repr(error))
            return False
        if not is_wanted:
            self.metrics.stage.skipped.labels(self.stage, _UNWANTED).inc(count)
        return not is_wanted

    async def handle(
        self,
        message: Message,
        source: SourceMessage,  # noqa: ARG002 - an event says all by itself
    ) -> None:
        """Return once it is kept. Raises PoisonError for what is no event."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((_event(message), done))
        async with self._turn:
            if not done.done():
                # Whoever's turn it is keeps the events of all who came meanwhile.
                taken, self._waiting = self._waiting, []
                await self._keep(taken)
        await done
        self.metrics.stage.processed.labels(self.stage, "recorded").inc()

    async def _keep(self, taken: Sequence[Waiting]) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                events = [each for each, _ in taken]
                has_more = await record_webhook_events(self.pool, events, self.clock())
            except Exception as error:  # noqa: BLE001 - sorted by whose fault it is
                if fault_of(error) is Fault.BUG:
                    await self._apart(taken, error)
                    return
                log.warning("waiting for the store", reason=str(error), seconds=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                for _, done in taken:
                    done.set_result(None)
                if has_more:
                    self.recorded()
                return

    async def _apart(self, taken: Sequence[Waiting], error: Exception) -> None:
        """One that Postgres does not take fails alone, and is parked."""
        if len(taken) == 1:
            taken[0][1].set_exception(error)
            return
        middle = len(taken) // 2
        await self._keep(taken[:middle])
        await self._keep(taken[middle:])


def _event(message: Message) -> WebhookEvent:
    try:
        data = orjson.loads(message.value)
        payment_id = UUID(message.key)
    except ValueError as error:
        raise PoisonError(DeadLetterReason.UNDECODABLE, str(error)) from error
    if not isinstance(data, dict):
        raise PoisonError(DeadLetterReason.UNDECODABLE, "an event's value is an object")
    return WebhookEvent(
        id=message.id,
        tenant_id=message.tenant_id,
        type=message.type,
        payment_id=payment_id,
        sequence=message.sequence,
        data=message.value,
        occurred_at=message.occurred_at,
        trace=Trace.of(message.traceparent, message.tracestate),
    )
