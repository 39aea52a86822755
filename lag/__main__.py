"""`python -m lag`: measures how far behind everything is, until SIGTERM or SIGINT.

It serves the lag as metrics and needs nobody for it: whatever is away is named as not known, and
the rest is measured. As many as one likes may run; each serves all of it.
"""

from __future__ import annotations

import process.starting  # noqa: F401 - its effect: it can be told to stop while the rest is imported

# isort: split
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import structlog
from prometheus_client import CollectorRegistry

from lag import LagExporter, LagTargets, slots_read, tables_read
from process import lifecycle
from process.lifecycle import CannotBegin
from process.metrics_port import shown
from process.settings import read_settings
from telemetry.health import told
from telemetry.logging import configure
from telemetry.metrics import Metrics

if TYPE_CHECKING:
    from process.lifecycle import Lifecycle
    from process.settings import Settings

log = structlog.get_logger()


def main() -> NoReturn:
    """Measure until told to stop; 2 where nobody could read it."""
    settings = read_settings()
    configure(settings.observability.log_level, "lag")
    lifecycle.run(
        "lag",
        partial(_run, settings),
        shutdown_timeout_s=settings.server.shutdown_timeout_seconds,
    )


async def _run(settings: Settings, life: Lifecycle) -> None:
    if not settings.observability.metrics_port:
        raise CannotBegin(
            "it has nowhere to show what it measures: set PAYMENTS_OBSERVABILITY_METRICS_PORT, or "
            "see it once with `payments lag`"
        )
    targets = LagTargets(
        kafka=settings.kafka.address(),
        redis=settings.redis.address(),
        database=settings.database.address(),
        slots=slots_read(settings.outbox.source, settings.outbox.names),
        tables=tables_read(settings.outbox.source, settings.outbox.names),
        others=settings.lag.others,
    )
    metrics = Metrics(CollectorRegistry())
    exporter = LagExporter(targets, metrics)
    await shown(life, metrics, settings.observability, told(lambda: exporter.is_measured))
    async with exporter.running():
        life.takes_work = True
        log.info("measuring", others=settings.lag.others)
        await life.stopping.wait()


if __name__ == "__main__":
    main()
