"""Our processes on servers that let nobody in without TLS: by settings alone they work there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import Authority
from tests.support.fixtures.processes import Platform
from tests.support.tls_front import context_of, tls_front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from process.addresses import DatabaseAddress, RedisAddress


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "papers")


@pytest.fixture
async def postgres_port(database: DatabaseAddress, authority: Authority) -> AsyncIterator[int]:
    """Where Postgres is behind TLS."""
    context = context_of(authority.issue("server", "localhost"))
    async with tls_front((database.host, database.port), context, asked_first=True) as port:
        yield port


@pytest.fixture
async def redis_url(
    redis_address: RedisAddress, redis_client: Redis, authority: Authority
) -> AsyncIterator[str]:
    """A user's way to Redis behind TLS."""
    acl = redis_client.execute_command
    await acl("ACL", "SETUSER", "us", "on", ">hunter2", "~*", "&*", "+@all")  # type: ignore[no-untyped-call]  # left bare
    await redis_client.config_set("requirepass", "other")
    context = context_of(authority.issue("cache", "localhost"))
    async with tls_front((redis_address.host, redis_address.port), context) as port:
        yield f"rediss://us:hunter2@localhost:{port}/0"
    await redis_client.config_set("requirepass", "")
    await acl("ACL", "DELUSER", "us")  # type: ignore[no-untyped-call]  # left bare


@dataclass(frozen=True)
class Ways:
    """In, through TLS."""

    postgres_port: int
    redis_url: str


@pytest.fixture
def ways(postgres_port: int, redis_url: str) -> Ways:
    return Ways(postgres_port, redis_url)


async def test_stages_and_a_relay_come_in_by_urls(
    database: DatabaseAddress,
    redis_address: RedisAddress,
    authority: Authority,
    ways: Ways,
    tmp_path: Path,
) -> None:
    """Every driver is told what it needs by the URLs, and nothing by what is psql's."""
    url = tmp_path / "url"
    url.write_text(
        f"postgresql://{database.user}:{database.password}@localhost:{ways.postgres_port}/"
        f"{database.database}?sslmode=verify-full&sslrootcert={authority.authority}\n"
    )
    parts = ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")
    platform = Platform(
        database=database,
        kafka="127.0.0.1:1",
        redis=redis_address,
        simulator_url="http://127.0.0.1:1",
        directory=tmp_path,
        settings={
            **{f"PAYMENTS_DATABASE_{part}": "" for part in parts},
            "PAYMENTS_DATABASE_URL_FILE": str(url),
            "PAYMENTS_REDIS_HOST": "",
            "PAYMENTS_REDIS_PORT": "",
            "PAYMENTS_REDIS_URL": ways.redis_url,
            "PAYMENTS_REDIS_SSL_CA_FILE": str(authority.authority),
            "PGSSLMODE": "disable",
            "PGSERVICE": "nobody",
        },
    )
    try:
        processes = (platform.schedule(), platform.relay("redis"))
        for each in processes:
            each.launch()
        for each in processes:
            await each.until_ready()
    finally:
        platform.end()
