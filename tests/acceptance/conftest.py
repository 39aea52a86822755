"""One installation for the whole suite: it is started once, and every test is its customer."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.client import Client, client_of
from tests.acceptance.consumers import Topics
from tests.acceptance.installation import Installation
from tests.acceptance.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Started, and ended after the last test; on Apache Kafka when that is asked for."""
    directory = tmp_path_factory.mktemp("installation")
    if os.environ.get("PAYMENTS_TEST_KAFKA") == "apache":
        from tests.fixtures.apache_kafka import apache_kafka  # noqa: PLC0415 - needs a JDK

        async with apache_kafka(directory / "apache") as bootstrap:
            brokers = {"PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": bootstrap}
            async with _started(Installation.in_folder(directory, **brokers)) as started:
                yield started
        return
    async with _started(Installation.in_folder(directory)) as started:
        yield started


@asynccontextmanager
async def _started(installation: Installation) -> AsyncIterator[Installation]:
    try:
        await installation.start()
        yield installation
    finally:
        installation.end()


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[Client]:
    async with client_of(installation.url) as opened:
        yield opened


@pytest.fixture
async def simulator(installation: Installation) -> AsyncIterator[Simulator]:
    """The providers, with no fault armed after the test."""
    async with aiohttp.ClientSession(installation.record.addresses.simulator) as http:
        opened = Simulator(http)
        yield opened
        await opened.heal()


@pytest.fixture
def topics(installation: Installation) -> Topics:
    addresses = installation.record.addresses
    return Topics(addresses.kafka, addresses.redis)
