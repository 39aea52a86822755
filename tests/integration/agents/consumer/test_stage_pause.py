"""A stage that can process next to nothing pauses, says so, and keeps what it has not begun."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from faust.types import TP

from agents.consumer.dead_letter_limiter import DeadLetterLimiter
from agents.consumer.stage import Stage
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import asyncpg
    from faust.types import EventT

    from payments.dead_letter import SourceMessage
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics
    from topics.contracts.envelope import Message

WINDOW = 20
_ENVELOPE = {
    "ce_id": b"0198c0de-0000-7000-8000-000000000001",
    "ce_type": b"charge.requested",
    "ce_source": b"/payments",
    "ce_specversion": b"1.0",
    "ce_time": b"2026-01-01T00:00:00Z",
    "ce_subject": b"x",
    "ce_tenantid": b"default",
}


@dataclass
class Event:
    """As much of a Faust event as a stage looks at; without headers it is poison."""

    offset: int
    headers: dict[str, bytes]
    acked: list[int]
    message: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self.message = SimpleNamespace(
            tp=TP("t", 0), topic="t", partition=0, offset=self.offset, key=b"k", value=b"{}"
        )

    def ack(self) -> None:
        self.acked.append(self.offset)


@dataclass
class Handler:
    """Takes a few messages at a time, and has nothing to do for any of them."""

    handled: int = 0
    stage: str = "test"

    def lane(self, message: Message) -> str:  # noqa: ARG002 - one lane
        return ""

    async def room(self, lane: str) -> int:  # noqa: ARG002 - one lane
        return 5

    async def handle(self, message: Message, source: SourceMessage) -> None:  # noqa: ARG002 - it comes and goes
        self.handled += 1


def events(messages: str, acked: list[int]) -> list[Event]:
    """`x` cannot be decoded, `.` can."""
    return [
        Event(offset, {} if message == "x" else _ENVELOPE, acked)
        for offset, message in enumerate(messages)
    ]


@asynccontextmanager
async def consuming(stage: Stage, given: Iterable[Event]) -> AsyncIterator[None]:
    """The stage at work on these events, stopped at the end."""

    async def stream() -> AsyncIterator[EventT[bytes]]:
        for event in given:
            yield cast("EventT[bytes]", event)

    async with in_time(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.run())
        tasks.create_task(stage.consume(stream()))
        yield
        stage.stop()


async def test_a_flood_of_poison_pauses_the_stage(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """It begins nothing more, shows it, and leaves the rest unacknowledged for its successor."""
    acked: list[int] = []
    stage = Stage(Handler(), committer, metrics, DeadLetterLimiter(0.5, WINDOW))
    async with consuming(stage, events("x" * 40, acked)):
        await eventually(lambda: stage.is_paused)
        parked = await pool.fetchval("SELECT count(*) FROM dead_letters")
        assert acked == list(range(parked))
        assert WINDOW / 2 < parked <= WINDOW / 2 + 5, "a batch may be under way"
        gauge = metrics.registry.get_sample_value("payments_stage_paused", {"stage": "test"})
        assert gauge == 1
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == parked


async def test_poison_in_small_numbers_stops_nothing(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """Each bad message is parked once and everything else is done, however long it goes on."""
    acked: list[int] = []
    handler = Handler()
    stage = Stage(handler, committer, metrics, DeadLetterLimiter(0.5, WINDOW))
    messages = "." * 20 + "x" * 5 + "x.." * 20
    async with consuming(stage, events(messages, acked)):
        await eventually(lambda: len(acked) == len(messages))
    assert not stage.is_paused
    assert handler.handled == messages.count(".")
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == messages.count("x")
