"""What may be claimed of a provider's work: the claim asks how the provider is before it claims."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agents.provider_work.claims import ClaimHandler
from agents.provider_work.provider_stage import ProviderStage
from payments.events import WorkType
from payments.outcome import Operation
from tests.support.agents.calls import (
    calling,
    circuit,
    claimed,
    claimed_again,
    has_ended,
)
from tests.support.agents.deliveries import TOPIC, headers_of_work, work
from tests.support.factories import NOWHERE, SOURCE
from tests.support.waiting import eventually
from topics.contracts.envelope import Message, from_kafka

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

    from providers.protected import Protected
    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop


@pytest.fixture
async def handler(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> AsyncIterator[ClaimHandler]:
    """The charge stage's, on a database of its own."""
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        stage = ProviderStage("charge", WorkType.CHARGE, "tests", uuid4)
        yield ClaimHandler(stage, idle_shop.committer, calls, metrics, idle_shop.pool)


async def test_while_a_circuit_is_open_there_is_room_for_one_trial_and_no_more(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """The claim asks: nothing is claimed but what may close it; other operations go on."""
    customer = await idle_shop.customer()
    payments = [await idle_shop.bought(customer) for _ in range(10)]
    trial = await idle_shop.bought(customer)
    idle_shop.provider.arm("reset_before", vendor="stripe", operation="charge")
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        for payment in payments:
            calls.start(await claimed(idle_shop, payment), SOURCE)
        await eventually(lambda: circuit(metrics) == 2)
        waiting = asyncio.ensure_future(calls.room("stripe", Operation.CHARGE))
        for operation in (Operation.CAPTURE, Operation.VOID, Operation.REFUND, None):
            assert await calls.room("stripe", operation) > 1
        assert await waiting == 1
        idle_shop.provider.arm("latency", vendor="stripe", milliseconds=200)
        calls.start(await claimed(idle_shop, trial), SOURCE)
        another = asyncio.ensure_future(calls.room("stripe", Operation.AUTHORIZE))
        await eventually(lambda: has_ended(idle_shop, trial, 1))
        # It has failed, and so there is room for one more only, and later.
        idle_shop.provider.clear()
        assert await another == 1
        calls.start(await claimed_again(idle_shop, trial, 2), SOURCE)
        await eventually(lambda: has_ended(idle_shop, trial, 2))
        assert await calls.room("stripe", Operation.CHARGE) > 1
    assert await idle_shop.status(trial) == "completed"


async def test_a_message_is_left_only_if_postgres_has_what_it_is_about(
    idle_shop: Shop, handler: ClaimHandler
) -> None:
    """Of work that is due somewhere; junk and what is about nobody is not, nor is it now."""
    payment = await idle_shop.bought(await idle_shop.customer())
    told = [
        message(work(payment.id)),
        message(work(NOWHERE)),
        message(b"{}"),
        message(work(payment.id), "refund.requested"),
    ]
    assert await handler.known(told) == [True, False, False, False]


async def test_while_postgres_does_not_say_nobody_knows(
    idle_shop: Shop, handler: ClaimHandler
) -> None:
    """It is no answer that a message may be forgotten by."""
    async with idle_shop.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE refunds")
        assert await handler.known([message(work(NOWHERE))]) is None


@pytest.mark.parametrize(
    ("body", "lane"),
    [
        (b'{"provider":"stripe","operation":"charge"}', "stripe/charge"),
        (b'{"provider":"stripe","operation":"authorize"}', "stripe/charge"),
        (b'{"provider":"paypal","operation":"capture"}', "paypal/capture"),
        (b'{"provider":"paypal","operation":"dance"}', "paypal"),
        (b'{"provider":"stripe"}', "stripe"),
        (b'{"provider":"adyen","operation":"charge"}', ""),
        (b"\xff", ""),
    ],
)
async def test_a_message_stands_in_the_lane_of_its_circuit(
    handler: ClaimHandler, body: bytes, lane: str
) -> None:
    """By a glance at its bytes; what names nobody of ours makes no lane of its own."""
    assert handler.lane(message(body)) == lane
    assert await handler.room(lane) > 0


def message(body: bytes, kind: str = "charge.requested") -> Message:
    """As the stage reads it."""
    read = from_kafka(TOPIC, b"key", body, headers_of_work(kind).items())
    assert isinstance(read, Message)
    return read
