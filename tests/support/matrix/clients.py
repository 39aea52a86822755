"""Clients of the ingress: they pay, want some of it back, and note what each of them was told."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp

from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

# What a client may be told on a bad day; everything else is a fault of ours.
_ALLOWED: Final = {200, 201, 202, 409, 429, 503}
# Not heard from where nobody was there to be heard from.
_TURNED_AWAY: Final = "nobody was there"
_BETWEEN_S: Final = 0.25
# Of so many requests one wants money back.
_REFUND_EACH: Final = 4
# Nobody is kept waiting for more than 6 s: whoever is for so long was forgotten.
_PATIENCE: Final = aiohttp.ClientTimeout(total=15 * PATIENCE)
# A circuit rests for half a minute, and a provider's trial comes after another quarter.
HEALED_WITHIN_S: Final = 150.0


class Door(StrEnum):
    """What has become of the ingress, as whoever did it knows.

    `closed`: it was told to stop, and is not back. `stuck`: it stands still with its sockets open.
    """

    OPEN = auto()
    CLOSED = auto()
    STUCK = auto()


@dataclass(slots=True)
class Entrance:
    """Where clients come in."""

    door: Door = Door.OPEN


@dataclass(slots=True)
class Clients:
    """Who asks at the ingress, again and again, and what they were told."""

    url: str
    entrance: Entrance = field(default_factory=Entrance)
    answers: Counter[int | str] = field(default_factory=Counter)
    begun: int = 0
    # Ids of payments and refunds.
    accepted: list[str] = field(default_factory=list)
    refunds: list[str] = field(default_factory=list)
    _unrefunded: deque[str] = field(default_factory=deque)
    _account: str = ""

    async def open_account(self) -> None:
        async with aiohttp.ClientSession(self.url, timeout=_PATIENCE) as http:
            body = {"user_id": "u", "currency": "USD", "initial_balance": "1000000"}
            async with http.post("/api/v1/accounts", json=body) as answer:
                assert answer.status == 201, await answer.text()
                self._account = (await answer.json())["id"]

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Four a second while the context is open, which ends when each has its answer."""
        stopping = asyncio.Event()
        async with (
            aiohttp.ClientSession(self.url, timeout=_PATIENCE) as http,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._ask_on(http, tasks, stopping))
            try:
                yield
            finally:
                stopping.set()

    @asynccontextmanager
    async def flooding(self, count: int) -> AsyncIterator[None]:
        """So many at once, each of which has its answer when the context has ended."""
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(self.url, timeout=_PATIENCE, connector=connector) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(count):
                tasks.create_task(self._pay(http, "stripe"))
            yield

    async def _ask_on(
        self, http: aiohttp.ClientSession, tasks: asyncio.TaskGroup, stopping: asyncio.Event
    ) -> None:
        while not stopping.is_set():
            self.begun += 1
            if self._unrefunded and self.begun % _REFUND_EACH == 0:
                tasks.create_task(self._refund(http, self._unrefunded.popleft()))
            else:
                tasks.create_task(self._pay(http, ("stripe", "paypal")[self.begun % 2]))
            await asyncio.sleep(_BETWEEN_S)

    async def _pay(self, http: aiohttp.ClientSession, provider: str) -> None:
        body = {
            "payment_type": "external_payment",
            "source_account_id": self._account,
            "amount": "1.00",
            "currency": "USD",
            "provider": provider,
        }
        if payment_id := await self._ask(http, "/api/v1/payments", body):
            self.accepted.append(payment_id)
            self._unrefunded.append(payment_id)

    async def _refund(self, http: aiohttp.ClientSession, payment_id: str) -> None:
        """Half of it; a payment that has not completed by now has its turn again."""
        path = f"/api/v1/payments/{payment_id}/refund"
        if refund_id := await self._ask(http, path, {"amount": "0.50"}):
            self.refunds.append(refund_id)
        else:
            self._unrefunded.append(payment_id)

    async def _ask(
        self, http: aiohttp.ClientSession, path: str, body: Mapping[str, str]
    ) -> str | None:
        """The id of what was accepted; None where nothing was."""
        came, headers = self.entrance.door, {"Idempotency-Key": str(uuid4())}
        try:
            async with http.post(path, json=body, headers=headers) as answer:
                self.answers[answer.status] += 1
                if answer.status == 202:
                    return str((await answer.json())["id"])
                if answer.status in {429, 503}:
                    assert int(answer.headers["Retry-After"]) > 0
        except (aiohttp.ClientError, TimeoutError) as error:
            is_excused = self._is_excused(came, error)
            self.answers[_TURNED_AWAY if is_excused else repr(error)] += 1
        return None

    def _is_excused(self, came: Door, error: Exception) -> bool:
        """Whether there is no fault of ours in that whoever `came` then heard nothing.

        Who was there before the ingress was told to stop is answered, and who comes later is told
        at once that nobody is there.
        """
        if Door.STUCK in {came, self.entrance.door}:
            return True
        return came is Door.CLOSED and not isinstance(error, TimeoutError)

    async def try_on(self, count: int) -> None:
        """Return when so many more have been begun, whatever they were told."""
        wanted = self.begun + count
        await eventually(lambda: self.begun >= wanted, within=HEALED_WITHIN_S)

    async def get_through(self, count: int, refunds: int = 0) -> None:
        """Return when so many more payments, and so many more refunds, were accepted."""
        payments, refunds = len(self.accepted) + count, len(self.refunds) + refunds

        def have() -> bool:
            assert len(self.accepted) >= payments, dict(self.answers)
            assert len(self.refunds) >= refunds, dict(self.answers)
            return True

        await eventually(have, within=HEALED_WITHIN_S)

    def assert_told_honestly(self) -> None:
        """Nobody was told what is not to be told, and nobody was left without an answer."""
        fine = _ALLOWED | {_TURNED_AWAY}
        wrong = {answer: count for answer, count in self.answers.items() if answer not in fine}
        assert not wrong, f"{wrong} of {dict(self.answers)}"
