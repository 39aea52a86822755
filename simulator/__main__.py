"""`python -m simulator`: read settings, serve until SIGTERM or SIGINT, exit 0."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time

import structlog
from prometheus_client import CollectorRegistry

from process import event_loop
from process.settings import Settings, read_settings
from providers.registry import NAMES, PROVIDERS, SECTIONS
from simulator.journal import JournalError
from simulator.server import SimulatorConfig, build, serve
from simulator.vendor import Subscription
from telemetry import logging
from telemetry.metrics import Metrics

log = structlog.get_logger()


async def run(config: SimulatorConfig) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    entropy = random.Random(os.urandom(32))  # noqa: S311 -- ids must differ, not be secret
    simulator = build(config, Metrics(CollectorRegistry()), time.time, entropy)
    if simulator.recovery.torn_bytes:
        log.warning("journal was torn", torn_bytes=simulator.recovery.torn_bytes)
    async with serve(simulator, config.host, config.port) as port:
        log.info("ready", port=port, journal=str(config.journal), entries=simulator.recovery.lines)
        await stop.wait()
        log.info("stopping")


def main() -> int:
    """0 after a drained stop, 1 with one sentence when it cannot serve."""
    settings = read_settings(SECTIONS)
    logging.configure(settings.observability.log_level, "simulator")
    config = SimulatorConfig(
        host=settings.simulator.host,
        port=settings.simulator.port,
        journal=settings.simulator.journal,
        latency_s=settings.simulator.latency_seconds,
        vendors=NAMES,
        subscriptions=_subscriptions(settings),
    )
    status = 0
    try:
        event_loop.run(run(config))
    except* (OSError, JournalError) as failures:
        sys.stderr.write(f"simulator: {_first(failures)}\n")
        status = 1
    return status


def _subscriptions(settings: Settings) -> dict[str, Subscription]:
    """Our receiver is told by every vendor of which it can tell its webhooks from others'."""
    url = settings.simulator.webhooks_url.rstrip("/")
    keys = {name: each.webhook_key for name, each in settings.providers.items()}
    return {
        each.name: Subscription(f"{url}/webhooks/{each.name}", keys[each.name], each.event_types)
        for each in PROVIDERS
        if url and keys[each.name]
    }


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


if __name__ == "__main__":
    sys.exit(main())
