"""`python -m providers.simulator`: read settings, serve until SIGTERM or SIGINT, exit 0."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time

import structlog
import uvloop

from cli.settings import Settings, read_settings
from providers.simulator.journal import JournalError
from providers.simulator.server import SimulatorConfig, build, serve

log = structlog.get_logger()


async def run(config: SimulatorConfig) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    simulator = build(config, time.time, random.Random(os.urandom(32)))
    if simulator.recovery.torn_bytes:
        log.warning("journal was torn", torn_bytes=simulator.recovery.torn_bytes)
    async with serve(simulator, config.host, config.port) as port:
        log.info("ready", port=port, journal=str(config.journal), entries=simulator.recovery.lines)
        await stop.wait()


def main() -> int:
    """0 after a drained stop, 1 with one sentence when it cannot serve."""
    settings: Settings = read_settings()
    simulator = settings.simulator
    config = SimulatorConfig(
        host=simulator.host,
        port=simulator.port,
        journal=simulator.journal,
        latency_s=getattr(simulator, "latency_seconds", 0.0),
    )
    try:
        uvloop.run(run(config))
    except (OSError, JournalError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
