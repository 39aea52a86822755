"""`python -m agents STAGE`: one stage, or `all` of those that do not listen.

Composes it from the settings, waits for Postgres and Kafka rather than fail without
them, and when it is to stop finishes what is in flight. When Faust crashes it exits 1, for
whoever supervises it.
"""

from __future__ import annotations

import process.starting  # noqa: F401 - its effect: it can be told to stop while the rest is imported

# isort: split
import argparse
import asyncio
import os
import random
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic, time_ns
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry

from agents import notifications
from agents.consumer.dead_letter_limiter import DeadLetterLimiter
from agents.consumer.stage import Handler, Stage
from agents.dead_letters import DeadLetters
from agents.deliver.dispatcher import Dispatcher
from agents.deliver.pace import IN_FLIGHT_MAX, Pace
from agents.deliver.recording import Recording
from agents.deliver.sending import sender
from agents.fleet import Fleet
from agents.provider_states import ProviderStates
from agents.schedule import Schedule
from payments.progress import Policy
from process import lifecycle
from process.lifecycle import CannotRun
from process.listening import AddressError
from process.metrics_port import shown
from process.serving import CONNECTIONS_MAX, Listen, serving
from process.settings import Settings, read_settings
from process.waiting import naming, until_reached
from providers.registry import NAMES, SECTIONS, gateways, notification_sources
from store import pool
from store.ids import IdSource
from store.migrations import read_migrations
from store.readiness import Readiness
from store.write.context import live
from store.write.group_commit import GroupCommitter
from store.write.group_commit import Limits as CommitLimits
from telemetry.health import OK, UNAVAILABLE, HealthResponse
from telemetry.logging import configure as configure_logging
from telemetry.metrics import Metrics
from telemetry.tracing import Tracing
from telemetry.tracing import configure as configure_tracing
from topics import kafka
from topics.contracts.webhook_urls import Reach
from topics.contracts.webhooks import Keyring
from topics.kafka_security import REFUSED
from topics.names import Does, by_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    import asyncpg

    from agents.consumer.stage import Known
    from agents.consumer.transport import PassesOver
    from payments.events import WorkType
    from process.lifecycle import Lifecycle
    from providers.protected import Protected
    from topics.names import WorkStage

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one stage, or all of them."""
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
    shutdown_timeout_s = settings.server.shutdown_timeout_seconds
    if parsed.stage == "all":
        name, body = "agents-all", partial(_run_all, settings)
        # Each has as long itself, and is then ended by itself.
        shutdown_timeout_s += lifecycle.CLEANUP_S
    else:
        stage = stages[parsed.stage]
        name, body = f"agents-{stage.name}", partial(_run, stage, parsed.member, settings)
    configure_logging(settings.observability.log_level, name)
    lifecycle.run(name, body, shutdown_timeout_s=shutdown_timeout_s, sentences=(AddressError,))


async def _run_all(settings: Settings, life: Lifecycle) -> None:
    where = settings.observability
    fleet = Fleet(where.metrics_port, where.metrics_ports)
    life.takes_work, life.at_once = True, fleet.kill
    codes = await fleet.run(life.stopping)
    # One that was still importing knew no better way to end.
    has_failed = any(code not in {0, -signal.SIGTERM} for code in codes.values())
    if has_failed or not life.stopping.is_set():
        raise CannotRun(f"not every stage ran until told to stop, and drained: {codes}")


async def _run(stage: WorkStage, member: str | None, settings: Settings, life: Lifecycle) -> None:
    endpoint = settings.observability.otlp_endpoint
    tracing = configure_tracing(f"agents-{stage.name}", endpoint)
    life.parts.push_async_callback(asyncio.to_thread, tracing.shutdown)
    metrics = Metrics(CollectorRegistry())
    await StageProcess(stage, member, settings, metrics, tracing, life).run()


@dataclass(slots=True)
class StageProcess:
    """What one stage is made of."""

    stage: WorkStage
    member: str | None
    settings: Settings
    metrics: Metrics
    tracing: Tracing
    life: Lifecycle
    is_paused: Callable[[], bool] = lambda: False
    # Of one that requests are led to.
    readiness: Readiness | None = None

    async def run(self) -> None:
        """Until told to stop and all is recorded."""
        parts = self.life.parts
        await shown(self.life, self.metrics, self.settings.observability, self._health)
        context = live(Policy(**self.settings.payment.policy()))
        limits = CommitLimits(pace_s=self.stage.pace_s)
        # Apart, so that no batch waits for what is read, told or kept in order beside it.
        size = self.settings.database.pool_size
        keeps_house = self.stage.does is Does.SCHEDULE
        writing = max(1, min(limits.connections, size - 1 - keeps_house))
        writes = await self._pool("commit", writing, pool.BATCH_LOCK_TIMEOUT)
        reading = max(1, size - writing - keeps_house - self.stage.listens)
        opened = await self._pool("upkeep", reading, pool.LOCK_TIMEOUT)
        committer = await parts.enter_async_context(
            GroupCommitter(writes, context, self.metrics, limits)
        )
        match self.stage.does:
            case Does.SCHEDULE:
                await self._schedule(opened, committer)
            case Does.NOTIFICATIONS:
                await self._receive(opened, committer)
            case Does.DELIVERIES:
                await self._deliver(opened, committer)
            case Does.DEAD_LETTERS:
                await self._stream(DeadLetters(committer, self.metrics), committer)
            case understands:
                await self._work(understands, opened, committer)

    async def _pool(self, use: str, size: int, lock_timeout: str) -> asyncpg.Pool[asyncpg.Record]:
        """A pool once Postgres answers. Raises CannotRun."""
        address, name = (
            self.settings.database.pooled_address(),
            f"payments-agents-{self.stage.name}-{use}",
        )
        opened = await until_reached(
            "Postgres",
            lambda: pool.connect(
                address, application_name=name, size=size, lock_timeout=lock_timeout
            ),
            away=pool.AWAY,
            refused=pool.REFUSED,
        )
        self.life.parts.push_async_callback(pool.close, opened)
        return opened

    async def _schedule(
        self, opened: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter
    ) -> None:
        retention_s = self.settings.outbox.retention_seconds
        # It may move millions of rows, for as long as that takes.
        house = await self._pool("housekeeping", 1, pool.LOCK_TIMEOUT)
        schedule = Schedule(
            opened,
            house,
            committer,
            self.metrics,
            lambda: datetime.now(UTC),
            retention_s,
            patience_s=Policy().patience_s,
            providers=NAMES,
        )
        self._is_ready()
        await schedule.run(self.life.stopping)

    async def _receive(
        self, store: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter
    ) -> None:
        """The webhooks of every provider whose secret is set."""
        asked, server, life = self.settings.webhooks, self.settings.server, self.life
        # On a connection of its own, so that no load of ours is taken for an outage.
        readiness = Readiness(
            await self._pool("readiness", 1, pool.LOCK_TIMEOUT), read_migrations()
        )
        self.readiness = await life.parts.enter_async_context(readiness.running())
        opened = await life.parts.enter_async_context(self._gateways(store))
        sources = await life.parts.enter_async_context(
            notification_sources(self.settings.providers, self._calls_at_once)
        )
        receiver = notifications.Receiver(committer, opened, self.metrics, asked.proxies())
        app = notifications.application(receiver, sources)
        delay_s = life.notice_s(server.shutdown_delay_seconds)
        listen = Listen(
            host=asked.host,
            port=asked.port,
            read_timeout_seconds=server.read_timeout_seconds,
            write_timeout_seconds=server.write_timeout_seconds,
            idle_timeout_seconds=server.idle_timeout_seconds,
            drain_seconds=life.drain_s - delay_s,
            connections_max=life.sockets(CONNECTIONS_MAX, kinds=self._kinds),
            tls=asked.tls(),
        )
        async with serving(app, listen, receiver) as door:
            log.info("listening", address=door.address, providers=[each.name for each in sources])
            self._is_ready()
            await life.stopping.wait()
            door.last_answers()
            # Not ready any more, but still there: who spreads load is to notice first.
            await asyncio.sleep(delay_s)

    async def _deliver(
        self, store: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter
    ) -> None:
        """A stream of events to keep, and beside it what sends them."""
        asked, at_once = self.settings.webhook_deliveries, self.life.sockets(IN_FLIGHT_MAX)
        posting = sender(Reach.of(asked.networks), at_once, _now)
        dispatcher = Dispatcher(
            pool=store,
            committer=committer,
            sender=await self.life.parts.enter_async_context(posting),
            keyring=Keyring.of(asked.key.get_secret_value()),
            metrics=self.metrics,
            tracer=self.tracing.tracer,
            clock=_now,
            chance=random.Random().random,  # noqa: S311 - jitter is no secret
            lease_id=uuid4(),
            disable_after_s=asked.disable_after_seconds,
            pace=Pace(monotonic, at_once),
        )
        recording = Recording(store, self.metrics, _now, dispatcher.wake)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(dispatcher.run(self.life.stopping), name="dispatcher")
            await self._stream(recording, committer, passes_over=recording.passes_over)

    @asynccontextmanager
    async def _gateways(
        self, store: asyncpg.Pool[asyncpg.Record]
    ) -> AsyncIterator[Mapping[str, Protected]]:
        """Every provider's, and how each is to this worker, told to whoever asks."""
        from providers.protected import Limits as ProviderLimits  # noqa: PLC0415 - as in `_work`

        limits = ProviderLimits(concurrent_calls_max=self._calls_at_once)
        tracer, metrics = self.tracing.tracer, self.metrics
        async with gateways(self.settings.providers, limits, metrics, tracer) as opened:
            healths = [each.health for each in opened.values()]
            async with ProviderStates(store, self.stage.name, self._worker, healths).told():
                yield opened

    @property
    def _worker(self) -> str:
        """What it is called in what it records."""
        return self.member or f"{socket.gethostname()}-{os.getpid()}"

    @property
    def _calls_at_once(self) -> int:
        """To one provider: a call that finds no socket would cost an attempt."""
        asked = self.settings.payment.provider_concurrency
        return self.life.sockets(asked, kinds=self._kinds)

    @property
    def _kinds(self) -> int:
        """Of connections: to each provider; of a receiver its own, and as many again to verify."""
        providers = len(self.settings.providers)
        return 2 * providers + 1 if self.stage.does is Does.NOTIFICATIONS else providers

    async def _work(
        self,
        understands: WorkType,
        store: asyncpg.Pool[asyncpg.Record],
        committer: GroupCommitter,
    ) -> None:
        """A stream of claims, and the provider calls they start."""
        # Nobody else needs Redis's client, which is 8 MB.
        from agents.provider_work.calls import ProviderCalls, Tools  # noqa: PLC0415
        from agents.provider_work.claims import ClaimHandler  # noqa: PLC0415
        from agents.provider_work.locks import Locks  # noqa: PLC0415
        from agents.provider_work.provider_stage import ProviderStage  # noqa: PLC0415
        from store import redis  # noqa: PLC0415

        work = ProviderStage(
            self.stage.name, understands, self._worker, IdSource(time_ns, random.getrandbits)
        )
        settings, tracer, parts = self.settings, self.tracing.tracer, self.life.parts
        locker = await parts.enter_async_context(redis.client(settings.redis.address()))
        with naming("Redis", redis.REFUSED):
            await redis.refuse_wrong_credentials(locker)
        unkept = Locks(locker, settings.payment.lock_ttl_seconds, self.metrics)
        locks = await parts.enter_async_context(unkept.kept())
        opened = await parts.enter_async_context(self._gateways(store))
        tools = Tools(committer, opened, locks, self.metrics, tracer)
        calls = await parts.enter_async_context(ProviderCalls(work.stage, tools))
        claims = ClaimHandler(work, committer, calls, self.metrics, store)
        await self._stream(claims, committer, claims.known)

    async def _stream(
        self,
        handler: Handler,
        committer: GroupCommitter,
        known: Known | None = None,
        passes_over: PassesOver | None = None,
    ) -> None:
        """Take from Kafka until told to stop; raises when Faust crashed."""
        # Faust is 8 MB and half a second of imports: for stages that are on a topic.
        from agents.consumer import app as faust_app  # noqa: PLC0415
        from agents.consumer import leaving, membership  # noqa: PLC0415

        assert self.stage.topic is not None, f"no topic brings work to {self.stage.name}"
        topic, address = self.stage.topic, self.settings.kafka.address()

        async def begin() -> None:
            await kafka.refuse_forbidden_reading(address, (topic,), self.stage.group)
            await kafka.create_missing(address, (topic,))

        await until_reached("Kafka", begin, away=kafka.AWAY, refused=REFUSED)
        bound = self.settings.dead_letters
        limiter = DeadLetterLimiter(bound.ratio_max, bound.window)
        stage = Stage(handler, committer, self.metrics, limiter, known=known)
        self.is_paused = lambda: stage.is_paused
        name = self.stage.name
        member = f"{name}-{self.member}" if self.member else None
        subscription = faust_app.Subscription(
            name, self.stage.group, topic.name, address, member, self.stage.gather_s, passes_over
        )
        app = faust_app.build(subscription, stage.consume)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(stage.run(), name=f"stage-{name}")
            watching = tasks.create_task(membership.watch(app, subscription, self.metrics.stage))
            try:
                await app.start()
                self._is_ready()
                told = await app.wait(self.life.stopping.wait())
                stage.stop()
                await working
                await leaving.commit(app)
            finally:
                watching.cancel()
                await leaving.leave(app, subscription)
        if told.stopped:
            raise RuntimeError(f"Faust stopped: {app.crash_reason!r}") from app.crash_reason

    async def _health(self) -> HealthResponse:
        """That it has begun and goes on; and, where requests are led to it, that it can write."""
        is_told = self.life.stopping.is_set()
        if is_told or not self.life.takes_work or self.is_paused():
            return UNAVAILABLE
        return await self.readiness.ask() if self.readiness else OK

    def _is_ready(self) -> None:
        self.life.takes_work = True
        log.info("ready", stage=self.stage.name, member=self.member)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
