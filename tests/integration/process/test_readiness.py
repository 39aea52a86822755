"""Whom requests are led to says whether it can take them, on the port that orchestrators ask.

The ingress and the receiver of webhooks as processes, and a Postgres that has its bad days.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp
import pytest

from local.program import free_port
from telemetry.health import HealthResponse
from tests.support.fixtures.processes import OurProcess, Platform
from tests.support.front import Front, Way, front_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress

# The status, and of each check what is wrong.
Found: TypeAlias = tuple[int, dict[str, str | None]]

_COMMANDS: Final = {"ingress": ("api",), "receiver": ("agents", "notifications")}
_NEEDED: Final = {
    "ingress": ("postgres", "migrations", "redis"),
    "receiver": ("postgres", "migrations"),
}
# Without anything that was asked: it has not begun, or is to stop.
_NOT_NOW: Final[Found] = (503, {})


@pytest.fixture
async def front(database: DatabaseAddress) -> AsyncIterator[Front]:
    """What stands between the processes and Postgres."""
    async with front_of(database.host, database.port) as opened:
        yield opened


@pytest.fixture
def platform(
    database: DatabaseAddress, redis_address: RedisAddress, front: Front, tmp_path: Path
) -> Iterator[Platform]:
    """What an ingress needs, and the time a balancer needs to notice on a busy machine."""
    platform = Platform(
        database=replace(database, host="127.0.0.1", port=front.port),
        kafka="127.0.0.1:1",
        redis=redis_address,
        simulator_url="http://127.0.0.1:1",
        directory=tmp_path,
        settings={
            "PAYMENTS_AUTH_MODE": "open",
            "PAYMENTS_SERVER_PORT": str(free_port()),
            "PAYMENTS_WEBHOOKS_PORT": str(free_port()),
            "PAYMENTS_SERVER_SHUTDOWN_DELAY": "3s",
        },
    )
    yield platform
    platform.end()


@pytest.fixture(params=_COMMANDS)
def entrance(platform: Platform, request: pytest.FixtureRequest) -> OurProcess:
    """One that requests are led to, not yet started."""
    return platform.process(request.param, *_COMMANDS[request.param])


async def found(process: OurProcess) -> list[Found]:
    """What it says on the port of its metrics; and the ingress on that of payments."""
    ports = [str(process.port)]
    if process.name == "ingress":
        ports.append(process.environment["PAYMENTS_SERVER_PORT"])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        return [await _found(session, port) for port in ports]


async def _found(session: aiohttp.ClientSession, port: str) -> Found:
    async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
        health = HealthResponse.model_validate_json(await answer.read())
        assert answer.status == health.http_status
        return answer.status, {name: check.detail for name, check in health.checks.items()}


async def test_while_the_primary_takes_no_writes_nobody_is_led_there(
    entrance: OurProcess, pool: asyncpg.Pool[asyncpg.Record], database: DatabaseAddress
) -> None:
    """It says why, the same on each of its ports; and nobody restarts anything."""
    await entrance.start()
    well: dict[str, str | None] = dict.fromkeys(_NEEDED[entrance.name])

    async def is_well() -> bool:
        return all(each == (200, well) for each in await found(entrance))

    await eventually(is_well)
    await pool.execute(f"ALTER DATABASE {database.database} SET default_transaction_read_only = on")
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name ~ '^payments-(api|agents)-'"
    )

    async def is_told_why() -> bool:
        wrong = (503, {**well, "postgres": "takes no writes"})
        return all(each == wrong for each in await found(entrance))

    await eventually(is_told_why)
    await pool.execute(f"ALTER DATABASE {database.database} RESET default_transaction_read_only")
    await eventually(is_well)


async def test_while_postgres_is_silent_nobody_is_led_there(
    entrance: OurProcess, front: Front
) -> None:
    """Each probe is answered meanwhile, and what was swallowed is not waited for afterwards."""
    await entrance.start()
    front.go_dark()

    async def is_told_why() -> bool:
        said = await found(entrance)
        return all(
            status == 503 and "does not answer" in str(checks["postgres"])
            for status, checks in said
        )

    await eventually(is_told_why)
    front.come_back()
    await eventually(entrance.is_ready, within=12)


async def test_nobody_is_led_there_before_it_serves_nor_once_it_is_told_to_stop(
    entrance: OurProcess, front: Front
) -> None:
    """Waiting for Postgres it is alive and not ready; told to stop, it is still there."""
    front.go(Way.GONE)
    entrance.launch()
    await eventually(entrance.is_alive, within=60)
    async with aiohttp.ClientSession() as session:
        assert await _found(session, str(entrance.port)) == _NOT_NOW
    front.go(Way.OPEN)
    await entrance.until_ready()
    draining = asyncio.ensure_future(entrance.drain())

    async def is_led_nobody() -> bool:
        return all(each == _NOT_NOW for each in await found(entrance))

    await eventually(is_led_nobody)
    assert await draining == 0
