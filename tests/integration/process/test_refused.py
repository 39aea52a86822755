"""Wrong credentials are an error, not something to wait for: a sentence and exit 2 everywhere."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from local.program import CODE, free_port
from tests.support.waiting import in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from process.addresses import DatabaseAddress, RedisAddress

_PROCESSES = (("api",), ("agents", "schedule"), ("topics.relay", "--sink", "redis"))
# An interpreter with all our imports, on two cores that others use too.
_PATIENCE_S = 60


@pytest.fixture
async def locked_redis(
    redis_address: RedisAddress, redis_client: Redis
) -> AsyncIterator[RedisAddress]:
    """A server that asks for a password."""
    await redis_client.config_set("requirepass", "secret")
    yield redis_address
    await redis_client.config_set("requirepass", "")


async def refused(
    command: tuple[str, ...], database: DatabaseAddress, redis: RedisAddress, **settings: str
) -> tuple[int | None, str]:
    """The exit code of a process and what it says."""
    ours = {
        "AUTH_MODE": "open",
        "SERVER_PORT": str(free_port()),
        "DATABASE_HOST": database.host,
        "DATABASE_PORT": str(database.port),
        "DATABASE_USER": database.user,
        "DATABASE_PASSWORD": database.password,
        "DATABASE_DATABASE": database.database,
        "REDIS_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command),
        cwd=CODE,
        env=os.environ | {f"PAYMENTS_{name}": value for name, value in ours.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with in_time(_PATIENCE_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said.decode()


@pytest.mark.parametrize("command", _PROCESSES, ids=lambda command: command[0])
@pytest.mark.parametrize("wrong", ["DATABASE_DATABASE", "DATABASE_USER"])
async def test_a_database_that_does_not_know_us_ends_the_process(
    database: DatabaseAddress, redis_address: RedisAddress, command: tuple[str, ...], wrong: str
) -> None:
    """Its own words say which of user, password and database is wrong."""
    code, said = await refused(command, database, redis_address, **{wrong: "nobody"})
    assert code == 2
    assert "Postgres refuses us: " in said
    assert '"nobody"' in said
    assert "Traceback" not in said


async def test_a_database_without_the_tls_we_require_ends_the_process(
    database: DatabaseAddress, redis_address: RedisAddress
) -> None:
    """To go on without would show the network what was to be kept from it."""
    tls = {"DATABASE_SSLMODE": "require"}
    code, said = await refused(("topics.relay", "--sink", "redis"), database, redis_address, **tls)
    assert code == 2
    assert "Postgres refuses us: the server does not speak TLS" in said


@pytest.mark.parametrize(
    "command", [("api",), ("agents", "charge"), ("topics.relay", "--sink", "redis")], ids=str
)
async def test_a_redis_that_asks_for_a_password_ends_the_process(
    database: DatabaseAddress, locked_redis: RedisAddress, command: tuple[str, ...]
) -> None:
    """Away it is gone without; refusing us it would be so for ever, and nobody would notice."""
    code, said = await refused(command, database, locked_redis)
    assert code == 2
    assert "Redis refuses us: " in said
    assert "Traceback" not in said
