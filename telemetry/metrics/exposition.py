"""Serves a process's metrics and health over HTTP, apart from whatever else it does.

Prometheus text by default, OpenMetrics to a scraper that asks for it. The server
answers while the event loop turns, so an answer is itself a sign of life.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prometheus_client import CollectorRegistry

    from telemetry.metrics.declared import Metrics


@asynccontextmanager
async def serve(
    metrics: Metrics, host: str, port: int, is_ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Serve `/metrics`, `/health/live` and `/health/ready` while the context is open.

    Port 0 means off: nothing listens, as `PAYMENTS_OBSERVABILITY_METRICS_PORT=0` promises.
    A port that is taken is an OSError.
    """
    if port == 0:
        yield
        return
    runner = web.AppRunner(health_app(metrics, is_ready), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()


def health_app(metrics: Metrics, is_ready: Callable[[], bool]) -> web.Application:
    """The application `serve` runs. `/health` answers as `/health/live` does."""

    async def metrics_page(request: web.Request) -> web.Response:
        body, content_type = render(metrics.registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        if is_ready():
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "unavailable"}, status=503)

    app = web.Application()
    app.router.add_get("/metrics", metrics_page)
    app.router.add_get("/health", live)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    return app


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The registry's metrics as a page, and its Content-Type, for an `Accept` header's value."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
