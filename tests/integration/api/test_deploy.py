"""A deploy behind a load balancer loses no request: one ingress after the other is replaced."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from local.program import free_port
from tests.support.api.balancer import Balancer, balanced
from tests.support.api.ingress import Client
from tests.support.fixtures.processes import OurProcess, Platform
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress
    from tests.support.api.ingress import Reply

_CLIENTS = 16


@pytest.fixture
def platform(
    database: DatabaseAddress, redis_address: RedisAddress, tmp_path: Path
) -> Iterator[Platform]:
    """What an ingress needs, and the time a balancer needs to notice on a busy machine."""
    platform = Platform(
        database=database,
        kafka="127.0.0.1:1",
        redis=redis_address,
        simulator_url="",
        directory=tmp_path,
        settings={"PAYMENTS_AUTH_MODE": "open", "PAYMENTS_SERVER_SHUTDOWN_DELAY": "3s"},
    )
    yield platform
    platform.end()


def ingress(platform: Platform, name: str) -> tuple[str, OurProcess]:
    """Its address, and the process, not yet started."""
    port = free_port()
    return f"http://127.0.0.1:{port}", platform.process(name, "api", PAYMENTS_SERVER_PORT=str(port))


async def pay_until(over: asyncio.Event, balancer: Balancer, account: str) -> list[Reply]:
    """One payment after the other, every second one on a new connection; what was answered."""
    replies = []
    async with aiohttp.ClientSession() as kept:
        while not over.is_set():
            replies.append(await Client(kept, balancer.address).pay(account, "0.50"))
            async with aiohttp.ClientSession() as new:
                replies.append(await Client(new, balancer.address).pay(account, "0.50"))
    return replies


async def test_a_rolling_restart_under_load_loses_no_request(
    platform: Platform, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Told to stop it is no longer ready, and still there; each is answered, each is recorded."""
    ingresses = dict(ingress(platform, name) for name in ("one", "other"))
    for process in ingresses.values():
        process.launch()
    over = asyncio.Event()
    async with balanced(*ingresses) as balancer:
        await eventually(lambda: balancer.ready == set(ingresses), within=60)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            account = await Client(session, balancer.address).account("1000000.00")
            paying = [
                tasks.create_task(pay_until(over, balancer, account)) for _ in range(_CLIENTS)
            ]
            for address, process in ingresses.items():
                assert await process.drain() == 0
                process.launch()
                await eventually(lambda address=address: address in balancer.ready, within=60)  # type: ignore[misc] # mypy cannot infer a lambda's default
            over.set()
    replies = [reply for task in paying for reply in task.result()]
    assert {reply.status for reply in replies} == {202}
    assert len({reply.text("id") for reply in replies}) == len(replies) > 100
    assert await pool.fetchval("SELECT count(*) FROM payments") == len(replies)
