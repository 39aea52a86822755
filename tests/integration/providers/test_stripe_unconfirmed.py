"""A PaymentIntent that its own request never confirmed ends, and nothing is charged twice."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from payments.outcome import Declined, InquiryOutcome, Operation, Retriable, Succeeded, Unknown
from providers.stripe.client import STRIPE_VERSION
from providers.stripe.unconfirmed import AT_WORK_S
from simulator.server import Simulator, SimulatorConfig, build, serve
from telemetry.metrics import Metrics
from tests.support.providers import wire
from tests.support.providers.requests import Payment
from tests.support.providers.stripe import KEY, RATE_LIMITED, asked_for, intent, page, stripe_at

_MADE_AT: Final = 1_790_000_000
_LATER: Final = _MADE_AT + AT_WORK_S + 1
_STATE: Final = {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}
_WRONG_STATE: Final = wire.reply(400, {"error": _STATE})


def unconfirmed(payment: Payment, **fields: object) -> dict[str, object]:
    return intent(payment, "requires_confirmation", **{"created": _MADE_AT, **fields})


@asynccontextmanager
async def simulated(tmp_path: Path) -> AsyncIterator[tuple[Simulator, str]]:
    config = SimulatorConfig(
        host="127.0.0.1", port=0, journal=tmp_path / "journal.jsonl", vendors=("stripe",)
    )
    simulator = build(config, Metrics(CollectorRegistry()), time.time, random.Random(1))
    async with serve(simulator, config.host, config.port) as port:
        yield simulator, f"http://127.0.0.1:{port}"


async def post(url: str, path: str, **fields: str) -> dict[str, object]:
    """What anybody else with our key might ask of Stripe."""
    headers = {"Authorization": f"Bearer {KEY}", "Stripe-Version": STRIPE_VERSION}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        answer = await session.post(path, data=fields)
        made: dict[str, object] = await answer.json()
        return {"http": answer.status, **made}


async def left_unconfirmed(url: str, payment: Payment) -> str:
    """As Stripe has it when our request broke between its halves."""
    made = await post(
        url,
        "/v1/payment_intents",
        amount="5000",
        currency="usd",
        payment_method="pm_card_visa",
        **{"metadata[payment_id]": str(payment.id), "payment_method_types[0]": "card"},
    )
    assert made["status"] == "requires_confirmation"
    return str(made["id"])


@pytest.mark.parametrize("operation", [Operation.CHARGE, Operation.AUTHORIZE])
async def test_left_unconfirmed_it_is_canceled_and_can_never_charge(
    tmp_path: Path, operation: Operation
) -> None:
    """While its request may be at work nothing is known; after that it is ended, for good."""
    payment = Payment()
    clock = [time.time()]
    async with (
        simulated(tmp_path) as (simulator, url),
        stripe_at(url, now=lambda: clock[0]) as stripe,
    ):
        left = await left_unconfirmed(url, payment)
        early = await stripe.inquire(payment.inquiry(operation))
        assert isinstance(early, Unknown)
        assert early.code == "in_progress"
        clock[0] += AT_WORK_S + 1
        ended = Declined("canceled", "abandoned", is_released=True)
        assert await stripe.inquire(payment.inquiry(operation)) == ended
        assert await stripe.inquire(payment.inquiry(operation)) == ended
        confirmed = await post(url, f"/v1/payment_intents/{left}/confirm")
        assert confirmed["http"] == 400
        report = simulator.exchange.report.payment("stripe", str(payment.id))
        assert report is None or (report.charges, report.authorizations) == (0, 0)


async def test_what_was_charged_beside_it_decides(tmp_path: Path) -> None:
    """Under a key that Stripe did not keep a second one was made: that is the payment."""
    payment = Payment()
    async with simulated(tmp_path) as (simulator, url), stripe_at(url, now=lambda: _LATER) as s:
        await left_unconfirmed(url, payment)
        charged = await s.charge(payment.charge())
        assert isinstance(charged, Succeeded)
        assert await s.inquire(payment.inquiry(Operation.CHARGE)) == charged
        report = simulator.exchange.report.payment("stripe", str(payment.id))
        assert report is not None
        assert report.charges == 1


async def test_confirmed_meanwhile_it_is_what_it_became() -> None:
    """Stripe cancels nothing that was confirmed: one of the two came first."""
    payment = Payment()
    script = [page(unconfirmed(payment)), _WRONG_STATE, wire.reply(200, intent(payment))]
    async with wire.serving(*script) as server, stripe_at(server.url, now=lambda: _LATER) as s:
        assert await s.inquire(payment.inquiry(Operation.CHARGE)) == Succeeded("pi_1")
    canceling = server.seen[1]
    assert canceling.target == "/v1/payment_intents/pi_1/cancel"
    assert canceling.form == {"cancellation_reason": "abandoned"}
    assert canceling.headers["idempotency-key"] == f"{payment.id}-charge-pi_1"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (RATE_LIMITED, Retriable),
        (wire.reply(500, {}), Unknown),
        (wire.reset, Unknown),
        (wire.reply(400, {"error": {"type": "invalid_request_error"}}), Unknown),
    ],
)
async def test_as_long_as_it_is_not_ended_nothing_is_known(
    answer: wire.Behaviour, expected: type[InquiryOutcome]
) -> None:
    """It is tried again with the next inquiry."""
    payment = Payment()
    script = [page(unconfirmed(payment)), answer]
    async with wire.serving(*script) as server, stripe_at(server.url, now=lambda: _LATER) as s:
        assert type(await s.inquire(payment.inquiry(Operation.CHARGE))) is expected


@pytest.mark.parametrize(
    ("beside", "operation"),
    [
        # The one that has the money is the payment.
        ([intent(Payment(), "succeeded", id="pi_2")], Operation.CHARGE),
        ([intent(Payment(), "requires_capture", id="pi_2")], Operation.AUTHORIZE),
        # What is asked after is another operation's.
        ([], Operation.VOID),
    ],
)
async def test_nothing_is_ended_that_nobody_waits_for(
    beside: list[dict[str, object]], operation: Operation
) -> None:
    """An inquiry reads; it ends only what it would wait for in vain."""
    payment = Payment()
    ours = [each | {"metadata": {"payment_id": str(payment.id)}} for each in beside]
    script = [page(unconfirmed(payment), *ours)]
    async with wire.serving(*script) as server, stripe_at(server.url, now=lambda: _LATER) as s:
        await s.inquire(payment.inquiry(operation))
    assert [seen.method for seen in server.seen] == ["GET"]


async def test_on_a_busy_account_a_search_that_is_put_off_ends_nothing() -> None:
    """Another one, that took the money, may be out of sight."""
    payment = Payment()
    script = [page(unconfirmed(payment), has_more=True), RATE_LIMITED]
    async with wire.serving(*script) as server, stripe_at(server.url, now=lambda: _LATER) as s:
        assert isinstance(await s.inquire(payment.inquiry(Operation.CHARGE)), Retriable)
    assert asked_for(server.seen[1])["query"]
    assert [seen.method for seen in server.seen] == ["GET", "GET"]
