"""The HTTP server: both vendors on one port, told apart by path, beside the admin API.

Composition happens in `build`; `serve` runs the listener, the journal's writer and the webhook
deliveries as one group, so that none outlives another: a journal that cannot be written ends
the process instead of answering without testimony.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from providers.simulator.admin import Admin
from providers.simulator.entries import decode
from providers.simulator.exchange import Exchange
from providers.simulator.faults import FaultScript
from providers.simulator.identifiers import Identifiers
from providers.simulator.journal import Journal, Recovery
from providers.simulator.paypal.vendor import PayPal
from providers.simulator.stripe.vendor import Stripe
from providers.simulator.testimony import Testimony
from providers.simulator.webhooks import Webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from random import Random

    from providers.simulator.exchange import Vendor

log = structlog.get_logger()

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


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """Where to listen, where to write, how slow to be (seconds a vendor needs for its work)."""

    host: str
    port: int
    journal: Path
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulator:
    """Everything one simulator consists of."""

    exchange: Exchange
    stripe: Stripe
    paypal: PayPal
    recovery: Recovery

    def application(self) -> web.Application:
        """The routes: admin and health first, then PayPal's paths, the rest of /v1 is Stripe's."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.add_routes(Admin(self.exchange, self.recovery).routes())
        app.add_routes([web.get("/health/live", _alive), web.get("/health/ready", _alive)])
        for path in _PAYPAL_PATHS:
            app.router.add_route("*", path, self._handler(self.paypal))
        app.router.add_route("*", "/v1/{rest:.*}", self._handler(self.stripe))
        return app

    def _handler(
        self, vendor: Vendor
    ) -> Callable[[web.Request], asyncio.Future[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.exchange.handle(vendor, request)

        return handle  # type: ignore[return-value]  # a coroutine function is a handler


def build(config: SimulatorConfig, now: Callable[[], float], entropy: Random) -> Simulator:
    """Open the journal and replay it. Raises JournalError. `now` gives Unix seconds."""
    ids = Identifiers(entropy, now)
    stripe, paypal = Stripe(ids), PayPal(ids)
    vendors: dict[str, Vendor] = {"stripe": stripe, "paypal": paypal}
    journal = Journal(config.journal)
    exchange = Exchange(
        journal=journal,
        faults=FaultScript(entropy),
        testimony=Testimony(),
        webhooks=Webhooks({"stripe": stripe, "paypal": paypal}),
        now=now,
        stopping=asyncio.Event(),
        latency_s=config.latency_s,
    )
    decoders = {**stripe.decoders, **paypal.decoders}
    recovery = journal.recover(lambda line: exchange.replay(vendors, decode(line, decoders)))
    return Simulator(exchange, stripe, paypal, recovery)


@contextlib.asynccontextmanager
async def serve(simulator: Simulator, host: str, port: int) -> AsyncIterator[int]:
    """Listen; yields the port. Raises OSError when the address is taken."""
    exchange = simulator.exchange
    runner = web.AppRunner(
        simulator.application(), access_log=None, shutdown_timeout=_DRAIN_S
    )
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
