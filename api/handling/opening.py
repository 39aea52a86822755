"""Opens what the ingress works with, from what its process has: the one way to put it together."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from api.access.authentication import ApiKeys, Authenticator, Open
from api.access.key_lookup import KeyLookup
from api.access.rate_limits import RateLimiter
from api.feed.feed import Feed, FeedLimits
from api.handling.dependencies import Dependencies
from api.handling.reads import Reads, reading
from api.handling.watch import PaymentWatch
from api.idempotency.known_database import KnownDatabase
from api.idempotency.replay_cache import ReplayCache
from process.clients import NOBODY, Proxies
from store.batched_redis import BatchedRedis
from store.migrations import read_migrations
from store.read.api_keys import ApiKey, api_keys_by_id
from store.read.payments import settled_payments
from store.readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import AsyncExitStack
    from uuid import UUID

    import asyncpg
    from opentelemetry.trace import Tracer
    from redis.asyncio import Redis

    from api.access.rate_limits import Limit
    from api.handling.dependencies import Committer
    from lag import StreamsReport
    from payments.payment import Payment
    from telemetry.metrics import Metrics
    from topics.contracts.webhook_urls import Reach
    from topics.contracts.webhooks import Keyring

# One that comes just after a question went out waits for two.
_LOOKUP_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a process hands its ingress.

    Connections by use, so that none of these waits for another, and no commit for any of them:
    `reads` are the clients', with `lookups` keys and the database's identity are read, with
    `upkeep` readiness asks, and with `outbox` the feed of events. With `keys` a request needs one;
    without, everybody is the one tenant there is. `streams` is the lag as it was measured last,
    `trail` as it was before.
    """

    reads: asyncpg.Pool[asyncpg.Record]
    lookups: asyncpg.Pool[asyncpg.Record]
    upkeep: asyncpg.Pool[asyncpg.Record]
    outbox: asyncpg.Pool[asyncpg.Record]
    committer: Committer
    redis: Redis
    keys: bool
    limits: Mapping[str, Limit]
    streams: Callable[[], StreamsReport]
    trail: Callable[[], Mapping[tuple[str, str], Sequence[float | None]]]
    metrics: Metrics
    tracer: Tracer
    providers: Sequence[str]
    read_timeout_seconds: float
    keyring: Keyring
    reach: Reach
    feed: FeedLimits
    proxies: Proxies = NOBODY


async def opened(given: Resources, stack: AsyncExitStack) -> Dependencies:
    """All of it, until the stack is closed."""
    batched = await stack.enter_async_context(BatchedRedis(given.redis).running())
    database = await stack.enter_async_context(KnownDatabase(given.lookups).running())
    watch = PaymentWatch(_settled_in(given.reads))
    reads = Reads(given.reads)
    feed = Feed(given.outbox, reads, given.metrics.feed, given.feed)
    readiness = Readiness(given.upkeep, read_migrations(), given.redis)
    return Dependencies(
        reads=reads,
        committer=given.committer,
        authenticator=await _keys(given.lookups, stack) if given.keys else Open(),
        rate_limiter=RateLimiter(batched, given.limits, given.metrics),
        replay_cache=ReplayCache(batched, database, given.metrics),
        watch=await stack.enter_async_context(watch.running()),
        feed=await stack.enter_async_context(feed.running()),
        readiness=await stack.enter_async_context(readiness.running()),
        streams=given.streams,
        trail=given.trail,
        metrics=given.metrics,
        tracer=given.tracer,
        now=lambda: datetime.now(UTC),
        providers=given.providers,
        new_request_id=_request_ids(),
        keyring=given.keyring,
        reach=given.reach,
        read_timeout_seconds=given.read_timeout_seconds,
        proxies=given.proxies,
    )


def _settled_in(
    pool: asyncpg.Pool[asyncpg.Record],
) -> Callable[[Iterable[UUID]], Awaitable[list[Payment]]]:
    async def settled(payment_ids: Iterable[UUID]) -> list[Payment]:
        async with pool.acquire() as connection:
            return await settled_payments(connection, payment_ids)

    return settled


async def _keys(pool: asyncpg.Pool[asyncpg.Record], stack: AsyncExitStack) -> Authenticator:
    async def read(key_ids: Sequence[str]) -> Mapping[str, ApiKey]:
        async with reading(pool, _LOOKUP_S) as connection:
            return await api_keys_by_id(connection, key_ids)

    lookup = await stack.enter_async_context(KeyLookup(read).running())
    return ApiKeys(lookup.find, lambda: datetime.now(UTC), time.monotonic)


def _request_ids() -> Callable[[], str]:
    """Ids as long as a UUID, at a tenth of its price: they tell requests apart, no more."""
    bits = random.Random(random.SystemRandom().getrandbits(128)).getrandbits  # noqa: S311 - no secret
    return lambda: f"{bits(128):032x}"
