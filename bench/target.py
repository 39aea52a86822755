"""The platform a benchmark runs against, and what it reads of it beside HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from local.home import Home
from local.program import CODE, Program, free_port, running
from local.run_record import RunRecord, is_running, read_record
from local.supervisor import ProcessState
from process.addresses import DatabaseAddress
from store.pool import connect_single

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import asyncpg

_READY_WITHIN_S: Final = 180.0
_STOP_WITHIN_S: Final = 90.0
_AT_REST_WITHIN_S: Final = 300.0
_LOOK_EVERY_S: Final = 0.05
_UNLIMITED: Final = {
    "PAYMENTS_RATE_LIMIT_WRITES_PER_SECOND": "0",
    "PAYMENTS_RATE_LIMIT_READS_PER_SECOND": "0",
    "PAYMENTS_RATE_LIMIT_ACCOUNT_PER_SECOND": "0",
}
_IN_FLIGHT: Final = (
    "SELECT EXISTS (SELECT FROM payments WHERE due_at IS NOT NULL AND operation IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where everything is, by the record of the run."""

    record: RunRecord

    @property
    def url(self) -> str:
        return self.record.addresses.ingress

    @property
    def database(self) -> DatabaseAddress:
        """As the run's own processes are told; a run on a server of yours has no record of it."""
        variables = self.record.environment
        return DatabaseAddress(
            host=variables["PAYMENTS_DATABASE_HOST"],
            port=int(variables["PAYMENTS_DATABASE_PORT"]),
            user=variables["PAYMENTS_DATABASE_USER"],
            password=variables["PAYMENTS_DATABASE_PASSWORD"],
            database=variables["PAYMENTS_DATABASE_DATABASE"],
        )

    async def accounts(
        self, count: int, url: str | None = None, key: str | None = None
    ) -> list[str]:
        """Ids of new accounts that no benchmark can empty, of the tenant of the `key` if any."""
        body = {"user_id": "bench", "initial_balance": "9000000000.00", "currency": "USD"}
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with aiohttp.ClientSession(
            url or self.url, raise_for_status=True, headers=headers
        ) as http:

            async def opened() -> str:
                async with http.post("/api/v1/accounts", json=body) as answer:
                    return str((await answer.json())["id"])

            return list(await asyncio.gather(*(opened() for _ in range(count))))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection of our own to the run's database."""
        connection = await connect_single(self.database, application_name="payments-bench")
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def guarded_ingress(self, folder: Path) -> AsyncIterator[str]:
        """The address of one more ingress, which asks for keys and limits nobody's rate."""
        own = {"PAYMENTS_AUTH_MODE": "keys", **_UNLIMITED}
        async with self.another_ingress(folder, own) as url:
            yield url

    @asynccontextmanager
    async def another_ingress(self, folder: Path, own: Mapping[str, str]) -> AsyncIterator[str]:
        """The address of one more ingress, with variables of its own."""
        port, metrics_port = free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        ports = {
            "PAYMENTS_SERVER_PORT": str(port),
            "PAYMENTS_OBSERVABILITY_METRICS_PORT": str(metrics_port),
        }
        program = Program(
            name="another ingress",
            command=(sys.executable, "-m", "api"),
            directory=CODE,
            log=folder / "another-ingress",
            address=url,
            is_ready=lambda: _is_ready(url),
            environment={**os.environ, **self.record.environment, **ports, **own},
        )
        async with running(program):
            yield url

    async def key(self, tenant: str) -> str:
        """A new API key of the tenant."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "keys", "create", "--json", "--name", "bench"),
            *("--tenant", tenant),
            cwd=CODE,
            env={**os.environ, **self.record.environment},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        return str(json.loads(printed)["key"])

    @contextmanager
    def stopped(self, names: Collection[str]) -> Iterator[None]:
        """SIGSTOP some processes, and SIGCONT.

        To be left before the session of a consumer group ends: nobody shall be taken for dead.
        """
        pids = [each.pid for each in self.record.processes if each.name in names and each.pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @asynccontextmanager
    async def faulty(self, fault: Mapping[str, str | float]) -> AsyncIterator[None]:
        """The providers misbehave, meanwhile; `fault` is as their simulator takes it."""
        url = self.record.addresses.simulator
        async with aiohttp.ClientSession(url, raise_for_status=True) as http:
            await http.post("/_simulator/faults", json=fault)
            try:
                yield
            finally:
                await http.delete("/_simulator/faults")

    async def at_rest(self, within_s: float = _AT_REST_WITHIN_S) -> None:
        """Return when no payment owes a provider anything. Raises TimeoutError."""
        async with self.connected() as connection, asyncio.timeout(within_s):
            while await connection.fetchval(_IN_FLIGHT):  # noqa: ASYNC110 - other processes do it
                await asyncio.sleep(_LOOK_EVERY_S)


async def _is_ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession(url) as http, http.get("/health/ready") as answer:
            return answer.ok
    except aiohttp.ClientError:
        return False


@asynccontextmanager
async def started(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[Target]:
    """A platform of its own in a folder, on free ports, ended afterwards. Raises StartError.

    The folder exists.
    """
    own = {
        "PAYMENTS_HOME": str(directory),
        "PAYMENTS_SERVER_PORT": str(free_port()),
        "PAYMENTS_DATABASE_PORT": str(free_port()),
        "PAYMENTS_REDIS_PORT": str(free_port()),
        "PAYMENTS_SIMULATOR_PORT": str(free_port()),
    }
    home = Home(directory)

    async def is_ready() -> bool:
        record = read_record(home)
        return bool(
            record
            and record.processes
            and is_running(record)
            and all(each.state is ProcessState.READY for each in record.processes)
            and any(each.name == "ingress" for each in record.processes)
        )

    program = Program(
        name="payments run",
        command=(sys.executable, "-m", "cli", "run"),
        directory=CODE,
        log=directory / "output",
        address=f"http://127.0.0.1:{own['PAYMENTS_SERVER_PORT']}",
        is_ready=is_ready,
        environment={**environment, **own},
    )
    limits = {"ready_within_seconds": _READY_WITHIN_S, "stop_within_seconds": _STOP_WITHIN_S}
    async with running(program, **limits):
        record = read_record(home)
        assert record is not None, "a ready run has a record"
        yield Target(record)
