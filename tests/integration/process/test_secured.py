"""Our processes on servers that let nobody in without TLS: by settings alone they work there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import Authority
from tests.support.fixtures.processes import Platform
from tests.support.tls_front import context_of, tls_front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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


async def test_stages_and_a_relay_come_in_by_a_url_from_a_file(
    database: DatabaseAddress,
    redis_address: RedisAddress,
    authority: Authority,
    postgres_port: int,
    tmp_path: Path,
) -> None:
    """Both drivers are told the same by it, and by nothing of psql's."""
    url = tmp_path / "url"
    url.write_text(
        f"postgresql://{database.user}:{database.password}@localhost:{postgres_port}/"
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
