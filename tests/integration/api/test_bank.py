"""The HTTP API keeps the accounts of random customers as a bank in plain Python does.

One ingress and one database serve all examples: each has tenants of its own, so that an
example costs no start. What was left behind is verified at the end.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING, Final

import pytest
import structlog
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from store.pool import long_reading
from telemetry import logging as telemetry_logging
from tests.support.api.customers import POLICY, Customers, Floor
from tests.support.api.ingress import Options, running
from verify.database import read_baseline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg
    from redis.asyncio import Redis

    from process.addresses import DatabaseAddress, RedisAddress

# Every state and every refusal there is; a run that misses one has shown too little.
_MET: Final = frozenset(
    {
        *("pending", "processing", "authorized", "completed", "failed", "cancelled", "unknown"),
        *("review", "partially_refunded", "refunded"),
        *("insufficient_funds", "currency_mismatch", "same_account"),
        # Currencies that a provider lacks are met in test_provider_rules.py, each by its name.
        "amount_not_supported",
        *("payment_not_cancellable", "payment_not_capturable", "capture_exceeds_authorization"),
        *("payment_not_refundable", "refund_exceeds_payment"),
        *("account_not_found", "payment_not_found", "replayed", "idempotency_key_reused"),
        *("late answer that counts", "late answer that does not"),
    }
)
# 3,000 steps, each with all accounts read back, are about twenty seconds of one core.
_SETTINGS: Final = settings(
    max_examples=75,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
async def floor(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress, redis_client: Redis
) -> AsyncIterator[Floor]:
    """An ingress with keys, and a way to it for whoever is on another thread."""
    telemetry_logging.configure("error", "tests")  # a line a request would bury a failure's steps
    async with running(pool, redis_address, Options(keys=True, policy=POLICY)) as ingress:
        yield Floor(ingress, redis_client, asyncio.get_running_loop())
    structlog.reset_defaults()


async def test_the_api_keeps_accounts_as_a_bank_does(
    floor: Floor, database: DatabaseAddress
) -> None:
    """After each of thousands of steps, every balance, hold and status is the bank's."""
    await asyncio.to_thread(_run, floor, _SETTINGS)
    assert _MET - set(floor.met) == set()
    await _verified(database)


@pytest.mark.long
async def test_the_api_keeps_accounts_as_a_bank_does_for_long(
    floor: Floor, database: DatabaseAddress
) -> None:
    """Five times as many steps, other ones each time; a failure prints its steps and its seed."""
    longer = settings(_SETTINGS, max_examples=250, stateful_step_count=80, derandomize=False)
    chosen = random.SystemRandom().getrandbits(32)
    sys.stdout.write(f"seed {chosen}\n")
    await asyncio.to_thread(_run, floor, longer, chosen)
    await _verified(database)


def _run(floor: Floor, how: settings, chosen: int | None = None) -> None:
    class Here(Customers):
        def __init__(self) -> None:
            super().__init__(floor)

    run_state_machine_as_test(Here if chosen is None else seed(chosen)(Here), settings=how)


async def _verified(database: DatabaseAddress) -> None:
    """The database satisfies every invariant it can show alone."""
    async with long_reading(database, application_name="payments-verify") as connection:
        found = await read_baseline(connection, outbox_retention_s=86_400)
    assert {each.invariant: each.violations for each in found.results if each.violations} == {}
