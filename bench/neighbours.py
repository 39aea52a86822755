"""What an innocent tenant's payments meet with beside a guilty one, of each kind.

The same open loop of payments from accounts of its own: alone, beside a tenant whose account is
locked, beside a flood from one, beside readers of long lists, and beside keys that nobody knows.
An ingress of its own asks for keys and limits nobody's rate.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import aiohttp

from bench.figures import Figure
from bench.load import Load, generated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.load import Outcome
    from bench.target import Target

_ACCOUNTS: Final = 100
_WARM_UP_S: Final = 5.0
_RATE: Final = 50.0
# Of the guilty: payments a second on the locked account, connections of a flood, readers.
_LOCKED_RATE: Final = 20.0
_FLOOD: Final = 64
_READERS: Final = 16
_LOCK: Final = "SELECT FROM accounts WHERE id = $1 FOR UPDATE"
_LIST: Final = "/api/v1/payments?limit=100"
_NOBODYS: Final = "pk_00000000000000000000_nobodysnobodysnobodysnobodysnobodysnobodys"


@dataclass(frozen=True, slots=True)
class _Street:
    """One innocent, one guilty tenant, at one ingress."""

    target: Target
    url: str
    innocent: str
    guilty: str
    seconds: float

    async def innocent_load(self) -> Outcome:
        accounts = await self.target.accounts(_ACCOUNTS, self.url, self.innocent)
        load = Load(self.url, accounts, self.seconds, rate=_RATE, key=self.innocent)
        return await generated(load)

    async def warmed_up(self) -> None:
        """What is compiled and connected at first is so for alone as it is beside others."""
        accounts = await self.target.accounts(_ACCOUNTS, self.url, self.innocent)
        seconds = min(self.seconds, _WARM_UP_S)
        await generated(Load(self.url, accounts, seconds, connections=_FLOOD, key=self.innocent))
        await self.target.at_rest()

    async def beside_a_locked_account(self) -> Outcome:
        accounts = await self.target.accounts(1, self.url, self.guilty)
        theirs = Load(self.url, accounts, self.seconds, rate=_LOCKED_RATE, key=self.guilty)
        async with self.target.connected() as connection, connection.transaction():
            await connection.execute(_LOCK, accounts[0])
            guilty = asyncio.ensure_future(generated(theirs))
            outcome = await self.innocent_load()
        # Whoever waited for the lock has it now, or was told to come back.
        await guilty
        return outcome

    async def beside_a_flood(self) -> Outcome:
        accounts = await self.target.accounts(1, self.url, self.guilty)
        flood = Load(self.url, accounts, self.seconds, connections=_FLOOD, key=self.guilty)
        outcome, _ = await asyncio.gather(self.innocent_load(), generated(flood))
        await self.target.at_rest()
        return outcome

    async def beside_readers(self) -> Outcome:
        async with self._reading(self.guilty):
            return await self.innocent_load()

    async def beside_strangers(self) -> Outcome:
        async with self._reading(_NOBODYS):
            return await self.innocent_load()

    @asynccontextmanager
    async def _reading(self, key: str) -> AsyncIterator[None]:
        """Lists, one after the other and many at once, while the context is open."""
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession(self.url, headers=headers) as http,
            asyncio.TaskGroup() as tasks,
        ):
            readers = [tasks.create_task(_read_on(http)) for _ in range(_READERS)]
            try:
                yield
            finally:
                for each in readers:
                    each.cancel()


async def measure(target: Target, seconds: float) -> list[Figure]:
    """POST answered, p99, alone and beside each; and the ratios."""
    innocent, guilty = await target.key("innocent"), await target.key("guilty")
    with TemporaryDirectory(prefix="payments-bench-") as folder:
        async with target.guarded_ingress(Path(folder)) as url:
            street = _Street(target, url, innocent, guilty, seconds)
            figures = await _measured(street)
    await target.at_rest()
    return figures


async def _measured(street: _Street) -> list[Figure]:
    await street.warmed_up()
    alone = await street.innocent_load()
    note = f"{_RATE:.0f}/s from {_ACCOUNTS} accounts"
    figures = [Figure("innocent, POST answered, p99, alone", alone.answer_p99_ms, "ms", note)]
    for name, guilt in (
        ("a locked account", street.beside_a_locked_account),
        ("a flood", street.beside_a_flood),
        ("readers", street.beside_readers),
        ("strangers", street.beside_strangers),
    ):
        beside = await guilt()
        asked = sum(beside.statuses.values())
        figures += [
            Figure(f"the same beside {name}", beside.answer_p99_ms, "ms"),
            Figure(f"ratio beside {name}", beside.answer_p99_ms / alone.answer_p99_ms, ""),
            Figure(f"refused beside {name}", asked - beside.accepted, "", f"of {asked}"),
        ]
    return figures


async def _read_on(http: aiohttp.ClientSession) -> None:
    while True:
        async with http.get(_LIST) as answer:
            await answer.read()
