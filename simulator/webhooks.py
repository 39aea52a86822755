"""Delivery of webhooks: after the journal, to each endpoint by a lane of its own.

What one request brought about is told an endpoint in order; as with the vendors, nothing orders
what several did. A delivery that fails waits without holding anybody up, longer each time, and is
then given up, as a vendor does over days and we within an hour. Whatever an endpoint does, no
other hears of anything later. Scripted faults drop, double or reorder.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import aiohttp
import structlog

from simulator.faults import FaultKind, Faults

log = structlog.get_logger()

_PAUSES_S: Final = (0.2, 1.0, 5.0, 25.0, 120.0, 600.0, 1800.0)
_TIMEOUT_S: Final = 10.0
# A vendor's webhook comes after its answer, by as much at the least.
_LAG_S: Final = 0.1
# An endpoint that answers in 100 ms hears of some 1,300 requests a second.
_AT_ONCE_MAX: Final = 128
# It is told more at once with every success, and one thing at a time after a failure, so that
# those that hang hold few sockets.
_AT_ONCE_FIRST: Final = 16
# Bounds what a dead endpoint can hold in memory, the newest; the events remain listable.
_WAITING_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to one endpoint, until that is removed: `signed` has its headers at a Unix time."""

    endpoint: str
    url: str
    body: bytes
    signed: Callable[[float], Mapping[str, str]]
    is_wanted: Callable[[], bool]


@dataclass(slots=True)
class _Batch:
    """What a request brought about, for one endpoint; `attempts` are those of the first."""

    deliveries: deque[Delivery]
    attempts: int = 0


@dataclass(slots=True)
class _Lane:
    """What one endpoint is to be told, by the loop's time at which it is due."""

    due: list[tuple[float, int, _Batch]] = field(default_factory=list)
    busy: int = 0
    room: int = _AT_ONCE_FIRST
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def wait_s(self, now: float) -> float | None:
        """Until something can be told; None while only an event can change that."""
        return self.due[0][0] - now if self.due and self.busy < self.room else None


@dataclass(slots=True)
class Webhooks:
    """The lanes there are; `now` gives Unix seconds."""

    now: Callable[[], float]
    delivered: int = 0
    given_up: int = 0
    _lanes: dict[str, _Lane] = field(default_factory=dict)
    _order: count[int] = field(default_factory=count)
    _tasks: asyncio.TaskGroup | None = None
    _session: aiohttp.ClientSession | None = None

    @property
    def waiting(self) -> int:
        """Requests of which somebody was not told yet."""
        return sum(len(lane.due) for lane in self._lanes.values())

    def announce(self, told: Iterable[Delivery], faults: Faults) -> None:
        """Queue what an entry tells the endpoints, unless a fault says otherwise."""
        deliveries = [] if faults.has(FaultKind.DROP_WEBHOOK) else list(told)
        if faults.has(FaultKind.REORDER_WEBHOOKS):
            deliveries.reverse()
        if faults.has(FaultKind.DUPLICATE_WEBHOOK):
            deliveries += deliveries
        for endpoint in dict.fromkeys(each.endpoint for each in deliveries):
            batch = _Batch(deque(each for each in deliveries if each.endpoint == endpoint))
            lane = self._lanes.get(endpoint)
            if lane is None:
                lane = self._lanes[endpoint] = _Lane()
                self._start(endpoint, lane)
            self._put(lane, batch, _LAG_S)

    async def run(self) -> None:
        """Deliver until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        # Each lane has a bound of its own: one for all would couple them.
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as self._session,
            asyncio.TaskGroup() as self._tasks,
        ):
            for endpoint, lane in self._lanes.items():
                self._start(endpoint, lane)
            await asyncio.Event().wait()

    def _start(self, endpoint: str, lane: _Lane) -> None:
        if self._tasks is not None and self._session is not None:
            self._tasks.create_task(self._serve(endpoint, lane, self._session))

    def _put(self, lane: _Lane, batch: _Batch, pause_s: float) -> None:
        if len(lane.due) >= _WAITING_MAX:
            self.given_up += len(heapq.heappop(lane.due)[2].deliveries)
        due_at = asyncio.get_running_loop().time() + pause_s
        heapq.heappush(lane.due, (due_at, next(self._order), batch))
        lane.wake.set()

    async def _serve(self, endpoint: str, lane: _Lane, session: aiohttp.ClientSession) -> None:
        """Tell what is due, as much at once as the lane has room for, until nothing is left."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while lane.due or lane.busy:
                lane.wake.clear()
                wait_s = lane.wait_s(loop.time())
                if wait_s is None or wait_s > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(lane.wake.wait(), wait_s)
                    continue
                _, _, batch = heapq.heappop(lane.due)
                lane.busy += 1
                tasks.create_task(self._tell(lane, batch, session))
            # Nothing may wait between the last look and this: a new lane begins after it.
            del self._lanes[endpoint]

    async def _tell(self, lane: _Lane, batch: _Batch, session: aiohttp.ClientSession) -> None:
        """Deliver in order, up to the first that fails: it is tried again after a pause."""
        try:
            while batch.deliveries and batch.deliveries[0].is_wanted():
                if not await self._is_taken(batch.deliveries[0], session):
                    lane.room = 1
                    self._fail(lane, batch)
                    return
                lane.room = min(lane.room + 1, _AT_ONCE_MAX)
                self.delivered += 1
                batch.deliveries.popleft()
                batch.attempts = 0
        finally:
            lane.busy -= 1
            lane.wake.set()

    def _fail(self, lane: _Lane, batch: _Batch) -> None:
        if batch.attempts < len(_PAUSES_S):
            pause_s = _PAUSES_S[batch.attempts]
            batch.attempts += 1
        else:
            pause_s, batch.attempts = 0.0, 0
            batch.deliveries.popleft()
            self.given_up += 1
        self._put(lane, batch, pause_s)

    async def _is_taken(self, delivery: Delivery, session: aiohttp.ClientSession) -> bool:
        headers = delivery.signed(self.now())
        try:
            async with session.post(delivery.url, data=delivery.body, headers=headers) as answer:
                return answer.ok
        except (aiohttp.ClientError, TimeoutError) as error:
            log.info("webhook failed", url=delivery.url, reason=repr(error))
            return False
