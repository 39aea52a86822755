"""Waits for payments to end, for clients who asked to (`Prefer: wait`).

All who wait share one question to Postgres every 50 ms, and nobody asks while nobody waits,
so what it costs does not grow with how many wait. (LISTEN would need a connection a process
and a NOTIFY in every transaction that ends a payment, under a lock all of them share.)
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

import structlog

from process.closing import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from uuid import UUID

    from payments.payment import Payment

log = structlog.get_logger()

# A payment takes a provider's 100 ms or more: half of that later is soon enough to say so.
_INTERVAL_SECONDS: Final = 0.05


class PaymentWatch:
    """Tells each waiting request when its payment has ended; `settled` reads those that have."""

    def __init__(self, settled: Callable[[Iterable[UUID]], Awaitable[list[Payment]]]) -> None:
        self._settled = settled
        self._waiting: defaultdict[UUID, set[asyncio.Future[Payment | None]]] = defaultdict(set)
        self._somebody = asyncio.Event()
        self._released = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Watch until the context is left."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(), name="payment-watch")
            try:
                yield self
            finally:
                await end([watching])

    async def ended(self, payment_id: UUID, within_s: float) -> Payment | None:
        """The payment in its terminal state, or None if it is in none yet after so long."""
        if self._released:
            return None
        answer: asyncio.Future[Payment | None] = asyncio.get_running_loop().create_future()
        self._waiting[payment_id].add(answer)
        self._somebody.set()
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            waiting = self._waiting.get(payment_id)
            if waiting is not None:
                waiting.discard(answer)
                if not waiting:
                    del self._waiting[payment_id]

    def release(self) -> None:
        """Nobody waits any more: the process is on its way out and must not be held up."""
        self._released = True
        for answers in self._waiting.values():
            for answer in answers:
                if not answer.done():
                    answer.set_result(None)

    async def _watch(self) -> None:
        while True:
            await self._somebody.wait()
            while self._waiting:
                try:
                    self._tell(await self._settled(list(self._waiting)))
                except Exception as error:  # noqa: BLE001 - who waits gets what was accepted
                    log.warning("waiting payments not read", error=repr(error))
                await asyncio.sleep(_INTERVAL_SECONDS)
            self._somebody.clear()

    def _tell(self, payments: Iterable[Payment]) -> None:
        for payment in payments:
            for answer in self._waiting.pop(payment.id, ()):
                if not answer.done():
                    answer.set_result(payment)
