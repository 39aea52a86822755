"""The relay: reads the outbox from the WAL, publishes it to one sink, confirms what was acked.

One stream after the other: each holds the slot (or a lock, where it reads the table), becomes the
sink's only writer, finds out what it has (see `recovery`), then follows the WAL until it is stopped
or something fails, and every failure is logged, counted and followed by a new stream. A position is
confirmed only when the sink has acknowledged everything before it, and that is kept in a
checkpoint. At most one process has the slot; the others stand by.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import structlog
from opentelemetry.trace import Tracer

from process.closing import end
from telemetry.metrics import Metrics
from topics.relay.checkpoints import Checkpoints
from topics.relay.commands import Commands
from topics.relay.failures import RelayFailure, SlotActive, SlotLost
from topics.relay.follow import Follower
from topics.relay.pause import Pause
from topics.relay.positions import Checkpoint, Floor, PolledFloor, Replays
from topics.relay.publisher import Publisher, RelayFigures
from topics.relay.recovery import Covered, SinkRecovery
from topics.relay.set_aside import SetAside
from topics.relay.sinks.sink import Session, Sink, Writer
from topics.relay.slot import Claim, Postgres, SlotOrigin, connected
from topics.relay.source import Clock, Server, WalStream, open_slot
from topics.relay.table import TableStream

log = structlog.get_logger()

_NO_SLOT: Final = ""
# Brokers let our kind in by this prefix.
_WRITER: Final = "payments-relay-"
# What is decoded before the loop turns: about ten milliseconds.
_EVENTS_PER_READ: Final = 1000
_LOOK_EVERY_SECONDS: Final = 1.0
# A checkpoint costs a write: of events that trickle in, twenty a second at the most.
_QUIET_SECONDS: Final = 0.05
_DRAIN_LOOK_SECONDS: Final = 0.1
_LOOKS_PER_HEARTBEAT: Final = 10
_LOOKS_PER_THINNING: Final = 300
# A standby takes over within this time; asking costs the server next to nothing.
_STANDBY_SECONDS: Final = 0.5
# Longer than it takes a sink to close, which must not be cut short.
_CANCEL_AGAIN_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """What one relay reads: its slot, or the table itself.

    `drain_seconds` is how long, told to stop, it waits for its sink; `silence_seconds` after how
    long a Postgres that answers nothing is given up.
    """

    conninfo: str
    slot: str
    reads_table: bool = False
    publication: str = "payments_outbox"
    drain_seconds: float = 20.0
    silence_seconds: float = 15.0


class Relay:
    """Publishes to one sink until stopped.

    `is_ready` once it follows the WAL, stands by, or has the sink and is paused.
    """

    def __init__(
        self,
        options: RelayOptions,
        sink: Sink,
        metrics: Metrics,
        clock: Clock,
        tracer: Tracer | None = None,
    ) -> None:
        self._options = options
        self._sink = sink
        self._figures = RelayFigures(metrics, sink.name, tracer)
        self._metrics = metrics
        self._clock = clock
        self._is_following = False
        self._is_standing_by = False
        self._pause: Pause | None = None

    @property
    def is_ready(self) -> bool:
        is_paused = self._pause is not None and not self._pause.running.is_set()
        return self._is_following or self._is_standing_by or is_paused

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
                stream = self._stream_table if self._options.reads_table else self._stream
                streaming = tasks.create_task(stream(stop))
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
            origin = await postgres.ensure_slot(self._sink.name, options.slot)
            if origin is SlotOrigin.REPLACED:
                self._figures.restarted(SlotLost.reason)
            known = await postgres.checkpoints(self._sink.name)
            slot = open_slot(
                options.conninfo,
                slot=options.slot,
                publication=options.publication,
                silence_seconds=options.silence_seconds,
                since=partial(_kept_up_to, known),
            )
            async with slot as wal, asyncio.TaskGroup() as tasks:
                reporting = tasks.create_task(wal.run())
                claim = await postgres.take_over(self._sink.name, options.slot)
                if await postgres.checkpoints(self._sink.name) != known:
                    raise SlotActive("the relay before has gone on until a moment ago")
                confirmed = await postgres.confirmed_lsn(options.slot)
                wal.confirm(confirmed)
                await self._publish(_Source(postgres, wal, claim, known, confirmed), tasks, stop)
                reporting.cancel()
                await wal.finish()

    async def _stream_table(self, stop: asyncio.Event) -> None:
        """As the other, without a slot: the lock is an advisory one, and places are positions."""
        options, name = self._options, self._sink.name
        async with (
            connected(options.conninfo) as postgres,
            connected(options.conninfo) as reading,
            asyncio.TaskGroup() as tasks,
        ):
            await postgres.take_table(name)
            claim = await postgres.take_over(name, _NO_SLOT)
            known = await postgres.checkpoints(name)
            # Whoever published before left no word of how far that went.
            claim = claim._replace(has_gap=claim.has_gap or not known)
            table = TableStream(reading, self._sink.topics)
            await self._publish(_Source(postgres, table, claim, known, 0), tasks, stop)

    async def _publish(
        self, source: "_Source", tasks: asyncio.TaskGroup, stop: asyncio.Event
    ) -> None:
        """Recover, then follow until stopped. One group owns every task of a stream."""
        postgres, wal, claim, _, confirmed = source
        self._figures.active.set(1)
        self._is_standing_by = False
        aside = SetAside(self._sink.name, self._metrics)
        gauge = self._figures.paused
        pause = Pause(postgres=postgres, claim=claim, aside=aside, gauge=gauge)
        publisher = Publisher(confirmed, self._figures, self._clock, aside)
        name, since = f"{_WRITER}{self._sink.name}-{claim.writer}", await postgres.wal_end()
        writer = Writer(name, claim.was_drained, since)
        async with self._sink.open(publisher, writer) as session:
            await postgres.note_writing(claim)
            workers: list[asyncio.Task[object]] = [tasks.create_task(session.run())]
            try:
                self._pause = pause
                checkpoints, covered = await self._recovered(source, session, publisher, pause)
                commands = Commands(
                    postgres=postgres,
                    claim=claim,
                    topics=self._sink.topics,
                    session=session,
                    publisher=publisher,
                    pause=pause,
                )
                follower = Follower(session, publisher, topics=self._sink.topics, covered=covered)
                following = tasks.create_task(_follow(wal, publisher, follower, pause.running))
                looking = tasks.create_task(_look(checkpoints, commands))
                workers += [following, looking]
                self._is_following = True
                log.info("ready", sink=self._sink.name, slot=self._options.slot)
                await stop.wait()
                await end([following, looking], again_s=_CANCEL_AGAIN_SECONDS)
                await _drain(checkpoints, self._options.drain_seconds)
                await checkpoints.keep()
                if not publisher.rows_in_flight:
                    await postgres.note_drained(claim)
            finally:
                self._pause = None
                # Nobody may use the session once it closes.
                await end(workers, again_s=_CANCEL_AGAIN_SECONDS)

    async def _recovered(
        self, source: "_Source", session: Session, publisher: Publisher, pause: Pause
    ) -> tuple[Checkpoints, Covered]:
        """Make the sink what it should be; returns what is kept of it, and what it has."""
        plan, covered = await SinkRecovery(
            postgres=source.postgres,
            session=session,
            publisher=publisher,
            figures=self._figures,
            claim=source.claim,
            pause=pause,
            checkpoints=source.known,
            by_position=isinstance(source.wal, TableStream),
            keeps=self._sink.keeps,
        ).run()
        bases = plan.bases.items()
        read_from = {at: base.read_from for at, base in bases}
        floor: Floor | PolledFloor = Floor(plan.floor, read_from)
        received = covered.until
        if isinstance(source.wal, TableStream):
            begin, received = min(covered.floors.values()), max(covered.floors.values())
            source.wal.begin(begin)
            publisher.reached(begin)
            floor = PolledFloor(begin, read_from)
        checkpoints = Checkpoints(
            postgres=source.postgres,
            claim=source.claim,
            server=source.wal.server,
            session=session,
            publisher=publisher,
            aside=pause.aside,
            floor=floor,
            replays=Replays({at: base.read_back for at, base in bases}, received),
            confirm=source.wal.confirm,
        )
        publisher.moved = checkpoints.moved
        return checkpoints, covered

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


class _Source(NamedTuple):
    """What a stream is read with: both connections, the right to the sink, what is known of it."""

    postgres: Postgres
    wal: WalStream | TableStream
    claim: Claim
    known: list[Checkpoint]
    confirmed: int


def _kept_up_to(known: Sequence[Checkpoint], server: Server) -> int:
    """Up to which place of this server's WAL the sink has everything."""
    if not known or known[0].system_identifier != server.system_identifier:
        return 0
    return known[0].lsn


async def _follow(
    wal: WalStream | TableStream, publisher: Publisher, follower: Follower, running: asyncio.Event
) -> None:
    while True:
        events = await wal.read(_EVENTS_PER_READ)
        await running.wait()
        follower.take(events)
        await publisher.room()


async def _look(checkpoints: Checkpoints, commands: Commands) -> None:
    """Once a second see what the sink is, what it has by now, and what is asked of us."""
    postgres, publisher, aside = checkpoints.postgres, checkpoints.publisher, checkpoints.aside
    acknowledged = 0
    for look in itertools.count(1):
        await _until_next_look(checkpoints)
        publisher.measure()
        await checkpoints.session.check()
        await aside.keep(postgres, publisher, checkpoints.session)
        await aside.measure(postgres)
        await commands.obey()
        await checkpoints.look()
        if look % _LOOKS_PER_HEARTBEAT == 0:
            await postgres.note_seen(checkpoints.claim)
            if publisher.acknowledged == acknowledged:
                await postgres.heartbeat()
            acknowledged = publisher.acknowledged
        if look % _LOOKS_PER_THINNING == 0:
            await checkpoints.thin()


async def _until_next_look(checkpoints: Checkpoints) -> None:
    """Wait, and keep what is acknowledged once the sink has all that there is for it.

    Whatever is purged from then on does not come again, whenever the relay ends.
    """
    loop, publisher = asyncio.get_running_loop(), checkpoints.publisher
    until = loop.time() + _LOOK_EVERY_SECONDS
    while (left := until - loop.time()) > 0:
        try:
            async with asyncio.timeout(left):
                await publisher.settled(checkpoints.acknowledged_when_kept, _QUIET_SECONDS)
        except TimeoutError:
            return
        await checkpoints.keep()


async def _drain(checkpoints: Checkpoints, within_s: float) -> None:
    publisher, session = checkpoints.publisher, checkpoints.session
    session.flush()
    try:
        async with asyncio.timeout(within_s):
            while publisher.rows_in_flight:
                await checkpoints.aside.keep(checkpoints.postgres, publisher, session)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN_LOOK_SECONDS):
                        await publisher.emptied()
    except TimeoutError:
        # Not lost: it was not confirmed, so the next relay reads it again.
        log.warning("stopped before the sink had everything", rows=publisher.rows_in_flight)


def _pauses() -> Iterator[float]:
    return itertools.chain(_PAUSE_SECONDS, itertools.repeat(_PAUSE_SECONDS[-1]))


def _first(failures: BaseExceptionGroup[RelayFailure]) -> RelayFailure:
    """The failure that came first; the others followed from it."""
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
