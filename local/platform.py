"""Brings the whole platform up, keeps its record, and takes it down in order.

`bring_up` may be cancelled at any moment and `take_down` ends whatever had been started by then,
so that there is one way to stop, whether somebody asked for it or something failed.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg

from local.failover import fail_over
from local.forking import ForkServer
from local.home import Home
from local.processes import (
    RunContext,
    ingress_address,
    provider_variables,
    simulator_address,
)
from local.program import Program, StartError, StopGroup
from local.run_record import Addresses, Failover, RunRecord, write_record
from local.servers import Stack
from local.supervisor import Supervised, Watcher, stop_in_order, until_all_ready
from process.addresses import DatabaseAddress
from process.lifecycle import CLEANUP_S
from process.settings import Settings
from store.migrations import MigrationError, migrate_up, read_migrations
from store.pool import connect_single

# An interpreter for each on two busy cores; whoever fails ends the wait much sooner.
_READY_WITHIN_SECONDS: Final = 300.0
# After the drain nobody writes any more: servers only save what they hold.
_SERVERS_STOP_SECONDS: Final = 30.0
_LOG_CHECK_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a run is given from outside: where, with what, which servers and which processes."""

    home: Home
    settings: Settings
    environment: Mapping[str, str]
    prepare: Callable[[], Awaitable[Stack]]
    processes: Callable[[RunContext], list[Program]]
    say: Callable[[str], None]
    # Who starts processes of ours; without one they are executed.
    forks: ForkServer | None = None


class Platform:
    """Every server and every process of one run."""

    def __init__(self, given: RunSpec) -> None:
        self._given = given
        self._watcher = Watcher(changed=self._write_record, say=given.say)
        self._supervised: list[Supervised] = []
        self._killed: list[str] = []
        self._stack: Stack | None = None
        self._variables: dict[str, str] = {}
        self._asked = asyncio.Event()
        self._failover: Failover | None = None
        self._started_at = datetime.now(UTC)

    @property
    def logs(self) -> Path:
        return self._given.home.log("*")

    async def bring_up(self, tasks: asyncio.TaskGroup, http: aiohttp.ClientSession) -> None:
        """Return when everything is ready. Raises `StartError`."""
        given = self._given
        if given.forks is not None:
            # It imports while the servers start.
            await given.forks.begin()
        providers = provider_variables(given.home, given.settings, given.environment)
        self._stack = stack = await given.prepare()
        self._variables = stack.variables | providers
        await self._start(tasks, stack.programs)
        await _migrate(stack.database_address)
        environment = {**given.environment, **self._variables}
        starter = None if given.forks is None else given.forks.start
        context = RunContext(given.home, given.settings, environment, http, starter)
        await self._start(tasks, given.processes(context))

    async def take_down(self) -> list[str]:
        """Stop everything in order, our processes first; names of those that had to be killed."""
        # What has not drained by then ends by itself.
        drain_s = self._given.settings.server.shutdown_timeout_seconds + CLEANUP_S
        ours = await stop_in_order(self._groups(of_servers=False), within_seconds=drain_s)
        if self._given.forks is not None:
            await self._given.forks.aclose()
        servers = await stop_in_order(
            self._groups(of_servers=True), within_seconds=_SERVERS_STOP_SECONDS
        )
        return self._killed + ours + servers

    def kill(self) -> None:
        """End everything at once, for somebody who asked a second time."""
        self._killed = [each.program.name for each in self._supervised if each.kill()]

    def record(self) -> RunRecord | None:
        """What runs now; None before it is decided where the servers are."""
        if self._stack is None:
            return None
        return RunRecord(
            pid=os.getpid(),
            started_at=self._started_at,
            addresses=Addresses(
                ingress=ingress_address(self._given.settings),
                database=self._stack.database.address,
                redis=self._stack.redis.address,
                kafka=self._stack.kafka.address,
                simulator=simulator_address(self._variables),
            ),
            environment=self._variables,
            processes=tuple(each.snapshot() for each in self._supervised),
            primary=None if self._stack.pair is None else self._stack.pair.primary,
            failover=self._failover,
        )

    async def keep_logs_short(self) -> None:
        """For ever: a process writes to its log for as long as the run lasts."""
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            self._given.home.shorten_logs()

    def ask_failover(self) -> None:
        """Have the standby of the database take over."""
        self._asked.set()

    async def conduct_failovers(self) -> None:
        """For ever: one after the other."""
        for number in itertools.count(1):
            await self._asked.wait()
            self._failover = Failover(number=number, error=await self._fail_over())
            # Whoever asked meanwhile has what was asked for.
            self._asked.clear()
            self._write_record()

    async def _fail_over(self) -> str | None:
        """Why it could not be."""
        if self._stack is None or self._stack.pair is None:
            return "There is one database, and no standby."
        try:
            await fail_over(self._stack.pair, self._supervised, self._given.say)
        except StartError as error:
            self._given.say(str(error))
            return str(error)
        return None

    async def _start(self, tasks: asyncio.TaskGroup, programs: Sequence[Program]) -> None:
        supervised = [Supervised(program, self._watcher) for program in programs]
        self._supervised += supervised
        for each in supervised:
            tasks.create_task(each.keep())
        await until_all_ready(supervised, within_seconds=_READY_WITHIN_SECONDS)

    def _groups(self, *, of_servers: bool) -> list[list[Supervised]]:
        return [
            [each for each in self._supervised if each.program.stop_group is group]
            for group in StopGroup
            if group.is_of_servers is of_servers
        ]

    def _write_record(self) -> None:
        record = self.record()
        if record is not None:
            write_record(self._given.home, record)


async def _migrate(address: DatabaseAddress) -> None:
    try:
        connection = await connect_single(address, application_name="payments migrate")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StartError(
            f"Postgres at {address.host}:{address.port} cannot be used: {error}."
        ) from error
    try:
        await migrate_up(connection, read_migrations())
    except (MigrationError, asyncpg.PostgresError) as error:
        raise StartError(f"The migrations failed: {error}.") from error
    finally:
        await connection.close()
