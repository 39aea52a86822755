"""Two databases that change places, kept running as a cluster of ours keeps them."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local.embedded import postgres
from local.embedded.postgres_pair import NAMES, PostgresPair
from local.failover import fail_over
from local.program import free_port
from local.supervisor import ProcessState, Supervised, Watcher, until_all_ready
from store.pool import close, connect
from tests.support.waiting import answered, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from local.home import Home

READY_WITHIN_S = 60.0
_BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Running:
    """Both, and what writes through whichever takes writes."""

    pair: PostgresPair
    supervised: list[Supervised]
    pool: asyncpg.Pool[asyncpg.Record]

    async def until_both_are_ready(self) -> None:
        await eventually(
            lambda: all(each.snapshot().state is ProcessState.READY for each in self.supervised),
            READY_WITHIN_S,
        )

    async def fail_over(self) -> None:
        await fail_over(self.pair, self.supervised, print)

    async def back_up(self, folder: Path) -> None:
        """Copy the primary as it is, in place of an earlier copy."""
        primary = replace(self.pair.address, standbys=())
        if self.pair.primary != NAMES[0]:
            ((host, port),) = self.pair.address.standbys
            primary = replace(primary, host=host, port=port)
        await postgres.copy(primary, folder, slot=_BACKUP, log=folder.with_suffix(".log"))
        (folder / postgres.STANDBY_SIGNAL).unlink()
        await self.pool.execute("SELECT pg_drop_replication_slot($1)", _BACKUP)

    async def restore(self, folder: Path) -> None:
        """Both are what the copy was: as if nothing had happened since."""
        self.pair.hold()
        by_name = {each.program.name: each for each in self.supervised}
        try:
            for name in (self.pair.primary, self.pair.standby):
                await by_name[name].end_life(within_seconds=READY_WITHIN_S)
                shutil.rmtree(by_name[name].program.directory)
            data = by_name[self.pair.primary].program.directory
            copying = await asyncio.create_subprocess_exec("cp", "-a", str(folder), str(data))
            assert await copying.wait() == 0
        finally:
            self.pair.settle()

    def pid(self, name: str) -> int:
        (found,) = (each.snapshot() for each in self.supervised if each.program.name == name)
        assert found.pid is not None
        return found.pid

    async def write(self, number: int) -> None:
        """Again until it is told that it is committed; a number is there once."""
        await self._asked("INSERT INTO told VALUES ($1) ON CONFLICT DO NOTHING", number)

    async def numbers(self) -> set[int]:
        return {row[0] for row in await self._asked("TABLE told")}

    async def _asked(self, statement: str, *arguments: int) -> list[asyncpg.Record]:
        """Each of the pool's connections may be to one that has led before."""
        return await answered(lambda: self.pool.fetch(statement, *arguments))


@asynccontextmanager
async def running(home: Home) -> AsyncIterator[Running]:
    pair = PostgresPair(home, (free_port(), free_port()))
    programs = await pair.programs()
    supervised = [Supervised(each, Watcher(changed=lambda: None, say=print)) for each in programs]
    async with asyncio.TaskGroup() as tasks:
        for each in supervised:
            tasks.create_task(each.keep())
        try:
            await until_all_ready(supervised, within_seconds=READY_WITHIN_S)
            pool = await connect(pair.address, application_name="tests", size=2)
            try:
                yield Running(pair, supervised, pool)
            finally:
                await close(pool)
        finally:
            await asyncio.gather(*(each.stop(within_seconds=10) for each in supervised))
