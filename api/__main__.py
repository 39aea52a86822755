"""`python -m api`: the ingress, until SIGTERM or SIGINT.

Composes the application from the settings, waits for Postgres rather than fail without it,
and on a signal answers everybody who was let in, commits what they asked for and exits 0.
"""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api import app
from api.access.authentication import ApiKeys, Authenticator, Open
from api.access.rate_limits import Limit, RateLimiter
from api.handling.dependencies import Dependencies
from api.handling.readiness import Readiness
from api.handling.reads import reading
from api.handling.watch import PaymentWatch
from api.http.server import AddressError, Listen, is_loopback, serving
from api.idempotency.replay_cache import ReplayCache
from lag import LagExporter, LagTargets
from payments.progress import Policy
from process import event_loop
from process.settings import Settings, read_settings
from providers.registry import NAMES
from store import batched_redis
from store.batched_redis import BatchedRedis
from store.migrations import read_migrations
from store.pool import connect
from store.read.api_keys import ApiKey, api_key_by_id
from store.read.payments import settled_payments
from store.write.context import live
from store.write.group_commit import GroupCommitter, Limits
from telemetry.logging import configure as configure_logging
from telemetry.metrics import Metrics, serve
from telemetry.tracing import configure as configure_tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from opentelemetry.trace import Tracer

    from payments.payment import Payment

    Pool = asyncpg.Pool[asyncpg.Record]

log = structlog.get_logger()

# What a tenant with keys may do unless the settings say otherwise, in requests a second.
_DEFAULTS: Final = {"write": 1000.0, "read": 2000.0, "account": 200.0}
_PAUSE_SECONDS: Final = 1.0
_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def main() -> int:
    """Serve until told to stop; the exit code."""
    settings = read_settings()
    configure_logging(settings.observability.log_level, "api")
    if settings.auth.mode == "open" and not is_loopback(settings.server.host):
        sys.stderr.write(
            f"PAYMENTS_AUTH_MODE=open lets everyone in, and {settings.server.host} is not a "
            "loopback address: use keys, or listen on 127.0.0.1.\n"
        )
        return 2
    try:
        event_loop.run(_run(settings))
    except AddressError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tracing = configure_tracing("api", settings.observability.otlp_endpoint)
    process = IngressProcess(settings, Metrics(CollectorRegistry()), tracing.tracer, stop)
    try:
        await process.run()
    finally:
        await asyncio.to_thread(tracing.shutdown)
    log.info("stopped")


class IngressProcess:
    """What the ingress is made of, opened in the order of need and closed in the other."""

    def __init__(
        self, settings: Settings, metrics: Metrics, tracer: Tracer, stop: asyncio.Event
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tracer = tracer
        self._stop = stop
        self._is_ready = False

    async def run(self) -> None:
        """Until `stop` is set and everybody who was let in is answered. Raises AddressError."""
        shown = self._settings.observability
        async with (
            AsyncExitStack() as stack,
            serve(self._metrics, shown.metrics_host, shown.metrics_port, lambda: self._is_ready),
        ):
            limits = Limits()
            # Apart, so that no number of readers keeps a batch from its connection.
            reading = self._settings.database.pool_size - limits.in_flight
            writes = await self._pool(stack, "payments-api-commit", limits.in_flight)
            reads = await self._pool(stack, "payments-api-read", max(1, reading))
            if writes is None or reads is None:
                return
            policy = _policy(self._settings)
            committer = GroupCommitter(writes, live(policy), self._metrics, limits)
            deps = await self._dependencies(stack, reads, committer)
            await stack.enter_async_context(committer)
            await self._serve(deps)

    async def _pool(self, stack: AsyncExitStack, name: str, size: int) -> Pool | None:
        """A pool once Postgres answers; None when told to stop before that."""
        address = self._settings.database.address()
        while not self._stop.is_set():
            try:
                pool = await connect(address, application_name=name, size=size)
            except _AWAY as error:
                log.warning("waiting for postgres", error=repr(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _PAUSE_SECONDS)
            else:
                return await stack.enter_async_context(pool)
        return None

    async def _dependencies(
        self, stack: AsyncExitStack, reads: Pool, committer: GroupCommitter
    ) -> Dependencies:
        settings, metrics = self._settings, self._metrics
        redis = await stack.enter_async_context(_redis(settings))
        batched = await stack.enter_async_context(BatchedRedis(redis).running())
        targets = LagTargets(
            bootstrap_servers=settings.kafka.bootstrap_servers,
            redis_url=f"redis://{settings.redis.host}:{settings.redis.port}",
            database=settings.database.address(),
        )
        lag = await stack.enter_async_context(LagExporter(targets, metrics).running())
        watch = PaymentWatch(partial(_settled, reads))
        readiness = Readiness(reads, redis, read_migrations())
        return Dependencies(
            pool=reads,
            committer=committer,
            authenticator=_authenticator(settings, reads),
            rate_limiter=RateLimiter(batched, _limits(settings), metrics),
            replay_cache=ReplayCache(batched, metrics),
            watch=await stack.enter_async_context(watch.running()),
            readiness=await stack.enter_async_context(readiness.running()),
            streams=lambda: lag.report,
            metrics=metrics,
            tracer=self._tracer,
            now=lambda: datetime.now(UTC),
            providers=NAMES,
            new_request_id=_request_ids(),
            read_timeout_seconds=settings.server.read_timeout_seconds,
        )

    async def _serve(self, deps: Dependencies) -> None:
        server = self._settings.server
        listen = Listen(
            host=server.host,
            port=server.port,
            read_timeout_seconds=server.read_timeout_seconds,
            write_timeout_seconds=server.write_timeout_seconds,
            shutdown_timeout_seconds=server.shutdown_timeout_seconds,
        )
        async with serving(app.build(deps), listen) as address:
            # What was made by now stays: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            self._is_ready = True
            log.info("ready", address=address, auth=self._settings.auth.mode)
            await self._stop.wait()
            self._is_ready = False
            deps.readiness.drain()
            deps.watch.release()
            log.info("draining")


async def _settled(pool: Pool, payment_ids: Iterable[UUID]) -> list[Payment]:
    async with pool.acquire() as connection:
        return await settled_payments(connection, payment_ids)


def _authenticator(settings: Settings, pool: Pool) -> Authenticator:
    if settings.auth.mode == "open":
        return Open()

    async def find(key_id: str) -> ApiKey | None:
        async with reading(pool) as connection:
            return await api_key_by_id(connection, key_id)

    return ApiKeys(find, lambda: datetime.now(UTC), time.monotonic)


def _limits(settings: Settings) -> dict[str, Limit]:
    asked = settings.rate_limit
    configured = {
        "write": asked.writes_per_second,
        "read": asked.reads_per_second,
        "account": asked.payments_per_account_per_second,
    }
    limits = {}
    for name, per_second in configured.items():
        default = 0.0 if settings.auth.mode == "open" else _DEFAULTS[name]
        rate = default if per_second is None else per_second
        if rate:
            limits[name] = Limit(rate, max(1, round(rate * asked.burst_seconds)))
    return limits


def _request_ids() -> Callable[[], str]:
    """Ids as long as a UUID, at a tenth of its price: they tell requests apart, no more."""
    bits = random.Random(random.SystemRandom().getrandbits(128)).getrandbits  # noqa: S311 - no secret
    return lambda: f"{bits(128):032x}"


def _policy(settings: Settings) -> Policy:
    payment = settings.payment
    return Policy(
        max_retries=payment.max_retries,
        retry_delay_s=payment.retry_delay_seconds,
        lease_s=payment.lease_seconds,
        authorization_ttl_s=payment.authorization_ttl_seconds,
    )


def _redis(settings: Settings) -> Redis:
    return Redis(
        host=settings.redis.host,
        port=settings.redis.port,
        socket_timeout=batched_redis.TIMEOUT_SECONDS,
        socket_connect_timeout=batched_redis.TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


if __name__ == "__main__":
    raise SystemExit(main())
