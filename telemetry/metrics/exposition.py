"""Serves a process's metrics and health over HTTP, apart from whatever else it does.

Prometheus text by default, OpenMetrics to a scraper that asks for it. The server
answers while the event loop turns, so an answer is itself a sign of life.
"""

from __future__ import annotations

import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from telemetry.health import OK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prometheus_client import CollectorRegistry

    from telemetry.health import AskHealth, HealthResponse
    from telemetry.metrics.declared import Metrics

# A scraper that does not read its page is not waited for.
_SHUTDOWN_SECONDS: Final = 0.2
_PORTS_END: Final = 65_536


class CannotListen(Exception):
    """Nobody can listen there; the message is a sentence without its full stop."""


@asynccontextmanager
async def serve(
    metrics: Metrics, host: str, port: int, readiness: AskHealth, ports: int = 1
) -> AsyncIterator[int]:
    """Serve `/metrics`, `/health/live` and `/health/ready` while the context is open; the port.

    It is the first that is free of so many `ports` from `port` on. Port 0 means off: nothing
    listens, as `PAYMENTS_OBSERVABILITY_METRICS_PORT=0` promises. Raises CannotListen.
    """
    if port == 0:
        yield 0
        return
    runner = web.AppRunner(
        health_app(metrics, readiness), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        yield await _listen(runner, host, range(port, min(port + ports, _PORTS_END)))
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, ports: range) -> int:
    """On the first port that nobody else has."""
    for port in ports:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotListen(
                    f"the metrics cannot be served on {host}:{port}: {error.strerror or error}"
                ) from error
        else:
            return port
    *_, last = ports
    taken = f"port {last} is" if len(ports) == 1 else f"ports {ports[0]} to {last} are"
    raise CannotListen(f"the metrics cannot be served on {host}: {taken} taken")


def health_app(metrics: Metrics, readiness: AskHealth) -> web.Application:
    """The application `serve` runs. `/health` answers as `/health/live` does."""

    async def metrics_page(request: web.Request) -> web.Response:
        body, content_type = render(metrics.registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def live(_: web.Request) -> web.Response:
        return _said(OK)

    async def ready(_: web.Request) -> web.Response:
        return _said(await readiness())

    app = web.Application()
    app.router.add_get("/metrics", metrics_page)
    app.router.add_get("/health", live)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    return app


def _said(health: HealthResponse) -> web.Response:
    return web.json_response(text=health.model_dump_json(), status=health.http_status)


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The registry's metrics as a page, and its Content-Type, for an `Accept` header's value."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
