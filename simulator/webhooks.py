"""Delivery of webhooks: after the journal, several at once, retried a few times.

What one request brought about is told in order; as with the vendors, nothing orders what
several did. A delivery that fails is tried again after growing pauses and then given up, as
a vendor does over days and we over seconds. Scripted faults drop, double or reorder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import structlog

from simulator.faults import FaultKind, Faults

log = structlog.get_logger()

_PAUSES_S: Final = (0.2, 1.0, 5.0)
_TIMEOUT_S: Final = 10.0
# A vendor's webhook comes after its answer, by as much at the least.
_LAG_S: Final = 0.1
# A receiver that answers in 100 ms hears of some 1,300 requests a second.
_AT_ONCE: Final = 128
# Bounds what a dead endpoint can hold in memory, the newest; the events remain listable.
_QUEUE_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """A signed message to one endpoint."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Webhooks:
    """The queue of deliveries and the tasks that empty it."""

    delivered: int = 0
    given_up: int = 0
    # What a request brought about, and the loop's time before which it is not told.
    _queue: asyncio.Queue[tuple[float, list[Delivery]]] = field(
        default_factory=lambda: asyncio.Queue(_QUEUE_MAX)
    )

    @property
    def waiting(self) -> int:
        """Requests of which nobody was told yet."""
        return self._queue.qsize()

    def announce(self, told: Iterable[Delivery], faults: Faults) -> None:
        """Queue what an entry tells the endpoints, unless a fault says otherwise."""
        deliveries = [] if faults.has(FaultKind.DROP_WEBHOOK) else list(told)
        if faults.has(FaultKind.REORDER_WEBHOOKS):
            deliveries.reverse()
        if faults.has(FaultKind.DUPLICATE_WEBHOOK):
            deliveries += deliveries
        if not deliveries:
            return
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait((asyncio.get_running_loop().time() + _LAG_S, deliveries))

    async def run(self) -> None:
        """Deliver until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=_AT_ONCE)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        async with session, asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(self._deliver_all(session))

    async def _deliver_all(self, session: aiohttp.ClientSession) -> None:
        while True:
            due_at, deliveries = await self._queue.get()
            await asyncio.sleep(due_at - asyncio.get_running_loop().time())
            for delivery in deliveries:
                await self._deliver(session, delivery)

    async def _deliver(self, session: aiohttp.ClientSession, delivery: Delivery) -> None:
        for pause_s in (*_PAUSES_S, None):
            try:
                async with session.post(
                    delivery.url, data=delivery.body, headers=delivery.headers
                ) as answer:
                    if answer.ok:
                        self.delivered += 1
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                log.info("webhook failed", url=delivery.url, reason=repr(error))
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        self.given_up += 1
