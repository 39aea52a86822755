"""What keeps us from a provider before it works: no operation of either vendor is tried by it.

A door stands before the simulator, and says what the vendors' edges, proxies and networks say.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry

from payments.outcome import Operation, Outcome, Retriable, Succeeded, was_asked
from providers.gateway import Gateway
from providers.protected import Limits
from providers.registry import NAMES, gateways
from simulator.server import Simulator, SimulatorConfig, build, serve
from telemetry.metrics import Metrics
from tests.support.providers.configs import all_configured
from tests.support.providers.door import Door, Refusal, door
from tests.support.providers.requests import Payment

WALL = None
LACKS: dict[str, Refusal | None] = {
    "unauthorized": Refusal(401, {"error": {"message": "Invalid API Key provided"}}),
    "forbidden": Refusal(403, {"message": "Permission denied."}),
    "proxy": Refusal(407),
    "quota": Refusal(429, headers={"Retry-After": "3600"}),
    "quota without a word": Refusal(429),
    "nobody there": WALL,
}

Ask = Callable[[Gateway, Payment, str], Awaitable[Outcome]]
OPERATIONS: dict[str, Ask] = {
    "charge": lambda gateway, payment, _: gateway.charge(payment.charge()),
    "authorize": lambda gateway, payment, _: gateway.charge(payment.charge(capture=False)),
    "capture": lambda gateway, payment, held: gateway.capture(payment.capture(held)),
    "void": lambda gateway, payment, held: gateway.void(payment.void(held)),
    "refund": lambda gateway, payment, taken: gateway.refund(payment.refund(taken)),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A vendor behind a door: asked `before` it is closed, and by one that comes to it closed."""

    door: Door
    simulator: Simulator
    before: Gateway
    anew: Gateway


@pytest.fixture(params=NAMES)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    config = SimulatorConfig(
        host="127.0.0.1", port=0, journal=tmp_path / "journal.jsonl", vendors=NAMES
    )
    simulator = build(config, Metrics(CollectorRegistry()), time.time, random.Random(1))
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(simulator, config.host, config.port))
        before = await stack.enter_async_context(door(f"http://127.0.0.1:{port}"))
        made = [
            await stack.enter_async_context(
                gateways(
                    all_configured(before.url),
                    Limits(),
                    Metrics(CollectorRegistry()),
                    NoOpTracer(),
                )
            )
            for _ in range(2)
        ]
        yield Scene(before, simulator, *(each[request.param] for each in made))


async def _referred(gateway: Gateway, payment: Payment, operation: str) -> str:
    """What the operation is asked of; nothing for those that make something new."""
    if operation in {"charge", "authorize"}:
        return ""
    made = await gateway.charge(payment.charge(capture=operation == "refund"))
    assert isinstance(made, Succeeded)
    return made.reference


async def _closed(scene: Scene, lack: Refusal | None) -> tuple[Gateway, ...]:
    """Close the door; who is turned away there for certain."""
    if lack is WALL:
        # On a connection from before it could be that something was read.
        await scene.door.wall_up()
        return (scene.anew,)
    scene.door.refuse(lack)
    return (scene.before, scene.anew)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("lack", LACKS)
async def test_who_is_turned_away_has_asked_for_nothing(
    scene: Scene, lack: str, operation: str
) -> None:
    """Known to the vendor before or not, it says so; the door opened, it is done, and once."""
    payment = Payment()
    reference = await _referred(scene.before, payment, operation)
    for gateway in await _closed(scene, LACKS[lack]):
        outcome = await OPERATIONS[operation](gateway, payment, reference)
        assert isinstance(outcome, Retriable)
        assert not was_asked(outcome)
    await scene.door.open()
    outcome = await OPERATIONS[operation](scene.anew, payment, reference)
    assert isinstance(outcome, Succeeded)


@pytest.mark.parametrize("lack", LACKS)
async def test_who_is_turned_away_learns_nothing(scene: Scene, lack: str) -> None:
    """Neither that it happened nor that it did not: and the question was none."""
    payment = Payment()
    await scene.before.charge(payment.charge())
    for gateway in await _closed(scene, LACKS[lack]):
        found = await gateway.inquire(payment.inquiry(Operation.CHARGE))
        assert isinstance(found, Retriable)
        assert not was_asked(found)
