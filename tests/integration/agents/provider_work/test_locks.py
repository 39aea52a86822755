"""The Redis lock on a real Valkey: one owner, who alone lets go and goes on; none needed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from agents.provider_work.locks import Locks
from local.program import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from uuid import UUID

    from telemetry.metrics import Metrics


# Longer than any test.
_LONG_S: Final = 30.0


def name_of(subject_id: UUID) -> str:
    return f"payments:lock:{subject_id}"


def degraded(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("payments_redis_degraded_total", {"use": "lock"})


async def test_two_workers_do_not_hold_one_payment(redis_client: Redis, metrics: Metrics) -> None:
    """Who comes second is told so, and may have it when the first has let go."""
    payment_id = uuid4()
    async with (
        Locks(redis_client, _LONG_S, metrics).kept() as mine,
        Locks(redis_client, _LONG_S, metrics).kept() as theirs,
    ):
        async with mine.held(payment_id) as first, theirs.held(payment_id) as second:
            assert (first, second) == (True, False)

        async def is_free() -> bool:
            async with theirs.held(payment_id) as third:
                return third

        await eventually(is_free)


async def test_a_second_call_in_the_same_worker_is_kept_off_too(
    redis_client: Redis, metrics: Metrics
) -> None:
    """A worker whose lease ran out under a slow call does not start another one beside it."""
    payment_id = uuid4()
    async with (
        Locks(redis_client, _LONG_S, metrics).kept() as mine,
        mine.held(payment_id) as first,
        mine.held(payment_id) as second,
    ):
        assert (first, second) == (True, False)


async def test_who_comes_first_shows_a_lock_only_when_it_takes_long(
    redis_client: Redis, metrics: Metrics
) -> None:
    """Short, it costs nothing; long, who comes second is kept off until it has ended."""
    short, long = uuid4(), uuid4()
    async with (
        Locks(redis_client, _LONG_S, metrics).kept() as brisk,
        Locks(redis_client, _LONG_S, metrics, long_s=0.0).kept() as slow,
    ):
        with brisk.shown(short), slow.shown(long):
            await eventually(lambda: is_there(redis_client, long))
            async with brisk.held(long) as second:
                assert not second
            assert await is_absent(redis_client, short)
        await eventually(lambda: is_absent(redis_client, long))


async def test_a_lock_that_was_lost_is_not_released_for_its_new_owner(
    redis_client: Redis, metrics: Metrics
) -> None:
    """Compared on the server: what expired and was taken by another stays the other's."""
    lost, sign = uuid4(), uuid4()
    async with Locks(redis_client, _LONG_S, metrics).kept() as mine:
        async with mine.held(lost), mine.held(sign):
            await redis_client.set(name_of(lost), "another worker")
        # Released together with the lost one, so that its absence says that both were tried.
        await eventually(lambda: is_absent(redis_client, sign))
    assert await redis_client.get(name_of(lost)) == b"another worker"


async def is_there(redis: Redis, subject_id: UUID) -> bool:
    return bool(await redis.exists(name_of(subject_id)))


async def is_absent(redis: Redis, subject_id: UUID) -> bool:
    return not await redis.exists(name_of(subject_id))


async def test_a_lock_lasts_as_long_as_its_call(redis_client: Redis, metrics: Metrics) -> None:
    """It is extended while it is held, and only by its owner."""
    mine_id, lost_id = uuid4(), uuid4()
    async with (
        Locks(redis_client, 0.6, metrics).kept() as locks,
        locks.held(mine_id),
        locks.held(lost_id),
    ):
        await redis_client.set(name_of(lost_id), "another worker", px=600)
        # Gone is the one that nobody extends: by then the other has outlived its first term.
        await eventually(lambda: is_absent(redis_client, lost_id))
        assert await redis_client.pttl(name_of(mine_id)) > 0


async def test_a_dead_worker_s_lock_expires(redis_client: Redis, metrics: Metrics) -> None:
    """Nobody extends it any more: after its term the payment is free."""
    payment_id = uuid4()
    async with AsyncExitStack() as never_let_go:
        async with Locks(redis_client, 0.5, metrics).kept() as locks:
            await never_let_go.enter_async_context(locks.held(payment_id))
        assert not await is_absent(redis_client, payment_id)
        await eventually(lambda: is_absent(redis_client, payment_id))


async def test_without_redis_everybody_goes_on_and_it_is_counted(metrics: Metrics) -> None:
    """A server that is away keeps nobody from a payment, and a metric says so."""
    nowhere = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    async with nowhere, Locks(nowhere, _LONG_S, metrics).kept() as locks:
        async with locks.held(uuid4()) as first, locks.held(uuid4()) as second:
            assert (first, second) == (True, True)
        assert degraded(metrics) == 2
