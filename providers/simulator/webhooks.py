"""Delivery of webhooks: after the journal, in order per endpoint, retried a few times.

A delivery that fails is tried again after growing pauses and then given up, as a vendor does
over days and we over seconds. Scripted faults drop, double or reorder deliveries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import structlog

from providers.simulator.faults import FaultKind, Faults

log = structlog.get_logger()

_PAUSES_S: Final = (0.2, 1.0, 5.0)
_TIMEOUT_S: Final = 10.0
# A vendor's webhook comes after its answer, by as much at the least.
_LAG_S: Final = 0.1
# Bounds what a dead endpoint can hold in memory; the events remain listable.
_QUEUE_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """A signed message to one endpoint."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Webhooks:
    """The queue of deliveries and the task that empties it."""

    delivered: int = 0
    given_up: int = 0
    # Each with the loop's time before which it is not sent.
    _queue: deque[tuple[float, Delivery]] = field(default_factory=lambda: deque(maxlen=_QUEUE_MAX))
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waiting(self) -> int:
        """Deliveries not yet made."""
        return len(self._queue)

    def announce(self, told: Iterable[Delivery], faults: Faults) -> None:
        """Queue what an entry tells the endpoints, unless a fault says otherwise."""
        deliveries = [] if faults.has(FaultKind.DROP_WEBHOOK) else list(told)
        if faults.has(FaultKind.REORDER_WEBHOOKS):
            deliveries.reverse()
        if faults.has(FaultKind.DUPLICATE_WEBHOOK):
            deliveries += deliveries
        due_at = asyncio.get_running_loop().time() + _LAG_S
        self._queue.extend((due_at, delivery) for delivery in deliveries)
        if deliveries:
            self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                while self._queue:
                    due_at, delivery = self._queue.popleft()
                    await asyncio.sleep(due_at - asyncio.get_running_loop().time())
                    await self._deliver(session, delivery)
                self._wake.clear()
                await self._wake.wait()

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
