"""Each provider's gateway, under the limits it works under, and the simulator it speaks to."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry

from payments.outcome import Succeeded
from providers.gateway import Gateway
from providers.protected import Limits
from providers.registry import NAMES, gateways
from simulator.dashboard import Action, Expire
from simulator.faults import FaultKind, FaultSpec
from simulator.journal_report import PaymentReport
from simulator.server import Simulator, SimulatorConfig, build, serve
from telemetry.metrics import Metrics
from tests.support.providers.configs import all_configured
from tests.support.providers.requests import Payment

# A hang that ends in a reset; the gateways' own patience is tried elsewhere, on a raw server.
_HANG_MS: Final = 100.0


@dataclass(frozen=True, slots=True)
class Provider:
    """A gateway, and the simulator it speaks to."""

    gateway: Gateway
    simulator: Simulator

    def report(self, payment: Payment) -> PaymentReport:
        key = (self.gateway.name, str(payment.id))
        return self.simulator.exchange.report.payment(*key) or PaymentReport(*key)

    def befall(self, kind: FaultKind, operation: str, times: int | None = 1) -> None:
        self.simulator.exchange.faults.arm(
            FaultSpec(kind=kind, operation=operation, times=times, milliseconds=_HANG_MS)
        )

    async def acts(self, action: Action, subject: object) -> bool:
        """What is done there without us, to a payment or to a refund, if it can be."""
        vendor = self.simulator.vendors[self.gateway.name]
        return await self.simulator.exchange.act(vendor, action, str(subject)) is not None

    async def lapses(self, payment: Payment) -> bool:
        """The vendor lets the authorization go, if there is one."""
        return await self.acts(Expire(), payment.id)

    async def charged(self, payment: Payment) -> str:
        return reference_of(await self.gateway.charge(payment.charge()))

    async def authorized(self, payment: Payment) -> str:
        return reference_of(await self.gateway.charge(payment.charge(capture=False)))


def reference_of(outcome: object) -> str:
    assert isinstance(outcome, Succeeded)
    return outcome.reference


@pytest.fixture(params=NAMES)
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Provider]:
    config = SimulatorConfig(
        host="127.0.0.1", port=0, journal=tmp_path / "journal.jsonl", vendors=NAMES
    )
    simulator = build(config, Metrics(CollectorRegistry()), time.time, random.Random(1))
    async with serve(simulator, config.host, config.port) as port:
        configs = all_configured(f"http://127.0.0.1:{port}")
        metrics = Metrics(CollectorRegistry())
        async with gateways(configs, Limits(), metrics, NoOpTracer()) as opened:
            yield Provider(opened[request.param], simulator)
