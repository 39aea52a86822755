"""Puts the gateways together: each provider behind limits of its own, closed at the end.

Called by whoever composes a process, with values read from settings; nothing here reads any.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from opentelemetry.trace import Tracer

from providers.gateway import Gateway
from providers.paypal import PayPalConfig, PayPalGateway
from providers.protected import Limits, Protected
from providers.stripe import StripeConfig, StripeGateway
from telemetry.metrics import Metrics


@asynccontextmanager
async def gateways(
    stripe: StripeConfig, paypal: PayPalConfig, limits: Limits, metrics: Metrics, tracer: Tracer
) -> AsyncIterator[Mapping[str, Gateway]]:
    """Every provider's gateway by its name, with open connections while the context lasts."""
    async with AsyncExitStack() as stack:
        opened: dict[str, Gateway] = {}
        for gateway in (StripeGateway(stripe), PayPalGateway(paypal)):
            stack.push_async_callback(gateway.aclose)
            opened[gateway.name] = Protected(gateway, limits, metrics, tracer)
        yield opened
