"""An ingress in open mode, and one with keys."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from process.addresses import RedisAddress
from tests.support.api.ingress import Client, Ingress, Options, running
from tests.support.api.launch import launch

__all__ = ["client", "guarded", "ingress", "launch"]


@pytest.fixture
async def ingress(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> AsyncIterator[Ingress]:
    """An ingress without keys or limits."""
    async with running(pool, redis_address, Options()) as opened:
        yield opened


@pytest.fixture
def client(ingress: Ingress) -> Client:
    """A client of the ingress without keys."""
    return ingress.client


@pytest.fixture
async def guarded(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> AsyncIterator[Ingress]:
    """An ingress that asks for keys."""
    async with running(pool, redis_address, Options(keys=True)) as opened:
        yield opened
