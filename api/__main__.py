"""`python -m api`: the ingress, until SIGTERM or SIGINT.

Composes the application from the settings, waits for Postgres rather than fail without it,
and when it is to stop answers everybody who was let in and commits what they asked for.
"""

from __future__ import annotations

import process.starting  # noqa: F401 - its effect: it can be told to stop while the rest is imported

# isort: split
import asyncio
import gc
import sys
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import structlog
from prometheus_client import CollectorRegistry

from api import app
from api.access.rate_limits import Limit
from api.feed.feed import FeedLimits
from api.handling.dependencies import Dependencies
from api.handling.opening import Resources, opened
from api.http.observer import OBSERVER
from api.routes import ROUTES, health
from lag import LagExporter, LagTargets, slots_read, tables_read
from payments.progress import Policy
from process import lifecycle
from process.listening import AddressError, is_loopback
from process.metrics_port import shown
from process.serving import CONNECTIONS_MAX, Listen, serving
from process.settings import Settings, read_settings
from process.waiting import naming, until_reached
from providers.registry import NAMES, REFERENCES, RULES
from store import pool, redis
from store.write.context import live
from store.write.group_commit import GroupCommitter, Limits
from telemetry.health import UNAVAILABLE
from telemetry.logging import configure as configure_logging
from telemetry.metrics import Metrics
from telemetry.tracing import configure as configure_tracing
from topics.contracts.webhook_urls import Reach
from topics.contracts.webhooks import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg
    from opentelemetry.trace import Tracer

    from api.contract.route import Route
    from api.handling.call import Call
    from process.lifecycle import Lifecycle
    from store.readiness import Readiness
    from telemetry.health import HealthResponse

    Pool = asyncpg.Pool[asyncpg.Record]

log = structlog.get_logger()

# A client waits for each batch: where one takes longer it is large anyway.
_GATHER_S: Final = 0.01
# What waits behind more than is done by then is refused: see `Turns` for the time before that.
_WAIT_S: Final = 1.0
# What a tenant with keys may do unless the settings say otherwise, in requests a second.
_DEFAULTS: Final = {"write": 1000.0, "read": 2000.0, "account": 200.0, "address": 0.0}


def main() -> NoReturn:
    """Serve until told to stop; 2 where the settings forbid to serve."""
    settings = read_settings()
    configure_logging(settings.observability.log_level, "api")
    if settings.auth.mode == "open" and not is_loopback(settings.server.host):
        sys.stderr.write(
            f"PAYMENTS_AUTH_MODE=open lets everyone in, and {settings.server.host} is not a "
            "loopback address: use keys, or listen on 127.0.0.1.\n"
        )
        raise SystemExit(2)
    lifecycle.run(
        "api",
        partial(_run, settings),
        shutdown_timeout_s=settings.server.shutdown_timeout_seconds,
        sentences=(AddressError,),
    )


async def _run(settings: Settings, life: Lifecycle) -> None:
    tracing = configure_tracing("api", settings.observability.otlp_endpoint)
    life.parts.push_async_callback(asyncio.to_thread, tracing.shutdown)
    await IngressProcess(settings, Metrics(CollectorRegistry()), tracing.tracer, life).run()


class IngressProcess:
    """What the ingress is made of, opened in the order of need and closed in the other."""

    def __init__(
        self, settings: Settings, metrics: Metrics, tracer: Tracer, life: Lifecycle
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tracer = tracer
        self._life = life
        # Once it serves.
        self._readiness: Readiness | None = None
        metrics.idempotency.begin()

    async def run(self) -> None:
        """Until told to stop and everybody who was let in is answered. Raises AddressError."""
        stack, where = self._life.parts, self._settings.observability
        await shown(self._life, self._metrics, where, self._health)
        limits = Limits(gather_s=_GATHER_S, wait_s=_WAIT_S)
        # Apart, so that no use of them waits for another: no number of readers keeps a batch, a
        # key or readiness from its connection. Sized by the one setting, but for one of each.
        size = self._settings.database.pool_size
        writing = max(1, min(limits.connections, size - 4))
        writes = await self._pool("commit", writing, pool.BATCH_LOCK_TIMEOUT)
        policy = Policy(**self._settings.payment.policy())
        context = live(policy, REFERENCES, RULES)
        committer = GroupCommitter(writes, context, self._metrics, limits)
        deps = await self._dependencies(max(1, size - writing - 3), committer)
        await stack.enter_async_context(committer)
        await self._serve(deps)

    async def _pool(self, use: str, size: int, lock_timeout: str = pool.LOCK_TIMEOUT) -> Pool:
        """A pool once Postgres answers. Raises CannotRun."""
        address, name = self._settings.database.pooled_address(), f"payments-api-{use}"
        opened = await until_reached(
            "Postgres",
            lambda: pool.connect(
                address, application_name=name, size=size, lock_timeout=lock_timeout
            ),
            away=pool.AWAY,
            refused=pool.REFUSED,
        )
        self._life.parts.push_async_callback(pool.close, opened)
        return opened

    async def _dependencies(self, reading: int, committer: GroupCommitter) -> Dependencies:
        settings, stack = self._settings, self._life.parts
        cache = await stack.enter_async_context(redis.client(settings.redis.address()))
        with naming("Redis", redis.REFUSED):
            await redis.refuse_wrong_credentials(cache)
        targets = LagTargets(
            kafka=settings.kafka.address(),
            redis=settings.redis.address(),
            database=settings.database.address(),
            slots=slots_read(settings.outbox.source, settings.outbox.names),
            tables=tables_read(settings.outbox.source, settings.outbox.names),
            others=settings.lag.others,
        )
        # For whoever asks over HTTP; as metrics it is served by a process of its own.
        lag = await stack.enter_async_context(LagExporter(targets).running())
        resources = Resources(
            reads=await self._pool("read", reading),
            lookups=await self._pool("lookup", 1),
            upkeep=await self._pool("upkeep", 1),
            outbox=await self._pool("feed", 1),
            committer=committer,
            redis=cache,
            keys=settings.auth.mode == "keys",
            limits=_limits(settings),
            streams=lambda: lag.report,
            trail=lambda: lag.trail,
            metrics=self._metrics,
            tracer=self._tracer,
            providers=NAMES,
            read_timeout_seconds=settings.server.read_timeout_seconds,
            proxies=settings.server.proxies(),
            keyring=Keyring.of(settings.webhook_deliveries.key.get_secret_value()),
            reach=Reach.of(settings.webhook_deliveries.networks),
            feed=FeedLimits(listeners_max=self._life.sockets(settings.feed.listeners_max)),
        )
        return await opened(resources, stack)

    async def _serve(self, deps: Dependencies) -> None:
        server, life = self._settings.server, self._life
        delay_s = life.notice_s(server.shutdown_delay_seconds)
        listen = Listen(
            host=server.host,
            port=server.port,
            read_timeout_seconds=server.read_timeout_seconds,
            write_timeout_seconds=server.write_timeout_seconds,
            idle_timeout_seconds=server.idle_timeout_seconds,
            drain_seconds=life.drain_s - delay_s,
            connections_max=life.sockets(CONNECTIONS_MAX),
            tls=server.tls(),
        )
        application = app.build(deps, self._routes())
        async with serving(application, listen, application[OBSERVER]) as door:
            # What was made by now stays: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            self._readiness, life.takes_work = deps.readiness, True
            log.info("ready", address=door.address, auth=self._settings.auth.mode)
            await life.stopping.wait()
            deps.readiness.drain()
            deps.watch.release()
            deps.feed.release()
            door.last_answers()
            log.info("draining", listens_for_s=delay_s)
            # Not ready any more, but still there: who spreads load is to notice first.
            await asyncio.sleep(delay_s)

    async def _health(self) -> HealthResponse:
        """As on the port of payments, where nobody is let in before it serves."""
        return await self._readiness.ask() if self._readiness else UNAVAILABLE

    def _routes(self) -> Iterable[Route[Call]]:
        """All but the metrics where those have a port of their own."""
        has_own_port = self._settings.observability.metrics_port
        return [each for each in ROUTES if not has_own_port or each is not health.METRICS]


def _limits(settings: Settings) -> dict[str, Limit]:
    asked = settings.rate_limit
    configured = {
        "write": asked.writes_per_second,
        "read": asked.reads_per_second,
        "account": asked.payments_per_account_per_second,
        "address": asked.requests_per_address_per_second,
    }
    limits = {}
    for name, per_second in configured.items():
        default = 0.0 if settings.auth.mode == "open" else _DEFAULTS[name]
        rate = default if per_second is None else per_second
        if rate:
            limits[name] = Limit(rate, max(1, round(rate * asked.burst_seconds)))
    return limits


if __name__ == "__main__":
    main()
