"""Relays over every sink: a test that asks for `relays` runs over Kafka and over Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.home import Home
from store.migrations import migrate_up, read_migrations
from store.pool import connect_single
from tests.support.local.pair import running
from tests.support.topics.destinations import (
    Destination,
    KafkaDestination,
    RedisDestination,
)
from tests.support.topics.outbox import Outbox
from tests.support.topics.relays import Relays

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress
    from tests.support.local.pair import Running


@pytest.fixture
def outbox(pool: asyncpg.Pool[asyncpg.Record]) -> Outbox:
    return Outbox(pool)


@pytest.fixture
def kafka(fresh_kafka: str) -> KafkaDestination:
    return KafkaDestination(fresh_kafka)


@pytest.fixture
def redis_streams(redis_address: RedisAddress) -> RedisDestination:
    return RedisDestination(redis_address)


@pytest.fixture(params=["kafka", "redis_streams"])
def destination(request: pytest.FixtureRequest) -> Destination:
    found: Destination = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def relays(database: DatabaseAddress, destination: Destination) -> Relays:
    return Relays(database, destination)


@pytest.fixture
async def migrated_pair(tmp_path: Path) -> AsyncIterator[Running]:
    """Two databases with our schema, of which one stands by."""
    home = Home(tmp_path / "home")
    home.prepare()
    async with running(home) as both:
        connection = await connect_single(both.pair.address, application_name="payments migrate")
        try:
            await migrate_up(connection, read_migrations())
        finally:
            await connection.close()
        yield both
