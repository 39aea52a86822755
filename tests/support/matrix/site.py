"""Every process of ours before servers that misbehave when told.

All processes reach Postgres, Redis, Kafka and the providers through fronts; the test itself, which
breaks things and looks at the books, does not.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import psutil

from local.embedded import postgres, valkey
from local.program import free_port, running
from process.addresses import DatabaseAddress, RedisAddress
from store.migrations import migrate_up, read_migrations
from store.pool import connect_single
from tests.support.fixtures.processes import OurProcess, Platform
from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.front import Way, front_of
from tests.support.matrix.brokers import broker_behind
from tests.support.matrix.clients import Door, Entrance
from tests.support.simulator.admin import Admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
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
    "PAYMENTS_PAYPAL_WEBHOOK_ID": "MATRIX",
    "PAYMENTS_OBSERVABILITY_LOG_LEVEL": "info",
    "PAYMENTS_OUTBOX_RETENTION": "168h",
    "PAYMENTS_WEBHOOK_KEY": "a key of the matrix",
    # Endpoints of tests are on this machine.
    "PAYMENTS_WEBHOOK_NETWORKS": "127.0.0.0/8",
}
_WEBHOOK_KEYS: Final = {"PAYMENTS_STRIPE_WEBHOOK_SECRET", "PAYMENTS_PAYPAL_WEBHOOK_ID"}
# Not much more WAL may be kept than that at which operators are told.
_POSTGRES: Final = {"max_slot_wal_keep_size": "1100MB"}
_ADMIN: Final = "matrix"
_INGRESS: Final = "ingress"
PROCESSES: Final = (
    _INGRESS,
    "relay-kafka",
    "relay-redis",
    "charge",
    "refund",
    "dead-letters",
    "schedule",
    "deliver",
    "lag",
    "webhooks",
)


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
    kafka: Front
    provider: Front
    redis_address: RedisAddress
    simulator: Admin
    broker: Server
    broker_port: int
    url: str
    platform: Platform
    processes: Mapping[str, OurProcess]
    entrance: Entrance = field(default_factory=Entrance)

    def who_listens(self, port: int) -> psutil.Process:
        """The process that a server's clients reach."""
        for each in psutil.process_iter():
            with suppress(psutil.Error):
                for one in each.net_connections("tcp"):
                    if one.status == psutil.CONN_LISTEN and one.laddr.port == port:
                        return each
        raise AssertionError(f"nobody listens at {port}")

    async def end_sessions(self) -> None:
        """Of everybody but the test."""
        await self.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name <> $1",
            _ADMIN,
        )

    def cut(self) -> None:
        """Every connection to every server ends, and may be made anew."""
        for front in (self.postgres, self.redis, self.kafka, self.provider):
            front.go(Way.GONE)
            front.go(Way.OPEN)

    async def stop(self, name: str) -> None:
        """SIGTERM: whatever the servers do it ends in time, and says that it ended well."""
        process = self.processes[name]
        if name == _INGRESS:
            self.entrance.door = Door.CLOSED
        code = await process.drain()
        assert code == 0, f"{name} ended with {code}:\n{process.said[-3000:]}"

    async def start(self, name: str) -> None:
        """Unless it runs already; return when it is ready."""
        process = self.processes[name]
        if not process.is_running:
            process.launch()
        await process.until_ready()
        if name == _INGRESS:
            self.entrance.door = Door.OPEN

    async def start_all(self) -> None:
        """Whatever an earlier test has left of it."""
        for name in self.processes:
            await self.start(name)

    @contextmanager
    def only_stopping(self, name: str) -> Iterator[None]:
        """Whatever happens in the block, no process but this one ends in it."""
        before = self._others(name)
        yield
        assert self._others(name) == before
        assert all(each.is_running for each in self.processes.values())

    def _others(self, name: str) -> dict[str, int]:
        return {each: one.process_id for each, one in self.processes.items() if each != name}

    def is_stuck(self, name: str) -> None:
        """From now on, until it is started, the process answers nobody new."""
        if name == _INGRESS:
            self.entrance.door = Door.STUCK

    @asynccontextmanager
    async def standing_still(self, name: str) -> AsyncIterator[None]:
        """The process is stopped by its kernel, and does not know of it."""
        process = self.processes[name]
        self.is_stuck(name)
        process.freeze()
        try:
            yield
        finally:
            process.thaw()
            self.entrance.door = Door.OPEN


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
        broker_port, receiver_port = free_port(), free_port()
        to_broker = await stack.enter_async_context(front_of("127.0.0.1", broker_port))
        broker = Server(lambda: broker_behind(to_broker.port, directory / "kafka", broker_port))
        await broker.start()
        stack.push_async_callback(broker.stop)
        simulator = SimulatorProcess(directory, environment=_simulated(receiver_port))
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
            kafka=f"127.0.0.1:{to_broker.port}",
            redis=RedisAddress("127.0.0.1", fronts[1].port),
            simulator_url=f"http://127.0.0.1:{fronts[2].port}",
            directory=directory,
            # Where `payments verify` asks for the journal: where the providers are.
            settings={**_SETTINGS, "PAYMENTS_SIMULATOR_PORT": str(fronts[2].port)},
        )
        stack.callback(platform.end)
        processes, url = _processes(platform, receiver_port)
        for process in processes.values():
            process.launch()
        for process in processes.values():
            await process.until_ready()
        yield Site(
            admin=admin,
            database=database,
            postgres=fronts[0],
            redis=fronts[1],
            kafka=to_broker,
            provider=fronts[2],
            redis_address=redis,
            simulator=Admin(simulator.url),
            broker=broker,
            broker_port=broker_port,
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


def _simulated(receiver_port: int) -> dict[str, str]:
    """The simulator's own settings: it tells the receiver of what it did."""
    secrets = {name: text for name, text in _SETTINGS.items() if name in _WEBHOOK_KEYS}
    return {**secrets, "PAYMENTS_SIMULATOR_WEBHOOKS_URL": f"http://127.0.0.1:{receiver_port}"}


def _processes(platform: Platform, receiver_port: int) -> tuple[dict[str, OurProcess], str]:
    port = free_port()
    processes = {
        # Who asks while it is told to stop is let in for a second more, as behind a balancer.
        _INGRESS: platform.process(
            "ingress",
            "api",
            PAYMENTS_SERVER_PORT=str(port),
            PAYMENTS_SERVER_SHUTDOWN_DELAY="1s",
        ),
        "relay-kafka": platform.relay("kafka"),
        "relay-redis": platform.relay("redis"),
        "charge": platform.charge("one"),
        "refund": platform.refund("one"),
        "dead-letters": platform.dead_letters(),
        "schedule": platform.schedule(),
        "deliver": platform.process("deliver", "agents", "deliver", "--member", "one"),
        "lag": platform.process("lag", "lag"),
        "webhooks": platform.process(
            "webhooks", "agents", "webhooks", PAYMENTS_WEBHOOKS_PORT=str(receiver_port)
        ),
    }
    return processes, f"http://127.0.0.1:{port}"
