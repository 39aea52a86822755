"""Provider calls of claimed work as a stage makes them, with gateways to the simulator."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
from opentelemetry.trace import NoOpTracer

from agents.provider_work.calls import ProviderCalls, Tools
from agents.provider_work.locks import Locks
from payments.commands import ClaimPayment, WakePayment
from payments.decision import Claimed
from providers.breaker import BreakerPolicy
from providers.protected import Limits
from providers.registry import gateways
from tests.support.providers.configs import all_configured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

    from payments.payment import Payment
    from providers.protected import Protected
    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.simulator import SimulatorProcess

# Long for a simulator that answers in milliseconds, on a machine that others use too.
TIMEOUT_S: Final = 1.5
BOUND: Final = 8
_LONG_S: Final = 30.0


@asynccontextmanager
async def calling(
    shop: Shop, metrics: Metrics, redis: Redis, opened: Mapping[str, Protected]
) -> AsyncIterator[ProviderCalls]:
    """The calls of one worker; leaving waits for them."""
    async with Locks(redis, _LONG_S, metrics).kept() as locks:
        tools = Tools(shop.committer, opened, locks, metrics, NoOpTracer())
        async with ProviderCalls("charge", tools) as calls:
            yield calls


@pytest.fixture
async def opened(
    simulator: SimulatorProcess, metrics: Metrics
) -> AsyncIterator[Mapping[str, Protected]]:
    """Gateways to the simulator that lose patience, and close their circuits, soon."""
    async with gateways(
        all_configured(simulator.url, TIMEOUT_S),
        Limits(concurrent_calls_max=BOUND, breaker=BreakerPolicy(open_s=TIMEOUT_S)),
        metrics,
        NoOpTracer(),
    ) as made:
        yield made


async def claimed(shop: Shop, payment: Payment, attempt: int = 1) -> Claimed:
    claim = await shop.did(ClaimPayment(payment.id, attempt, "tests"))
    assert isinstance(claim, Claimed), claim
    return claim


async def claimed_again(shop: Shop, payment: Payment, attempt: int) -> Claimed:
    """The next attempt, due at once."""
    await shop.pool.execute("UPDATE payments SET due_at = now() WHERE id = $1", payment.id)
    await shop.did(WakePayment(payment.id))
    return await claimed(shop, payment, attempt)


async def has_ended(shop: Shop, payment: Payment, number: int) -> bool:
    return any(
        found == number and outcome is not None
        for found, _, outcome in await shop.attempts(payment)
    )


def circuit(metrics: Metrics) -> float | None:
    labels = {"provider": "stripe", "operation": "charge"}
    return metrics.registry.get_sample_value("payments_provider_breaker_state", labels)
