"""Servers that go away under traffic and come back: every payment ends, and right.

A platform of its own, whose servers may be stopped: Postgres, the broker, Redis, the provider.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from local.embedded import postgres, valkey
from local.program import free_port, running
from payments.progress import Policy
from process.addresses import DatabaseAddress, RedisAddress
from store.migrations import migrate_up, read_migrations
from store.pool import connect, connect_single
from store.write.context import live
from store.write.group_commit import GroupCommitter
from telemetry.metrics import Metrics
from tests.support.agents.shop import HASTY, Shop
from tests.support.agents.stream import Charges
from tests.support.fixtures.kafka import broker
from tests.support.fixtures.processes import Platform
from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.matrix.site import Server
from tests.support.simulator.admin import Admin
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures.processes import OurProcess

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

# A circuit that opened stays so for half a minute.
_LONG_S = 90.0


@dataclass(frozen=True, slots=True)
class Site:
    """A platform, the servers it stands on, and the worker at work."""

    platform: Platform
    shop: Shop
    worker: OurProcess
    provider: SimulatorProcess
    postgres: Server
    broker: Server
    redis: Server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Everything of one's own."""
    directory = tmp_path_factory.mktemp("site")
    postgres_port, valkey_port, kafka_port = free_port(), free_port(), free_port()
    database = DatabaseAddress(
        host="127.0.0.1",
        port=postgres_port,
        user=postgres.ROLE,
        password="payments",
        database=postgres.DATABASE,
    )
    database_program = await postgres.prepare(
        directory / "postgres", postgres_port, log=directory / "postgres.log"
    )
    redis_program = await valkey.prepare(
        directory / "valkey", valkey_port, log=directory / "valkey.log", durable=False
    )
    servers = {
        "postgres": Server(lambda: running(database_program)),
        "broker": Server(lambda: broker(directory / "kafka", kafka_port)),
        "redis": Server(lambda: running(redis_program)),
    }
    provider = SimulatorProcess(directory)
    platform = Platform(
        database=database,
        kafka="",
        redis=RedisAddress("127.0.0.1", valkey_port),
        simulator_url=provider.url,
        directory=directory,
        settings=HASTY,
    )
    try:
        await servers["postgres"].start()
        await servers["redis"].start()
        platform.kafka = str(await servers["broker"].start())
        provider.start()
        await _migrate(database)
        worker = platform.charge("one")
        processes = (platform.relay("kafka"), platform.schedule(), worker)
        for process in processes:
            process.launch()
        for process in processes:
            await process.until_ready()
        async with _shop(database, provider) as shop:
            yield Site(platform, shop, worker, provider, **servers)
    finally:
        platform.end()
        provider.stop()
        for server in servers.values():
            await server.stop()


async def _migrate(database: DatabaseAddress) -> None:
    connection = await connect_single(database, application_name="payments migrate")
    try:
        await migrate_up(connection, read_migrations())
    finally:
        await connection.close()


@asynccontextmanager
async def _shop(database: DatabaseAddress, provider: SimulatorProcess) -> AsyncIterator[Shop]:
    async with (
        await connect(database, application_name="shop", size=4) as pool,
        GroupCommitter(pool, live(Policy()), Metrics(CollectorRegistry())) as committer,
    ):
        yield Shop(pool, committer, Admin(provider.url))


async def test_without_redis_the_work_goes_on(site: Site) -> None:
    """Gone in the middle of traffic, and never needed: payments complete, a metric says so."""
    customer = await site.shop.customer()
    payments = await site.shop.bought_many(customer, 20)
    async with site.redis.away():
        payments += await site.shop.bought_many(customer, 20)
        await site.shop.settles(payments)
        assert await site.worker.metric("payments_redis_degraded_total", use="lock") > 0
    await site.shop.assert_right(customer)


async def test_a_restart_of_postgres_loses_nothing(site: Site) -> None:
    """Claims and outcomes wait for it, in every process; then all is recorded, and once."""
    customer = await site.shop.customer()
    site.shop.provider.arm("latency", operation="charge", milliseconds=300, times=20)
    payments = await site.shop.bought_many(customer, 40)
    await eventually(lambda: site.shop.is_claimed(payments[0]))
    async with site.postgres.away():
        pass
    payments += await site.shop.bought_many(customer, 20)
    await site.shop.settles(payments, within=_LONG_S)
    await site.shop.assert_right(customer)


async def test_a_restart_of_the_broker_loses_nothing(site: Site) -> None:
    """What was accepted meanwhile is published when it is back; the same worker works it off."""
    customer = await site.shop.customer()
    payments = await site.shop.bought_many(customer, 20)
    async with site.broker.away():
        payments += await site.shop.bought_many(customer, 20)
    payments += await site.shop.bought_many(customer, 20)
    await site.shop.settles(payments, within=_LONG_S)
    await site.shop.assert_right(customer)
    await eventually(Charges(site.platform.kafka).is_read)


async def test_while_a_provider_is_down_its_payments_wait(site: Site) -> None:
    """Ten calls find out; the rest is put off, unburned, and completes when it is back."""
    customer = await site.shop.customer()
    site.provider.kill()
    payments = await site.shop.bought_many(customer, 60)

    async def are_put_off() -> bool:
        deferred = await site.shop.pool.fetchval(
            "SELECT count(DISTINCT payment_id) FROM attempts WHERE outcome = 'deferred'"
            " AND payment_id = any($1)",
            [payment.id for payment in payments],
        )
        return int(deferred) >= 20

    await eventually(are_put_off)
    site.provider.start()
    await site.shop.settles(payments, within=_LONG_S)
    assert {await site.shop.status(payment) for payment in payments} == {"completed"}
    await site.shop.assert_right(customer)
