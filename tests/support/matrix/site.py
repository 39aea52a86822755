"""Every process of ours before servers that misbehave when told, and clients who note each answer.

All processes reach Postgres, Redis and the providers through fronts; the test itself, which
breaks things and looks at the books, does not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp
import psutil

from local.embedded import postgres, valkey
from local.program import free_port, running
from process.addresses import DatabaseAddress, RedisAddress
from store.migrations import migrate_up, read_migrations
from store.pool import connect_single, long_reading
from tests.support.fixtures.kafka import broker
from tests.support.fixtures.processes import OurProcess, Platform
from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.front import front_of
from tests.support.simulator.admin import Admin
from tests.support.waiting import eventually
from verify.database import read_baseline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import asyncpg

    from local.program import Program
    from tests.support.front import Front

_SETTINGS: Final = {
    "PAYMENTS_AUTH_MODE": "open",
    "PAYMENTS_PAYMENT_LEASE": "5s",
    "PAYMENTS_PAYMENT_LOCK_TTL": "5s",
    "PAYMENTS_PAYMENT_RETRY_DELAY": "100ms",
    "PAYMENTS_STRIPE_TIMEOUT": "2s",
    "PAYMENTS_PAYPAL_TIMEOUT": "2s",
    "PAYMENTS_STRIPE_WEBHOOK_SECRET": "whsec_matrix",
    "PAYMENTS_OBSERVABILITY_LOG_LEVEL": "info",
    "PAYMENTS_OUTBOX_RETENTION": "168h",
    "PAYMENTS_WEBHOOK_KEY": "a key of the matrix",
    # Endpoints of tests are on this machine.
    "PAYMENTS_WEBHOOK_NETWORKS": "127.0.0.0/8",
}
# Not much more WAL may be kept than that at which operators are told.
_POSTGRES: Final = {"max_slot_wal_keep_size": "1100MB"}
# What a client may be told on a bad day; everything else is a fault of ours.
_ALLOWED: Final = {200, 201, 202, 409, 429, 503}
_BETWEEN_S: Final = 0.25
# Far beyond what anybody is kept waiting.
_PATIENCE: Final = aiohttp.ClientTimeout(total=30)
_ENDED: Final = "('completed', 'failed', 'cancelled', 'partially_refunded', 'refunded')"
_ADMIN: Final = "matrix"
# A circuit rests for half a minute, and a provider's trial comes after another quarter.
_HEALED_WITHIN_S: Final = 150.0


@dataclass(slots=True)
class Clients:
    """Who pays at the ingress, again and again, and what they were told."""

    url: str
    answers: Counter[int | str] = field(default_factory=Counter)
    begun: int = 0
    accepted: list[str] = field(default_factory=list)
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
            tasks.create_task(self._pay_on(http, tasks, stopping))
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

    async def _pay_on(
        self, http: aiohttp.ClientSession, tasks: asyncio.TaskGroup, stopping: asyncio.Event
    ) -> None:
        while not stopping.is_set():
            self.begun += 1
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
        headers = {"Idempotency-Key": str(uuid4())}
        try:
            async with http.post("/api/v1/payments", json=body, headers=headers) as answer:
                self.answers[answer.status] += 1
                if answer.status == 202:
                    self.accepted.append((await answer.json())["id"])
                elif answer.status in {429, 503}:
                    assert int(answer.headers["Retry-After"]) > 0
        except (aiohttp.ClientError, TimeoutError) as error:
            self.answers[type(error).__name__] += 1

    async def try_on(self, count: int) -> None:
        """Return when so many more have been begun, whatever they were told."""
        wanted = self.begun + count
        await eventually(lambda: self.begun >= wanted, within=_HEALED_WITHIN_S)

    async def get_through(self, count: int) -> None:
        """Return when so many more were accepted."""
        wanted = len(self.accepted) + count
        await eventually(lambda: len(self.accepted) >= wanted, within=_HEALED_WITHIN_S)

    def assert_told_honestly(self, *, without_answer: bool = False) -> None:
        """Nobody was told what is not to be told; with `without_answer` some may hear nothing."""
        wrong = {
            answer: count
            for answer, count in self.answers.items()
            if answer not in _ALLOWED and not (without_answer and isinstance(answer, str))
        }
        assert not wrong, f"{wrong} of {dict(self.answers)}"


class Server:
    """What runs while its context is open: closed and opened again, it has its port and data."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        self._opened = opened
        self._running = AsyncExitStack()

    async def start(self) -> object:
        return await self._running.enter_async_context(self._opened())

    async def stop(self) -> None:
        await self._running.aclose()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        await self.stop()
        try:
            yield
        finally:
            await self.start()


@dataclass(slots=True)
class Site:
    """The servers, their fronts, and every process of ours by name."""

    admin: asyncpg.Connection[asyncpg.Record]
    database: DatabaseAddress
    postgres: Front
    redis: Front
    provider: Front
    redis_address: RedisAddress
    simulator: Admin
    broker: Server
    broker_port: int
    url: str
    platform: Platform
    processes: Mapping[str, OurProcess]

    def who_listens(self, port: int) -> psutil.Process:
        """The process that a server's clients reach."""
        for each in psutil.process_iter():
            with suppress(psutil.Error):
                for one in each.net_connections("tcp"):
                    if one.status == psutil.CONN_LISTEN and one.laddr.port == port:
                        return each
        raise AssertionError(f"nobody listens at {port}")

    async def until_healed(self, clients: Clients) -> None:
        """Everybody is ready, was never replaced, and all that was accepted has ended, soundly."""
        for process in self.processes.values():
            await process.until_ready()
        await eventually(lambda: self._have_ended(clients), within=_HEALED_WITHIN_S)
        await eventually(self._is_sound, within=_HEALED_WITHIN_S)

    async def _have_ended(self, clients: Clients) -> bool:
        left = await self.admin.fetch(
            f"SELECT id, status, due_at FROM payments WHERE status NOT IN {_ENDED} LIMIT 3"  # noqa: S608 # a constant
        )
        assert not left, f"of {len(clients.accepted)} there are left {left}"
        return True

    async def _is_sound(self) -> bool:
        async with long_reading(self.database, application_name=_ADMIN) as connection:
            found = await read_baseline(connection, outbox_retention_s=604_800)
        wrong = [str(each) for result in found.results for each in result.violations]
        assert not wrong, wrong
        return True

    async def end_sessions(self) -> None:
        """Of everybody but the test."""
        await self.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name <> $1",
            _ADMIN,
        )

    async def stop(self, name: str) -> None:
        """SIGTERM: whatever the servers do it ends in time, and says that it ended well."""
        process = self.processes[name]
        code = await process.drain()
        assert code == 0, f"{name} ended with {code}:\n{process.said[-3000:]}"


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    """Everything of one's own, and at work."""
    async with AsyncExitStack() as stack:
        database = DatabaseAddress(
            host="127.0.0.1",
            port=free_port(),
            user=postgres.ROLE,
            password="payments",
            database=postgres.DATABASE,
        )
        redis = RedisAddress("127.0.0.1", free_port())
        for program in await _servers(directory, database.port, redis.port):
            await stack.enter_async_context(running(program))
        kafka_port = free_port()
        kafka = Server(lambda: broker(directory / "kafka", kafka_port))
        bootstrap = str(await kafka.start())
        stack.push_async_callback(kafka.stop)
        simulator = SimulatorProcess(directory)
        await asyncio.to_thread(simulator.start)
        stack.callback(simulator.stop)
        admin = await connect_single(database, application_name=_ADMIN)
        stack.push_async_callback(admin.close)
        await migrate_up(admin, read_migrations())
        fronts = [
            await stack.enter_async_context(front_of("127.0.0.1", port))
            for port in (database.port, redis.port, simulator.port)
        ]
        platform = Platform(
            database=replace(database, port=fronts[0].port),
            kafka=bootstrap,
            redis=RedisAddress("127.0.0.1", fronts[1].port),
            simulator_url=f"http://127.0.0.1:{fronts[2].port}",
            directory=directory,
            settings=_SETTINGS,
        )
        stack.callback(platform.end)
        processes, url = _processes(platform)
        for process in processes.values():
            process.launch()
        for process in processes.values():
            await process.until_ready()
        yield Site(
            admin=admin,
            database=database,
            postgres=fronts[0],
            redis=fronts[1],
            provider=fronts[2],
            redis_address=redis,
            simulator=Admin(simulator.url),
            broker=kafka,
            broker_port=int(bootstrap.rpartition(":")[2]),
            url=url,
            platform=platform,
            processes=processes,
        )


async def _servers(directory: Path, postgres_port: int, redis_port: int) -> list[Program]:
    return [
        await postgres.prepare(
            directory / "postgres",
            postgres_port,
            log=directory / "postgres.log",
            configuration=_POSTGRES,
        ),
        await valkey.prepare(
            directory / "valkey", redis_port, log=directory / "valkey.log", durable=False
        ),
    ]


def _processes(platform: Platform) -> tuple[dict[str, OurProcess], str]:
    port = free_port()
    processes = {
        "ingress": platform.process("ingress", "api", PAYMENTS_SERVER_PORT=str(port)),
        "relay-kafka": platform.relay("kafka"),
        "relay-redis": platform.relay("redis"),
        "charge": platform.charge("one"),
        "refund": platform.refund("one"),
        "dead-letters": platform.dead_letters(),
        "schedule": platform.schedule(),
        "deliver": platform.process("deliver", "agents", "deliver", "--member", "one"),
        "lag": platform.process("lag", "lag"),
        "webhooks": platform.process(
            "webhooks", "agents", "webhooks", PAYMENTS_WEBHOOKS_PORT=str(free_port())
        ),
    }
    return processes, f"http://127.0.0.1:{port}"
