"""The HTTP server: both vendors on one port, told apart by path, beside the admin API.

Composition happens in `build`; `serve` runs the listener, the journal's writer and the webhook
deliveries as one group, so that none outlives another: a journal that cannot be written ends
the process instead of answering without testimony.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from simulator.admin import Admin
from simulator.entries import decode
from simulator.exchange import Exchange
from simulator.faults import FaultScript
from simulator.identifiers import Identifiers
from simulator.journal import Journal, Recovery
from simulator.journal_report import JournalReport
from simulator.paypal.records import Listener
from simulator.paypal.vendor import PayPal
from simulator.stripe.records import Endpoint
from simulator.stripe.vendor import Stripe
from simulator.vendor import Vendor
from simulator.webhooks import Webhooks
from telemetry.metrics import Metrics, render

# Both vendors refuse bodies far smaller than this; it only bounds what one request can hold.
_BODY_BYTES_MAX: Final = 1 << 20
# Requests in flight at SIGTERM have this long; hanging ones are let go at once.
_DRAIN_S: Final = 10.0
_PAYPAL_PATHS: Final = (
    "/v2/{rest:.*}",
    "/v1/oauth2/{rest:.*}",
    "/v1/notifications/{rest:.*}",
    "/checkoutnow",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A receiver of both vendors' webhooks that need not subscribe by API.

    A vendor whose secret or id is empty tells it nothing.
    """

    url: str
    stripe_secret: str
    stripe_events: tuple[str, ...]
    paypal_webhook_id: str
    paypal_events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """Where to listen, where to write, how slow to be (seconds a vendor needs for its work)."""

    host: str
    port: int
    journal: Path
    latency_s: float = 0.0
    subscription: Subscription | None = None


@dataclass(frozen=True, slots=True)
class Simulator:
    """Everything one simulator consists of."""

    exchange: Exchange
    stripe: Stripe
    paypal: PayPal
    recovery: Recovery
    metrics: Metrics

    def application(self) -> web.Application:
        """The routes: our own first, then PayPal's paths; the rest of /v1 is Stripe's."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.add_routes(Admin(self.exchange, self.recovery, (self.stripe, self.paypal)).routes())
        for path in ("/health", "/health/live", "/health/ready"):
            app.router.add_get(path, _alive)
        app.router.add_get("/metrics", self._metrics_page)
        for path in _PAYPAL_PATHS:
            app.router.add_route("*", path, self._handler(self.paypal))
        app.router.add_route("*", "/v1/{rest:.*}", self._handler(self.stripe))
        return app

    async def _metrics_page(self, request: web.Request) -> web.Response:
        body, content_type = render(self.metrics.registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _handler(self, vendor: Vendor) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.exchange.handle(vendor, request)

        return handle


def build(
    config: SimulatorConfig, metrics: Metrics, now: Callable[[], float], entropy: Random
) -> Simulator:
    """Open the journal and replay it. Raises JournalError. `now` gives Unix seconds."""
    ids = Identifiers(entropy, now)
    stripe, paypal = Stripe(ids), PayPal(ids)
    vendors: dict[str, Vendor] = {"stripe": stripe, "paypal": paypal}
    journal = Journal(config.journal)
    exchange = Exchange(
        journal=journal,
        faults=FaultScript(entropy),
        testimony=JournalReport(),
        webhooks=Webhooks(),
        metrics=metrics.simulator,
        now=now,
        stopping=asyncio.Event(),
        latency_s=config.latency_s,
    )
    decoders = {**stripe.decoders, **paypal.decoders}
    recovery = journal.recover(lambda line: exchange.replay(vendors, decode(line, decoders)))
    if config.subscription is not None:
        _subscribe(config.subscription, stripe, paypal)
    return Simulator(exchange, stripe, paypal, recovery, metrics)


def _subscribe(told: Subscription, stripe: Stripe, paypal: PayPal) -> None:
    """Put it on the books as if it had been there first; the journal knows nothing of it."""
    if told.stripe_secret:
        endpoint = Endpoint(
            id="we_settings",
            created=0.0,
            url=f"{told.url}/webhooks/stripe",
            secret=told.stripe_secret,
            enabled_events=told.stripe_events,
        )
        stripe.books.put(endpoint)
    if told.paypal_webhook_id:
        listener = Listener(
            id=told.paypal_webhook_id,
            url=f"{told.url}/webhooks/paypal",
            event_types=told.paypal_events,
        )
        paypal.books.put(listener)


@contextlib.asynccontextmanager
async def serve(simulator: Simulator, host: str, port: int) -> AsyncIterator[int]:
    """Listen; yields the port. Raises OSError when the address is taken."""
    exchange = simulator.exchange
    runner = web.AppRunner(simulator.application(), access_log=None, shutdown_timeout=_DRAIN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, reuse_address=True)
        await site.start()
        bound = runner.addresses[0][1]
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(exchange.journal.run()),
                tasks.create_task(exchange.webhooks.run()),
            ]
            try:
                yield bound
            finally:
                exchange.stopping.set()
                await runner.cleanup()
                for task in background:
                    task.cancel()
    finally:
        await runner.cleanup()
        exchange.journal.close()


async def _alive(_request: web.Request) -> web.Response:
    """A listener that answers has replayed its journal, so live and ready are the same."""
    return web.json_response({"status": "ok"})
