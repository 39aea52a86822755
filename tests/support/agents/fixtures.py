"""One platform for all tests of the agents: its processes start once, its workers as needed.

Every wait is cut short by settings, so that a lease runs out in a second; each test pays
from an account of its own and leaves nothing armed in the simulator.
"""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import pytest_asyncio

from payments.progress import Policy
from process.addresses import DatabaseAddress, RedisAddress
from store.pool import connect
from store.write.context import live
from store.write.group_commit import GroupCommitter
from telemetry.metrics import Metrics
from tests.support.agents.shop import HASTY, Shop
from tests.support.fixtures.kafka import broker
from tests.support.fixtures.postgres import fresh_database
from tests.support.fixtures.processes import OurProcess, Platform
from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def platform(
    postgres_server: DatabaseAddress,
    migrated_template: str,
    valkey_server: RedisAddress,
    simulator: SimulatorProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    """A database and a broker with a relay and a schedule at work on them."""
    directory = tmp_path_factory.mktemp("agents")
    async with (
        fresh_database(postgres_server, f"TEMPLATE {migrated_template}") as database,
        broker(directory) as kafka,
    ):
        platform = Platform(
            database=database,
            kafka=kafka,
            redis=valkey_server,
            simulator_url=simulator.url,
            directory=directory,
            settings=HASTY,
        )
        background = (platform.relay("kafka"), platform.schedule())
        try:
            for process in background:
                process.launch()
            for process in background:
                await process.until_ready()
            yield platform
        finally:
            platform.end()


@pytest.fixture(scope="package")
def crew(platform: Platform) -> OurProcess:
    """The one charge worker; killed by a test, it comes back under the same name."""
    return platform.charge("one")


@pytest.fixture
async def worker(crew: OurProcess) -> OurProcess:
    """The charge worker, at work."""
    if not crew.is_running:
        await crew.start()
    return crew


@pytest.fixture
def provider(simulator: SimulatorProcess) -> Iterator[Admin]:
    """The simulator, doing as it should before and after the test."""
    admin = Admin(simulator.url)
    admin.clear()
    yield admin
    admin.clear()


@pytest.fixture
async def shop(platform: Platform, metrics: Metrics, provider: Admin) -> AsyncIterator[Shop]:
    """Where customers pay, through a committer as the ingress has one."""
    async with (
        await connect(platform.database, application_name="shop", size=4) as pool,
        GroupCommitter(pool, live(Policy()), metrics) as committer,
    ):
        yield Shop(pool, committer, provider)


@pytest.fixture
def idle_shop(
    pool: "asyncpg.Pool[asyncpg.Record]", committer: GroupCommitter, provider: Admin
) -> Shop:
    """A shop on a database of its own, whose work nobody does but the test."""
    return Shop(pool, committer, provider)
