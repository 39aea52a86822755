"""Events as the stage loop takes them: doubles of Faust's at the wire, acknowledgements seen.

Only what Faust hands over is played here; broker-level tests show that Faust does so.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID, uuid4

from faust.types import TP

from payments.dead_letter import SourceMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from faust.types import EventT

    from agents.consumer.stage import Stage
    from topics.contracts.envelope import Message

TOPIC: Final = "payments.charges"


def headers_of_work(kind: str = "charge.requested") -> dict[str, bytes]:
    """What the relay puts beside a work message."""
    return {
        "ce_id": str(uuid4()).encode(),
        "ce_type": kind.encode(),
        "ce_source": b"/payments",
        "ce_specversion": b"1.0",
        "ce_time": b"2026-01-02T03:04:05Z",
        "ce_tenantid": b"default",
    }


def work(payment_id: UUID, attempt: int = 1) -> bytes:
    return b'{"payment_id":"%s","refund_id":null,"attempt":%d}' % (
        str(payment_id).encode(),
        attempt,
    )


@dataclass(eq=False)
class Event:
    """One event of one partition; `acked` is the topic's."""

    offset: int
    value: bytes | None
    headers: Mapping[str, bytes | None] | None
    acked: list[int]
    key: bytes | None = b"key"
    partition: int = 0
    message: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self.message = SimpleNamespace(
            topic=TOPIC,
            partition=self.partition,
            offset=self.offset,
            key=self.key,
            value=self.value,
            tp=TP(TOPIC, self.partition),
        )

    def ack(self) -> None:
        self.acked.append(self.offset)


class Topic:
    """A stream that never ends by itself; it remembers what was acknowledged, in order."""

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.taken = 0
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._offset = 0

    def deliver(
        self,
        value: bytes | None,
        headers: Mapping[str, bytes | None] | None,
        key: bytes | None = None,
    ) -> Event:
        """Append one, of a key of its own unless said."""
        key = key or b"key %d" % self._offset
        event = Event(self._offset, value, headers, self.acked, key)
        self._offset += 1
        self._events.put_nowait(event)
        return event

    def redeliver(self, event: Event) -> None:
        """The same message once more, as after a rebalance."""
        self._events.put_nowait(
            Event(event.offset, event.value, event.headers, self.acked, event.key)
        )

    async def events(self) -> AsyncIterator[Event]:
        while True:
            event = await self._events.get()
            self.taken += 1
            yield event


@dataclass
class Handler:
    """Does at each offset what the test says, and remembers the order it began them in."""

    act: Callable[[int], Awaitable[None]]
    lanes: Callable[[Message], str] = lambda _: ""
    room_left: Callable[[str], Awaitable[int]] | None = None
    begun: list[int] = field(default_factory=list)
    stage: str = "charge"

    def lane(self, message: Message) -> str:
        return self.lanes(message)

    async def room(self, lane: str) -> int:
        return 100 if self.room_left is None else await self.room_left(lane)

    async def handle(
        self,
        message: Message,  # noqa: ARG002 - a handler's
        source: SourceMessage,
    ) -> None:
        self.begun.append(source.offset)
        await self.act(source.offset)


@asynccontextmanager
async def at_work(stage: Stage, topic: Topic) -> AsyncIterator[None]:
    """The loop and the agent that feeds it, until the block ends."""
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(stage.run())
        agent = tasks.create_task(
            stage.consume(cast("AsyncIterator[EventT[bytes]]", topic.events()))
        )
        try:
            yield
        finally:
            stage.stop()
            await loop
            agent.cancel()
