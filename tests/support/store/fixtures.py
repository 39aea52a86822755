"""The books a test writes and seals."""

import asyncpg
import pytest

from telemetry.metrics import Metrics
from tests.support.store.books import Books


@pytest.fixture
def books(pool: "asyncpg.Pool[asyncpg.Record]", metrics: Metrics) -> Books:
    return Books(pool, metrics)
