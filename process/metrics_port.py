"""Where a process shows its metrics and its health: a port of its own, as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from process.lifecycle import CannotBegin
from telemetry.metrics.exposition import CannotListen, serve

if TYPE_CHECKING:
    from process.lifecycle import Lifecycle
    from process.settings import ObservabilitySettings
    from telemetry.health import AskHealth
    from telemetry.metrics import Metrics

log = structlog.get_logger()


async def shown(
    life: Lifecycle, metrics: Metrics, where: ObservabilitySettings, readiness: AskHealth
) -> None:
    """Serve them for as long as the process lives, if anywhere. Raises CannotBegin."""
    host, first, count = where.metrics_host, where.metrics_port, where.metrics_ports
    try:
        port = await life.parts.enter_async_context(serve(metrics, host, first, readiness, count))
    except CannotListen as error:
        raise CannotBegin(
            f"{error}; set PAYMENTS_OBSERVABILITY_METRICS_PORT to another, or "
            "PAYMENTS_OBSERVABILITY_METRICS_PORTS to how many from it on may be tried"
        ) from error
    if port:
        log.info("metrics", host=host, port=port)
