"""`python -m api`, started by a test on its own database and Valkey."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from local.program import Program
from process.addresses import DatabaseAddress, RedisAddress
from tests.support.api.ingress import Client
from tests.support.environment import bare

ROOT = Path(__file__).parents[3]
# Readiness promises an answer within a second; a busy machine may need some more.
_PATIENCE = aiohttp.ClientTimeout(total=5)


@dataclass
class Launch:
    """How to start an ingress of this test."""

    environment: dict[str, str]
    directory: Path

    def program(self, port: int, **settings: str) -> Program:
        return Program(
            name="api",
            command=(sys.executable, "-m", "api"),
            directory=ROOT,
            log=self.directory / "api.log",
            address=f"127.0.0.1:{port}",
            is_ready=lambda: is_ready(port),
            environment=self.environment | {"PAYMENTS_SERVER_PORT": str(port)} | settings,
        )


@pytest.fixture
def launch(database: DatabaseAddress, redis_address: RedisAddress, tmp_path: Path) -> Launch:
    """On the test's own database and Valkey, in open mode, without a broker."""
    ours = {
        "PAYMENTS_AUTH_MODE": "open",
        "PAYMENTS_DATABASE_HOST": database.host,
        "PAYMENTS_DATABASE_PORT": str(database.port),
        "PAYMENTS_DATABASE_USER": database.user,
        "PAYMENTS_DATABASE_PASSWORD": database.password,
        "PAYMENTS_DATABASE_DATABASE": database.database,
        "PAYMENTS_REDIS_HOST": redis_address.host,
        "PAYMENTS_REDIS_PORT": str(redis_address.port),
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "PAYMENTS_SERVER_SHUTDOWN_DELAY": "0",
    }
    return Launch(bare() | ours, tmp_path)


async def is_ready(port: int) -> bool:
    """Whether the one at this port says that it is."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/health/ready", timeout=_PATIENCE) as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Client]:
    """A client of its own of the one at this port."""
    async with aiohttp.ClientSession() as session:
        yield Client(session, f"http://127.0.0.1:{port}")
