"""Measures every source again and again, keeps the last report and sets the gauges.

Each source has its own task, connection and deadline: one that fails or hangs is shown as
unavailable, and the others go on, and so does the process. A failed source is closed and opened
anew.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar

import structlog

from lag import gauges
from lag.kafka_groups import ConsumerGroups, Others, Stages
from lag.postgres import Providers, Slots, Waiting
from lag.redis_groups import RedisGroups
from lag.report import StreamsReport, Unavailable
from lag.trail import Trail
from process.closing import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from lag.report import GroupLag, SlotLag
    from lag.targets import LagTargets
    from lag.trail import Name
    from telemetry.metrics import Metrics

log = structlog.get_logger()

# What is always asked; and `kafka_others`, where groups of others are to be measured.
SOURCES: Final = ("kafka", "slots", "redis", "waiting", "providers")
REFRESH_SECONDS: Final = 2.0
# Longer than any answer of a server that is there, shorter than an operator's patience.
_MEASURE_SECONDS_MAX: Final = 8.0
_PAUSE_SECONDS_MAX: Final = 10.0
# Saying goodbye is a courtesy: nobody's end waits for it.
_CLOSE_SECONDS_MAX: Final = 1.0
# Failures in a row after which the pause grows no more: far beyond the longest pause.
_FAILURES_COUNTED_MAX: Final = 10

LagT = TypeVar("LagT")
LagT_co = TypeVar("LagT_co", covariant=True)


class Source(Protocol[LagT_co]):
    """One source: measured again and again, closed once. It reconnects by itself."""

    async def measure(self, now: float) -> tuple[LagT_co, ...]:
        """Measure at `now`, in seconds since 1970; raises whatever its driver raises."""
        ...

    async def close(self) -> None:
        """Drop the connection; the next measurement opens another."""
        ...


class LagExporter:
    """Lag of everything there is: `.report` at any time, and gauges for Prometheus if wanted.

    `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        targets: LagTargets,
        metrics: Metrics | None = None,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        stages = ConsumerGroups(targets.kafka, Stages(targets.groups))
        others = ConsumerGroups(targets.kafka, Others(targets.others, targets.groups.keys()))
        self._stages = _MeasuredSource("kafka", stages, self._show_groups, metrics)
        self._others = _MeasuredSource("kafka_others", others, self._show_groups, metrics)
        self._slots = _MeasuredSource("slots", Slots(targets), gauges.show_slots, metrics)
        self._redis = _MeasuredSource(
            "redis", RedisGroups(targets), gauges.show_redis_groups, metrics
        )
        self._waiting = _MeasuredSource("waiting", Waiting(targets), gauges.show_waiting, metrics)
        self._providers = _MeasuredSource("providers", Providers(targets), None, metrics)
        sources = (self._stages, self._slots, self._redis, self._waiting, self._providers)
        self._all = (*sources, self._others) if targets.others else sources
        self._trail = Trail()
        self._stages.learn = self._others.learn = self._learn_groups
        self._slots.learn = self._learn_slots

    def _show_groups(self, metrics: Metrics, _: Sequence[GroupLag]) -> None:
        gauges.show_groups(metrics, self._groups)

    @property
    def _groups(self) -> tuple[GroupLag, ...]:
        return self._stages.lags + self._others.lags

    def _learn_groups(self, lags: Sequence[GroupLag], at: float) -> None:
        self._trail.add((((each.group, each.topic), each.messages) for each in lags), at)

    def _learn_slots(self, lags: Sequence[SlotLag], at: float) -> None:
        self._trail.add(((("", each.slot), each.bytes) for each in lags), at)

    @property
    def trail(self) -> Mapping[Name, list[float | None]]:
        """How far behind each was over the last half hour, in parts of a quarter of a minute.

        Groups by their names and topics, in messages; slots by "" and their names, in bytes.
        """
        return self._trail.until(self._clock())

    @property
    def is_measured(self) -> bool:
        """Whether every source has answered, or failed to, since it began."""
        return all(each.is_measured for each in self._all)

    @property
    def report(self) -> StreamsReport:
        """The latest of every source, put together now."""
        return StreamsReport(
            measured_at=datetime.fromtimestamp(self._clock(), UTC),
            groups=self._groups,
            slots=self._slots.lags,
            redis_groups=self._redis.lags,
            waiting=self._waiting.lags,
            unavailable=tuple(s.unavailable for s in self._all if s.unavailable is not None),
            providers=self._providers.lags,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Measure in the background while the context is open."""
        async with asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(source.follow(self._clock, self._refresh_seconds))
                for source in self._all
            ]
            try:
                yield self
            finally:
                await end(following)

    async def refresh(self) -> StreamsReport:
        """Measure every source once, all at the same time."""
        async with asyncio.TaskGroup() as tasks:
            for source in self._all:
                tasks.create_task(source.refresh(self._clock()))
        return self.report

    async def close(self) -> None:
        """Drop all connections; only after `refresh`, `running` does it by itself."""
        for source in self._all:
            await source.close()


class _MeasuredSource(Generic[LagT]):
    """A source and what it said last, or why it said nothing.

    `show` sets its gauges; what others' gauges show already is only reported.
    """

    def __init__(
        self,
        name: str,
        source: Source[LagT],
        show: Callable[[Metrics, Sequence[LagT]], None] | None,
        metrics: Metrics | None,
    ) -> None:
        self.is_measured = False
        self.lags: tuple[LagT, ...] = ()
        self.unavailable: Unavailable | None = Unavailable(name, "not measured yet")
        self._name = name
        self._source = source
        self._show = show
        self._metrics = metrics
        self._failures = 0  # in a row
        # Who is told of each measurement, and when it was.
        self.learn: Callable[[Sequence[LagT], float], None] | None = None

    async def refresh(self, now: float) -> None:
        """Measure, keep and show; a failure is kept and shown as such."""
        try:
            async with asyncio.timeout(_MEASURE_SECONDS_MAX):
                self.lags = await self._source.measure(now)
        # Others' servers answer with others' data, in ways that no driver foresees either.
        except Exception as error:  # noqa: BLE001 - measuring must end nobody
            self._fail(error)
            await self.close()
        else:
            self.unavailable, self._failures = None, 0
            if self.learn is not None:
                self.learn(self.lags, now)
        self.is_measured = True
        if self._metrics is None:
            return
        if self._show is not None:
            self._show(self._metrics, self.lags)
        self._metrics.lag.source_up.labels(self._name).set(self.unavailable is None)

    def _fail(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self.lags, self.unavailable = (), Unavailable(self._name, reason)
        if self._failures == 0:
            log.warning("lag source unavailable", source=self._name, reason=repr(error))
        self._failures = min(self._failures + 1, _FAILURES_COUNTED_MAX)

    async def follow(self, clock: Callable[[], float], refresh_seconds: float) -> None:
        """Refresh until cancelled; less often while the source is away and its driver complains."""
        try:
            while True:
                await self.refresh(clock())
                await asyncio.sleep(min(refresh_seconds * 2**self._failures, _PAUSE_SECONDS_MAX))
        finally:
            await self.close()

    async def close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                await self._source.close()
        except Exception as error:  # noqa: BLE001 - it is forgotten either way
            log.debug("lag source not closed", source=self._name, reason=str(error))
