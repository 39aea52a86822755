"""`python -m simulator`: read settings, serve until SIGTERM or SIGINT, exit 0."""

from __future__ import annotations

import process.starting  # noqa: F401 - its effect: it can be told to stop while the rest is imported

# isort: split
import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import structlog
from prometheus_client import CollectorRegistry

from process import lifecycle
from process.settings import Settings, read_settings
from providers.registry import NAMES, PROVIDERS, SECTIONS
from simulator.journal import JournalError
from simulator.server import SimulatorConfig, build, serve
from simulator.spill import SpillError
from simulator.vendor import Subscription
from telemetry import logging
from telemetry.metrics import Metrics

if TYPE_CHECKING:
    from process.lifecycle import Lifecycle

log = structlog.get_logger()


async def run(config: SimulatorConfig, life: Lifecycle) -> None:
    """Serve until told to stop. Raises OSError, JournalError and SpillError."""
    entropy = random.Random(os.urandom(32))  # noqa: S311 -- ids must differ, not be secret
    simulator = build(config, Metrics(CollectorRegistry()), time.time, entropy)
    if simulator.recovery.torn_bytes:
        log.warning("journal was torn", torn_bytes=simulator.recovery.torn_bytes)
    async with serve(simulator, config.host, config.port, life.drain_s) as port:
        life.takes_work = True
        log.info("ready", port=port, journal=str(config.journal), entries=simulator.recovery.lines)
        await life.stopping.wait()


def main() -> NoReturn:
    """Serve until told to stop; 1 with one sentence when it cannot."""
    settings = read_settings(SECTIONS)
    logging.configure(settings.observability.log_level, "simulator")
    config = SimulatorConfig(
        host=settings.simulator.host,
        port=settings.simulator.port,
        journal=settings.simulator.journal,
        latency_s=settings.simulator.latency_seconds,
        vendors=NAMES,
        subscriptions=_subscriptions(settings),
        keys=_keys(settings),
    )
    lifecycle.run(
        "simulator",
        partial(run, config),
        shutdown_timeout_s=settings.server.shutdown_timeout_seconds,
        sentences=(OSError, JournalError, SpillError),
    )


def _subscriptions(settings: Settings) -> dict[str, Subscription]:
    """Our receiver is told by every vendor of which it can tell its webhooks from others'."""
    url = settings.simulator.webhooks_url.rstrip("/")
    keys = {name: each.webhook_key for name, each in settings.providers.items()}
    return {
        each.name: Subscription(f"{url}/webhooks/{each.name}", keys[each.name], each.event_types)
        for each in PROVIDERS
        if url and keys[each.name]
    }


def _keys(settings: Settings) -> dict[str, set[str]]:
    """The keys that we are configured to ask with, or those everybody knows, and further ones."""
    keys: dict[str, set[str]] = {}
    for each in PROVIDERS:
        configured = settings.providers[each.name].credentials
        keys[each.name] = {configured or each.config.simulated_credentials()}
    for name, key in settings.simulator.further_keys:
        keys.setdefault(name, set()).add(key)
    return {name: given - {""} for name, given in keys.items()}


if __name__ == "__main__":
    main()
