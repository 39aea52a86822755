"""`python -m agents STAGE`: one stage, or `all` of those that do not listen.

Composes it from the settings, waits for Postgres and Kafka rather than fail without
them, and on SIGTERM or SIGINT stops taking, finishes what is in flight within the
shutdown timeout and exits 0. Exits 1 when Faust crashed, for whoever supervises it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from agents import notifications
from agents.consumer import app as faust_app
from agents.consumer.dead_letter_limiter import DeadLetterLimiter
from agents.consumer.stage import Handler, Stage
from agents.dead_letters import DeadLetters
from agents.durably import patiently
from agents.fleet import run_all
from agents.provider_work.calls import ProviderCalls, Tools
from agents.provider_work.claims import ClaimHandler
from agents.provider_work.locks import Locks
from agents.provider_work.provider_stage import ProviderStage
from agents.schedule import Schedule
from payments.progress import Policy
from process import event_loop
from process.lifecycle import leave, leave_within
from process.settings import Settings, read_settings
from providers.protected import Limits as ProviderLimits
from providers.registry import SECTIONS, gateways, notification_sources
from store.pool import connect
from store.write.context import live
from store.write.group_commit import GroupCommitter
from store.write.group_commit import Limits as CommitLimits
from telemetry.logging import configure as configure_logging
from telemetry.metrics import Metrics, serve
from telemetry.tracing import Tracing
from telemetry.tracing import configure as configure_tracing
from topics.names import Does, by_command, create_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from payments.events import WorkType
    from providers.gateway import Gateway
    from topics.names import WorkStage

log = structlog.get_logger()

# A lock is worth little: a Redis that does not answer at once is gone without.
_REDIS_TIMEOUT_S: Final = 0.25
# For closing connections and for the last spans, once the time to drain is over.
_CLEANUP_S: Final = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    stages = by_command()
    parser.add_argument("stage", choices=(*stages, "all"))
    parser.add_argument(
        "--member",
        help="this worker's name in its group, if it has one of its own for ever: restarted, or"
        " killed and started again, it has its partitions back at once, and nobody takes them"
        " for ten seconds. Without a name it leaves its group when it stops, and after a kill its"
        " partitions move after ten seconds.",
    )
    parsed = parser.parse_args(arguments)
    settings = read_settings(SECTIONS)
    if parsed.stage == "all":
        return asyncio.run(run_all(settings.observability.metrics_port))
    stage = stages[parsed.stage]
    configure_logging(settings.observability.log_level, f"agents-{stage.name}")
    return event_loop.run(_run(stage, parsed.member, settings))


async def _run(stage: WorkStage, member: str | None, settings: Settings) -> NoReturn:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    endpoint = settings.observability.otlp_endpoint
    process = StageProcess(
        stage=stage,
        member=member,
        settings=settings,
        metrics=Metrics(CollectorRegistry()),
        tracing=configure_tracing(f"agents-{stage.name}", endpoint),
        stopping=stopping,
    )
    body = asyncio.ensure_future(process.run())
    signalled = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({body, signalled}, return_when=asyncio.FIRST_COMPLETED)
    timeout_s = settings.server.shutdown_timeout_seconds if process.ready else 0
    leave_within(timeout_s + _CLEANUP_S)
    await asyncio.wait({body}, timeout=timeout_s)
    for task in (body, signalled):
        task.cancel()
    await asyncio.gather(body, signalled, return_exceptions=True)
    process.tracing.shutdown()
    if body.cancelled() or body.exception() is None:
        log.info("stopped", in_time=not body.cancelled())
        leave(0)
    log.error("crashed", exc_info=body.exception())
    leave(1)


@dataclass(slots=True)
class StageProcess:
    """What one stage is made of; `ready` once it takes work."""

    stage: WorkStage
    member: str | None
    settings: Settings
    metrics: Metrics
    tracing: Tracing
    stopping: asyncio.Event
    ready: bool = False
    is_paused: Callable[[], bool] = lambda: False

    async def run(self) -> None:
        """Until `stopping` is set and all is recorded."""
        async with AsyncExitStack() as stack:
            shown = self.settings.observability
            await stack.enter_async_context(
                serve(self.metrics, shown.metrics_host, shown.metrics_port, self._is_healthy)
            )
            pool = await stack.enter_async_context(await self._pool())
            policy = _policy(self.settings)
            committer = await stack.enter_async_context(
                GroupCommitter(
                    pool, live(policy), self.metrics, CommitLimits(pace_s=self.stage.pace_s)
                )
            )
            match self.stage.does:
                case Does.SCHEDULE:
                    await self._schedule(pool, committer)
                case Does.NOTIFICATIONS:
                    await self._receive(committer)
                case Does.DEAD_LETTERS:
                    await self._stream(DeadLetters(committer, self.metrics), committer)
                case understands:
                    await self._work(understands, committer)

    async def _pool(self) -> asyncpg.Pool[asyncpg.Record]:
        database = self.settings.database
        name = f"payments-agents-{self.stage.name}"
        return await patiently(
            "Postgres",
            lambda: connect(database.address(), application_name=name, size=database.pool_size),
            (OSError, asyncpg.PostgresError, asyncpg.InterfaceError),
        )

    async def _schedule(
        self, pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter
    ) -> None:
        retention_s = self.settings.outbox.retention_seconds
        schedule = Schedule(pool, committer, self.metrics, lambda: datetime.now(UTC), retention_s)
        self._is_ready()
        await schedule.run(self.stopping)

    async def _receive(self, committer: GroupCommitter) -> None:
        """The webhooks of every provider whose secret is set."""
        settings, listen = self.settings, self.settings.webhooks
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(self._gateways())
            sources = await stack.enter_async_context(notification_sources(settings.providers))
            receiver = notifications.Receiver(committer, opened, self.metrics)
            app = notifications.application(receiver, sources)
            port = await stack.enter_async_context(
                notifications.serving(app, listen.host, listen.port)
            )
            log.info("listening", port=port, providers=[each.name for each in sources])
            self._is_ready()
            await self.stopping.wait()

    def _gateways(self) -> AbstractAsyncContextManager[Mapping[str, Gateway]]:
        at_once = self.settings.payment.provider_concurrency
        limits = ProviderLimits(concurrent_calls_max=at_once)
        return gateways(self.settings.providers, limits, self.metrics, self.tracing.tracer)

    async def _work(self, understands: WorkType, committer: GroupCommitter) -> None:
        """A stream of claims, and the provider calls they start."""
        worker = self.member or f"{socket.gethostname()}-{os.getpid()}"
        work = ProviderStage(self.stage.name, understands, worker)
        settings, tracer = self.settings, self.tracing.tracer
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(_redis(settings))
            unkept = Locks(redis, settings.payment.lock_ttl_seconds, self.metrics)
            locks = await stack.enter_async_context(unkept.kept())
            opened = await stack.enter_async_context(self._gateways())
            tools = Tools(committer, opened, locks, self.metrics, tracer)
            at_once = settings.payment.provider_concurrency
            calls = await stack.enter_async_context(ProviderCalls(work.stage, tools, at_once))
            await self._stream(ClaimHandler(work, committer, calls, self.metrics), committer)

    async def _stream(self, handler: Handler, committer: GroupCommitter) -> None:
        """Take from Kafka until told to stop; raises when Faust crashed."""
        assert self.stage.topic is not None, f"no topic brings work to {self.stage.name}"
        servers = self.settings.kafka.bootstrap_servers
        await patiently("Kafka", lambda: create_missing(servers), (OSError, KafkaError))
        bound = self.settings.dead_letters
        limiter = DeadLetterLimiter(bound.ratio_max, bound.window)
        stage = Stage(handler, committer, self.metrics, limiter)
        self.is_paused = lambda: stage.is_paused
        name, topic = self.stage.name, self.stage.topic.name
        member = f"{name}-{self.member}" if self.member else None
        subscription = faust_app.Subscription(name, self.stage.group, topic, servers, member)
        app = faust_app.build(subscription, stage.consume)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(stage.run(), name=f"stage-{name}")
            await app.start()
            self._is_ready()
            told = await app.wait(self.stopping.wait())
            stage.stop()
            await working
            await app.stop()
        if told.stopped:
            raise RuntimeError(f"Faust stopped: {app.crash_reason!r}") from app.crash_reason

    def _is_healthy(self) -> bool:
        return self.ready and not self.is_paused()

    def _is_ready(self) -> None:
        self.ready = True
        log.info("ready", stage=self.stage.name, member=self.member)


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
        socket_timeout=_REDIS_TIMEOUT_S,
        socket_connect_timeout=_REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


if __name__ == "__main__":
    raise SystemExit(main())
