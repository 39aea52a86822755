"""Mixed traffic that never gives up: each request is retried with its key until it is answered.

What was acknowledged is remembered, so that afterwards each of it can be asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp

from tests.support.acceptance.client import Client, client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

    from tests.support.acceptance.client import Json

# What a client tries again: no answer, or one that says so.
_TRY_AGAIN: Final = {429, 500, 502, 503, 504}
_TRY_EVERY_S: Final = 0.2
# Longer than any restart: a supervisor's back-off, an interpreter, a drain.
_GIVE_UP_AFTER_S: Final = 90.0
_BETWEEN_S: Final = 0.1
_AT_ONCE: Final = 20
_DECLINED: Final = "4000.02"


@dataclass(slots=True)
class Traffic:
    """Sends until it is told to stop; `acknowledged` are payments and refunds, by key.

    `silence_s` is for how long, at the longest, nobody was answered.
    """

    client: Client
    accounts: list[str]
    random: Random
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: list[Json] = field(default_factory=list)
    silence_s: float = 0.0
    _answered_at: float = field(default_factory=time.monotonic)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Many at once, so that something is always in the middle of something."""
        async with asyncio.TaskGroup() as tasks:
            while not self._stopping.is_set():
                kinds: list[Callable[[], Coroutine[None, None, None]]] = [
                    self._pay,
                    self._transfer,
                    self._back,
                ]
                tasks.create_task(self.random.choices(kinds, weights=[6, 2, 2])[0]())
                await asyncio.sleep(self.random.uniform(0, 2 * _BETWEEN_S))

    def stop(self) -> None:
        self._stopping.set()

    async def _pay(self) -> None:
        body = {
            "payment_type": "external_payment",
            "source_account_id": self.random.choice(self.accounts),
            "amount": self.random.choices(["3.00", _DECLINED], weights=[9, 1])[0],
            "currency": "USD",
            "provider": self.random.choice(["stripe", "paypal"]),
        }
        await self._acknowledged("/api/v1/payments", body)

    async def _transfer(self) -> None:
        one, other = self.random.sample(self.accounts, 2)
        body = {
            "source_account_id": one,
            "destination_account_id": other,
            "amount": "1.00",
            "currency": "USD",
        }
        await self._acknowledged("/api/v1/transfers", body)

    async def _back(self) -> None:
        """Half of some earlier payment, if it has completed by then."""
        if self.acknowledged:
            payment_id = self.random.choice([*self.acknowledged.values()])
            await self._acknowledged(f"/api/v1/payments/{payment_id}/refund", {"amount": "0.50"})

    async def _acknowledged(self, path: str, body: Json) -> None:
        key = str(uuid4())
        async with asyncio.timeout(_GIVE_UP_AFTER_S):
            while True:
                try:
                    answer = await self.client.post(path, body, key=key)
                except (aiohttp.ClientError, ValueError):
                    answer = None
                if answer is not None and answer.status not in _TRY_AGAIN:
                    break
                await asyncio.sleep(_TRY_EVERY_S)
        now = time.monotonic()
        self.silence_s, self._answered_at = max(self.silence_s, now - self._answered_at), now
        if answer.status not in {200, 201, 202}:
            self.refused.append(answer.body)
        elif not path.endswith("/refund"):
            self.acknowledged[key] = answer.body["id"]

    async def all_ended(self, client: Client, within: float) -> Counter[str]:
        """How often each terminal state came about; fails for one that does not exist or end."""
        counts = Counter[str]()
        for some in batched([*self.acknowledged.values()], _AT_ONCE):
            ended = await asyncio.gather(*(client.ended(each, within) for each in some))
            counts.update(each["status"] for each in ended)
        return counts


def batched(several: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (several[start : start + size] for start in range(0, len(several), size))


@asynccontextmanager
async def traffic(url: str, seed: int) -> AsyncIterator[Traffic]:
    """Traffic while the context is open; it ends when all that was begun is answered."""
    async with client_of(url) as client:
        accounts = [await client.account("1000000.00") for _ in range(3)]
        running = Traffic(client, accounts, Random(seed))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(running.run())
            try:
                yield running
            finally:
                running.stop()
