"""The relay: reads the outbox from the WAL, publishes it to one sink, confirms what was acked.

One stream after the other: each holds the slot, makes the sink equal to the table (see
`recovery`), then follows the WAL until it is stopped or something fails, and every failure is
logged, counted and followed by a new stream. A position is confirmed only when the sink has
acknowledged everything before it. At most one process has the slot; the others stand by.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from process.closing import end
from telemetry.metrics import Metrics
from topics.relay.failures import RelayFailure, SlotActive, SlotLost
from topics.relay.follow import Follower
from topics.relay.publisher import Publisher, RelayFigures
from topics.relay.recovery import SinkRecovery
from topics.relay.sinks.sink import ResumePoint, Session, Sink
from topics.relay.slot import Postgres, SlotOrigin, connected
from topics.relay.source import Clock, WalStream, open_slot

log = structlog.get_logger()

# Some megabytes of rows: enough to keep a sink busy for a quarter of a second.
_ROWS_IN_FLIGHT_MAX: Final = 10_000
# What is decoded before the loop turns: about ten milliseconds.
_EVENTS_PER_READ: Final = 1000
_MEASURE_EVERY_SECONDS: Final = 1.0
_MEASURES_PER_HEARTBEAT: Final = 10
# A standby takes over within this time; asking costs the server next to nothing.
_STANDBY_SECONDS: Final = 0.5
# Longer than it takes a sink to close, which must not be cut short.
_CANCEL_AGAIN_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """What one relay reads. `window_seconds` is how far back a recovery compares at least.

    `drain_seconds` is how long, told to stop, it waits for its sink; `silence_seconds` after how
    long a Postgres that answers nothing is given up.
    """

    conninfo: str
    slot: str
    publication: str = "payments_outbox"
    window_seconds: float = 60.0
    drain_seconds: float = 20.0
    silence_seconds: float = 15.0


class Relay:
    """Publishes to one sink until stopped; `is_ready` once it follows the WAL or stands by."""

    def __init__(self, options: RelayOptions, sink: Sink, metrics: Metrics, clock: Clock) -> None:
        self._options = options
        self._sink = sink
        self._figures = RelayFigures(metrics, sink.name)
        self._clock = clock
        self._is_following = False
        self._is_standing_by = False
        # Until a recovery is complete, nothing is known of what a new slot has missed.
        self._slot_is_unproven = False

    @property
    def is_ready(self) -> bool:
        return self._is_following or self._is_standing_by

    async def run(self, stop: asyncio.Event) -> None:
        """Stream until `stop` is set and what was read is acknowledged and confirmed."""
        pauses = _pauses()
        while not stop.is_set():
            failure = await self._stream_until(stop)
            if failure is None:
                return
            if self._is_following:
                pauses = _pauses()
            self._is_following = False
            pause = self._report(failure, pauses)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()

    async def _stream_until(self, stop: asyncio.Event) -> RelayFailure | None:
        """The failure that ended the stream, or None when it was stopped."""
        failure: RelayFailure | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                streaming = tasks.create_task(self._stream(stop))
                stopping = tasks.create_task(stop.wait())
                await asyncio.wait((streaming, stopping), return_when=asyncio.FIRST_COMPLETED)
                if self._is_following:
                    await asyncio.wait((streaming,))
                await end([streaming, stopping], again_s=_CANCEL_AGAIN_SECONDS)
        except* RelayFailure as failures:
            failure = _first(failures)
        finally:
            self._figures.active.set(0)
        # A failure that meets a cancellation hides it.
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError
        return failure

    async def _stream(self, stop: asyncio.Event) -> None:
        options = self._options
        async with connected(options.conninfo) as postgres:
            origin = await postgres.ensure_slot(options.slot)
            self._slot_is_unproven |= origin is not SlotOrigin.KEPT
            if origin is SlotOrigin.REPLACED:
                self._figures.restarted(SlotLost.reason)
            slot = open_slot(
                options.conninfo,
                slot=options.slot,
                publication=options.publication,
                silence_seconds=options.silence_seconds,
            )
            async with slot as wal, asyncio.TaskGroup() as tasks:
                reporting = tasks.create_task(wal.run())
                self._figures.active.set(1)
                self._is_standing_by = False
                await self._publish(postgres, wal, tasks, stop)
                reporting.cancel()
                await wal.finish()

    async def _publish(
        self, postgres: Postgres, wal: WalStream, tasks: asyncio.TaskGroup, stop: asyncio.Event
    ) -> None:
        """Recover, then follow the WAL until stopped. One group owns every task of a stream."""
        confirmed = await postgres.confirmed_lsn(self._options.slot)
        wal.confirm(confirmed)
        position = await postgres.position()
        publisher = Publisher(confirmed, self._figures, self._clock, moved=wal.confirm)
        resume = ResumePoint(confirmed, position.lsn)
        async with self._sink.open(publisher.acknowledge, resume) as session:
            workers: list[asyncio.Task[object]] = [tasks.create_task(session.run())]
            try:
                covered = await SinkRecovery(
                    postgres=postgres,
                    wal=wal,
                    session=session,
                    publisher=publisher,
                    figures=self._figures,
                    window_ms=int(self._options.window_seconds * 1000),
                ).run(position, is_new_slot=self._slot_is_unproven)
                self._slot_is_unproven = False
                follower = Follower(session, publisher, topics=self._sink.topics, covered=covered)
                following = tasks.create_task(_follow(wal, publisher, follower))
                workers += [following, tasks.create_task(_beat(postgres, session, publisher))]
                self._is_following = True
                log.info("ready", sink=self._sink.name, slot=self._options.slot)
                await stop.wait()
                following.cancel()
                await _drain(session, publisher, self._options.drain_seconds)
            finally:
                # Nobody may use the session once it closes.
                await end(workers, again_s=_CANCEL_AGAIN_SECONDS)

    def _report(self, failure: RelayFailure, pauses: Iterator[float]) -> float:
        """Log and count what ended the stream; returns the seconds to wait before the next."""
        if isinstance(failure, SlotActive):
            if not self._is_standing_by:
                log.info("standing by: another relay reads the slot", detail=str(failure))
                log.info("ready", sink=self._sink.name, slot=self._options.slot)
            self._is_standing_by = True
            return _STANDBY_SECONDS
        self._is_standing_by = False
        self._figures.restarted(failure.reason)
        pause = next(pauses)
        log.error(
            "the stream ended and begins again",
            reason=failure.reason,
            error=str(failure),
            pause_seconds=pause,
        )
        return pause


async def _follow(wal: WalStream, publisher: Publisher, follower: Follower) -> None:
    while True:
        events = await wal.read(_EVENTS_PER_READ)
        follower.take(events)
        await publisher.room(_ROWS_IN_FLIGHT_MAX)


async def _beat(postgres: Postgres, session: Session, publisher: Publisher) -> None:
    """Keep the gauges fresh, an idle slot moving, and an eye on the sink."""
    for beat in itertools.count(1):
        await asyncio.sleep(_MEASURE_EVERY_SECONDS)
        publisher.measure()
        if beat % _MEASURES_PER_HEARTBEAT == 0:
            if publisher.was_idle():
                await postgres.heartbeat()
            await session.check()


async def _drain(session: Session, publisher: Publisher, within_s: float) -> None:
    session.flush()
    try:
        async with asyncio.timeout(within_s):
            await publisher.room(1)
    except TimeoutError:
        # Not lost: it was not confirmed, so the next relay reads it again.
        log.warning("stopped before the sink had everything", rows=publisher.rows_in_flight)


def _pauses() -> Iterator[float]:
    return itertools.chain(_PAUSE_SECONDS, itertools.repeat(_PAUSE_SECONDS[-1]))


def _first(failures: BaseExceptionGroup[RelayFailure]) -> RelayFailure:
    """The failure that came first; the others followed from it."""
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
