"""Relays over every sink: a test that asks for `relays` runs over Kafka and over Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.topics.destinations import (
    Destination,
    KafkaDestination,
    RedisDestination,
)
from tests.support.topics.outbox import Outbox
from tests.support.topics.relays import Relays

if TYPE_CHECKING:
    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress


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
