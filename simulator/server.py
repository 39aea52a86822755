"""The HTTP server: all vendors on one port, told apart by path, beside the admin API.

Composition happens in `build`; `serve` runs the listener, the journal's writer and the webhook
deliveries as one group, so that none outlives another: a journal that cannot be written, or
what is not in memory read, ends the process instead of answering without a trace.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from process.closing import end
from process.serving import drain, runner_of
from simulator.admin import Admin
from simulator.entries import decode
from simulator.exchange import Exchange
from simulator.faults import FaultScript
from simulator.identifiers import Identifiers
from simulator.journal import Journal, Recovery
from simulator.journal_report import JournalReport
from simulator.spill import HOT_MAX, Spill
from simulator.vendor import Subscription, Vendor
from simulator.vendors import vendors_by_name
from simulator.webhooks import Webhooks
from telemetry.metrics import Metrics, render

# Both vendors refuse bodies far smaller than this; it only bounds what one request can hold.
_BODY_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Where to listen, where to write, how slow to be (seconds a vendor needs for its work).

    `vendors` are those there are, by name, `subscriptions` who is told of what at which, and
    `keys` who may ask which: everybody, where there are none. `hot_max` values of a kind are kept
    in memory.
    """

    host: str
    port: int
    journal: Path
    vendors: tuple[str, ...]
    latency_s: float = 0.0
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
    keys: Mapping[str, Collection[str]] = field(default_factory=dict)
    hot_max: int = HOT_MAX


@dataclass(frozen=True, slots=True)
class Simulator:
    """Everything one simulator consists of."""

    exchange: Exchange
    vendors: Mapping[str, Vendor]
    recovery: Recovery
    metrics: Metrics
    spill: Spill

    def application(self) -> web.Application:
        """The routes: our own, and the vendors'. Of two that match, the longer one is taken."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.add_routes(Admin(self.exchange, self.recovery, self.vendors).routes())
        for path in ("/health", "/health/live", "/health/ready"):
            app.router.add_get(path, _alive)
        app.router.add_get("/metrics", self._metrics_page)
        for vendor in self.vendors.values():
            for path in vendor.paths:
                app.router.add_route("*", path, self._handler(vendor))
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
    """Open the journal and replay it; `now` gives Unix seconds.

    Raises JournalError, and SpillError when there is no room for what is not kept in memory.
    """
    journal = Journal(config.journal)
    spill = Spill(config.journal.with_name(f"{config.journal.name}.spill"), config.hot_max)
    vendors = vendors_by_name(config.vendors, Identifiers(entropy, now), spill)
    exchange = Exchange(
        journal=journal,
        faults=FaultScript(entropy),
        report=JournalReport(spill),
        webhooks=Webhooks(now),
        metrics=metrics.simulator,
        now=now,
        stopping=asyncio.Event(),
        latency_s=config.latency_s,
    )
    for name, vendor in vendors.items():
        vendor.admit(config.keys.get(name, ()))
    decoders = {name: vendor.decoders for name, vendor in vendors.items()}
    recovery = journal.recover(lambda line: exchange.replay(vendors, decode(line, decoders)))
    for name, receiver in config.subscriptions.items():
        vendors[name].subscribe(receiver)
    return Simulator(exchange, vendors, recovery, metrics, spill)


@contextlib.asynccontextmanager
async def serve(
    simulator: Simulator, host: str, port: int, drain_s: float = 1.0
) -> AsyncIterator[int]:
    """Listen; yields the port. Raises OSError when the address is taken.

    Leaving answers who waits, within `drain_s`; those whom a fault lets hang are let go at once.
    """
    exchange = simulator.exchange
    runner = runner_of(simulator.application(), drain_s)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, reuse_address=True)
        await site.start()
        bound = runner.addresses[0][1]
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(exchange.journal.run()),
                tasks.create_task(exchange.webhooks.run()),
                tasks.create_task(simulator.spill.watch()),
            ]
            try:
                yield bound
            finally:
                exchange.stopping.set()
                await drain(runner, drain_s)
                await end(background)
    finally:
        await drain(runner, drain_s)
        exchange.journal.close()
        simulator.spill.close()


async def _alive(_request: web.Request) -> web.Response:
    """A listener that answers has replayed its journal, so live and ready are the same."""
    return web.json_response({"status": "ok"})
