"""What befalls two relays, their sink and their Postgres: each fault a method, drawn by chance.

Traffic goes on throughout, from hosts whose clocks differ. What a sink has lost it is to get
again; what was taken out of it on purpose not, so that is kept here.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.support.topics.outbox import assert_mirrors
from tests.support.topics.relays import is_ready
from tests.support.waiting import answered, eventually

if TYPE_CHECKING:
    import random
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from tests.support.local.pair import Running
    from tests.support.topics.outbox import Outbox
    from tests.support.topics.own_server import OwnServer
    from tests.support.topics.relays import Relays
    from topics.contracts.envelope import Message

PATIENCE_S = 60.0


@dataclass
class Site:
    """Two relays, a sink, two databases, and what was taken out of the sink.

    What the database has lost since is `undone`: the sink may have it all the same.
    """

    relays: Relays
    outbox: Outbox
    databases: Running
    server: OwnServer
    logs: Path
    chance: random.Random
    stack: AsyncExitStack
    quiet: asyncio.Lock  # nobody writes while it is held
    running: list[Process] = field(default_factory=list)
    taken_out: list[Message] = field(default_factory=list)
    undone: set[UUID] = field(default_factory=set)
    started: int = 0

    def faults(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.kill,
            self.kill_both,
            self.sleep,
            self.cut_off,
            self.wipe,
            self.replace_server,
            self.recreate,
            self.purge,
            self.trim,
            self.drop_slot,
            self.change_clock,
            self.fail_over,
            self.restore,
        ]

    async def start(self) -> None:
        """Start a relay, and wait until it publishes or stands by."""
        self.started += 1
        log = self.logs / f"relay-{self.started}.log"
        process = await self.stack.enter_async_context(self.relays.process(log))
        await eventually(lambda: is_ready(log), PATIENCE_S)
        self.running.append(process)

    async def kill(self) -> None:
        """One of the two, with no chance to finish anything."""
        await self._killed(self.running.pop(self.chance.randrange(2)))
        await self.start()

    async def kill_both(self) -> None:
        """Nobody reads for a while."""
        while self.running:
            await self._killed(self.running.pop())
        await self._rows_arrive()
        await self.start()
        await self.start()

    async def sleep(self) -> None:
        """One sleeps until another has taken over, and wakes with rows in its hands."""
        process = self.chance.choice(self.running)
        process.send_signal(signal.SIGSTOP)
        await self._rows_arrive()
        await self.cut_off()
        await self._is_read()
        await self._rows_arrive()
        process.send_signal(signal.SIGCONT)

    async def cut_off(self) -> None:
        """Postgres ends the stream."""
        await self._asked(
            "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots"
            " WHERE slot_name = $1 AND active",
            self.relays.slot,
        )

    async def wipe(self) -> None:
        """The sink loses everything, and with it what was taken out of it is to be there again."""
        await self._judge_and_forget()
        await self.relays.destination.empty()

    async def replace_server(self) -> None:
        """As before, and it forgets who writes to it."""
        await self._judge_and_forget()
        await self.server.replace()

    async def recreate(self) -> None:
        """Somebody deletes all there is, and makes it anew at once."""
        await self._judge_and_forget()
        await self.relays.destination.recreate()

    async def drop_slot(self) -> None:
        """By hand, while nobody reads it; both relays begin anew."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        while self.running:
            await self.running.pop().wait()
        # A database that was restored has none until a relay makes it.
        await self._asked(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = $1",
            self.relays.slot,
        )
        await self._rows_arrive()
        await self.start()
        await self.start()

    async def fail_over(self) -> None:
        """The standby takes the primary's place, which is killed, or stopped in order."""
        if self.chance.random() < 0.5:
            os.kill(self.databases.pid(self.databases.pair.primary), signal.SIGKILL)
        await self.databases.fail_over()
        await self.databases.until_both_are_ready()

    async def restore(self) -> None:
        """Of what was written for a while nothing was written: the WAL begins again before it."""
        copy = self.logs / "backup"
        await self.databases.back_up(copy)
        await self._rows_arrive()
        async with self.quiet:
            before = await self.outbox.ids()
            await self.databases.restore(copy)
            await self.databases.until_both_are_ready()
            await self._asked("SELECT 1")
            await self.outbox.recount()
            self.undone |= before - await self.outbox.ids()

    async def purge(self) -> None:
        """Somebody takes out all that is there, as retention does; it was seen before."""
        await self._take_out(1.0)

    async def trim(self) -> None:
        """The older half."""
        await self._take_out(0.5)

    async def change_clock(self) -> None:
        """The rows to come are another host's."""
        self.outbox.move(timedelta(seconds=self.chance.uniform(-120, 120)))

    async def settled(self) -> None:
        """Until all that is written by now is there."""
        wanted = await self.outbox.ids()

        async def is_there() -> bool:
            there = {message.id for message in await self.relays.destination.messages()}
            return wanted <= there | {message.id for message in self.taken_out}

        await eventually(is_there, PATIENCE_S)

    async def _judge_and_forget(self) -> None:
        """What a consumer has seen so far: some of all, each once and in order."""
        seen = await self.seen()
        assert_mirrors(seen, {message.id for message in seen})
        self.taken_out = []

    async def seen(self) -> list[Message]:
        """What a consumer has seen, since all was lost last, of what did happen."""
        seen = [*self.taken_out, *await self.relays.destination.messages()]
        return [message for message in seen if message.id not in self.undone]

    async def _take_out(self, share: float) -> None:
        """Not what is a second old: until a checkpoint knows of that, it may be sent again."""
        async with self.quiet:
            await self.settled()
            await self._is_covered()
            self.taken_out += await self.relays.destination.purge(share=share)

    async def _is_covered(self) -> None:
        """Until a checkpoint covers all that is written by now."""
        drawn = await self._asked("SELECT max(position) FROM outbox")

        async def is_known() -> bool:
            asked = "SELECT max(floor_position) >= $1 FROM relay_checkpoints"
            return bool(await self._asked(asked, drawn))

        await eventually(is_known, PATIENCE_S)

    async def _is_read(self) -> None:
        async def is_active() -> bool:
            asked = "SELECT active FROM pg_replication_slots WHERE slot_name = $1"
            return bool(await self._asked(asked, self.relays.slot))

        await eventually(is_active, PATIENCE_S)

    async def _rows_arrive(self) -> None:
        """Until some tens of rows more are committed."""
        count = "SELECT count(*) FROM outbox"
        before = await self._asked(count)

        async def have_arrived() -> bool:
            return bool(await self._asked(count) >= before + 40)

        await eventually(have_arrived, PATIENCE_S)

    async def _asked(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - as Postgres has it
        """Of whoever takes writes, again while nobody does."""
        return await answered(lambda: self.databases.pool.fetchval(query, *arguments), PATIENCE_S)

    async def _killed(self, process: Process) -> None:
        process.send_signal(signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def payments_going_on(
    outbox: Outbox, chance: random.Random, quiet: asyncio.Lock
) -> AsyncIterator[asyncio.Event]:
    """Some two hundred rows a second, of payments that go on; until the event is set."""
    stop = asyncio.Event()
    keys = [uuid4() for _ in range(50)]

    async def write() -> None:
        while not stop.is_set():
            async with quiet:
                await outbox.write(chance.sample(keys, 5), rows_per_key=2)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        try:
            yield stop
        finally:
            stop.set()
