"""What stands between an agent and a provider: breaker, slots, deadline, and what is seen of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from payments.money import Money
from payments.outcome import Declined, Deferred, Operation, Retriable, Succeeded, Unknown
from payments.provider_rules import ProviderRules
from payments.record import replace
from providers.gateway import Capabilities, Gateway
from providers.health import Clocks
from providers.paypal.config import PayPalConfig
from providers.protected import Limits, Protected
from providers.registry import gateways
from providers.stripe.config import StripeConfig
from providers.stripe.gateway import StripeGateway
from telemetry.metrics import Metrics
from tests.support.providers import wire
from tests.support.providers.configs import all_configured, configured
from tests.support.providers.requests import Payment
from tests.support.waiting import eventually

_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_DECLINED = wire.reply(402, {"error": {"type": "card_error", "code": "card_declined"}})


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Watched:
    """A protected Stripe gateway in front of a raw server, and all that can be seen of it."""

    gateway: Gateway
    server: wire.Wire
    metrics: Metrics
    spans: InMemorySpanExporter
    clock: Clock

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"payments_provider_{name}", {"provider": "stripe", **labels}
        )


@asynccontextmanager
async def watched(
    *script: wire.Behaviour,
    limits: Limits | None = None,
    kind: type[StripeGateway] = StripeGateway,
) -> AsyncIterator[Watched]:
    metrics, spans, clock = Metrics(CollectorRegistry()), InMemorySpanExporter(), Clock()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with wire.serving(*script) as server:
        gateway = Protected(
            kind(configured(StripeConfig, server.url)),
            limits or Limits(),
            metrics,
            provider.get_tracer("test"),
            Clocks(clock),
        )
        try:
            yield Watched(gateway, server, metrics, spans, clock)
        finally:
            await gateway.aclose()
            provider.shutdown()


def paid(payment: Payment, after_s: float = 0.0) -> wire.Behaviour:
    body = {
        "id": "pi_1",
        "status": "succeeded",
        "amount": 5000,
        "amount_received": 5000,
        "currency": "usd",
        "metadata": {"payment_id": str(payment.id)},
    }
    return wire.reply(200, body, after_s=after_s)


async def test_a_failing_operation_is_left_alone_for_a_while() -> None:
    """After ten failures charges are deferred, refunds are not; then a trial closes the circuit."""
    payment = Payment()
    async with watched(wire.reply(500, {})) as stripe:
        for _ in range(10):
            assert isinstance(await stripe.gateway.charge(payment.charge()), Unknown)
        stripe.clock.now_s += 10
        deferred = await stripe.gateway.charge(payment.charge())
        assert deferred == Deferred("circuit_open", 20.0)
        assert len(stripe.server.seen) == 10
        assert stripe.sample("breaker_state", operation="charge") == 2
        assert stripe.sample("breaker_state", operation="refund") == 0
        assert isinstance(await stripe.gateway.refund(payment.refund("pi_1")), Unknown)
        stripe.clock.now_s += 20
        stripe.server.then(paid(payment))
        assert await stripe.gateway.charge(payment.charge()) == Succeeded("pi_1")
        assert stripe.sample("breaker_state", operation="charge") == 0


class _Limited(StripeGateway):
    """Charges, and says what became of a charge; no more."""

    capabilities = Capabilities(  # type: ignore[misc]  # Final in the real one
        rules=ProviderRules(
            title="Limited",
            operations=frozenset({Operation.CHARGE}),
            currencies=frozenset({"USD", "KWD"}),
            steps={"KWD": 10},
            least={"USD": 50},
            greatest={"USD": 10_000},
        ),
        key_window_s=60.0,
        inquiries=frozenset({Operation.CHARGE}),
    )


async def test_what_a_provider_cannot_do_it_is_never_asked() -> None:
    """A rounded amount would not be the ledger's; and what it cannot tell is not known."""
    payment, odd, foreign = Payment(), Payment(Money(1234, "KWD")), Payment(Money(1230, "EUR"))
    small, large = Payment(Money(49, "USD")), Payment(Money(10_001, "USD"))
    refused = {"amount_not_representable", "operation_not_offered"}
    async with watched(_DECLINED, kind=_Limited) as limited:
        gateway = limited.gateway
        outcomes = [
            await gateway.charge(odd.charge()),
            await gateway.charge(foreign.charge()),
            await gateway.charge(small.charge()),
            await gateway.charge(large.charge()),
            await gateway.charge(payment.charge(capture=False)),
            await gateway.capture(payment.capture("pi_1")),
            await gateway.void(payment.void("pi_1")),
            await gateway.refund(payment.refund("pi_1")),
        ]
        assert all(isinstance(each, Declined) for each in outcomes)
        assert {each.code for each in outcomes if isinstance(each, Declined)} == refused
        # That it cannot be asked is no answer: it may have been asked when it could be.
        for each, operation in ((payment, Operation.REFUND), (odd, Operation.CHARGE)):
            assert isinstance(await gateway.inquire(each.inquiry(operation, "pi_1")), Unknown)
        assert not limited.server.seen
        assert limited.sample("calls_total", operation="void", outcome="declined") == 1
        await gateway.charge(Payment(Money(1230, "KWD")).charge())
        assert len(limited.server.seen) == 1


async def test_answers_do_not_open_the_circuit() -> None:
    """A decline, a limited rate, a missing object, a twin at work: the provider is well."""
    payment = Payment()
    for answer in (_DECLINED, wire.reply(429, {}), wire.reply(404, {}), wire.reply(409, {})):
        async with watched(answer) as stripe:
            for _ in range(12):
                await stripe.gateway.charge(payment.charge())
            assert len(stripe.server.seen) == 12


async def test_refused_credentials_are_noticed_at_once_and_tried_again_soon() -> None:
    """Three refusals are no accident; a second later it is one call that finds the key rolled."""
    payment = Payment()
    async with watched(wire.reply(401, {})) as stripe:
        outcomes = [await stripe.gateway.charge(Payment().charge()) for _ in range(4)]
        assert isinstance(outcomes[2], Retriable)
        assert outcomes[3] == Deferred("refusing_credentials", 1.0)
        assert stripe.sample("state", state="refusing_credentials") == 1
        stripe.clock.now_s += 1
        stripe.server.then(paid(payment))
        assert await stripe.gateway.charge(payment.charge()) == Succeeded("pi_1")
        assert stripe.sample("state", state="well") == 1


async def test_calls_beyond_the_limit_wait_for_their_turn() -> None:
    """No more calls are under way than configured, and none is lost."""
    payment, limits = Payment(), Limits(concurrent_calls_max=3)
    async with watched(paid(payment, after_s=0.02), limits=limits) as stripe:
        calls = [stripe.gateway.charge(payment.charge()) for _ in range(9)]
        assert await asyncio.gather(*calls) == [Succeeded("pi_1")] * 9
        assert stripe.server.connections == 3


async def test_a_turn_that_does_not_come_is_deferred_and_a_late_answer_unknown() -> None:
    """Waiting and calling are bounded apart; only what was asked is in doubt."""
    limits = Limits(concurrent_calls_max=1, turn_s_max=0.1, call_s_max=0.2)
    async with watched(limits=limits) as stripe:
        stripe.server.then(stripe.server.hang)
        hanging, waiting = await asyncio.gather(
            stripe.gateway.charge(Payment().charge()), stripe.gateway.charge(Payment().charge())
        )
        assert hanging == Unknown("deadline_exceeded", "given up at the deadline")
        assert waiting == Deferred("no_capacity", 1.0)
        stripe.server.then(_DECLINED)
        await stripe.gateway.charge(Payment().charge())
        assert stripe.sample("calls_total", operation="charge", outcome="declined") == 1
        assert stripe.sample("in_flight") == 0


async def test_a_hang_at_the_deadline_opens_the_circuit() -> None:
    """A provider that never answers is left alone like one that answers with errors."""
    limits = Limits(call_s_max=0.1)
    async with watched(limits=limits) as stripe:
        stripe.server.then(stripe.server.hang)
        await asyncio.gather(*(stripe.gateway.charge(Payment().charge()) for _ in range(10)))
        assert isinstance(await stripe.gateway.charge(Payment().charge()), Deferred)


async def test_a_cancelled_call_gives_its_slot_back() -> None:
    """A draining worker leaves nothing behind that the next call would wait for."""
    payment, limits = Payment(), Limits(concurrent_calls_max=1)
    async with watched(limits=limits) as stripe:
        stripe.server.then(stripe.server.hang)
        call = asyncio.ensure_future(stripe.gateway.charge(payment.charge()))
        await eventually(lambda: len(stripe.server.seen) == 1)
        call.cancel()
        await asyncio.wait([call])
        stripe.server.then(paid(payment))
        assert await stripe.gateway.charge(payment.charge()) == Succeeded("pi_1")


async def test_a_call_is_seen() -> None:
    """A client span in the payment's trace, passed on to the provider; a count, a duration."""
    payment = Payment()
    async with watched(_DECLINED) as stripe:
        await stripe.gateway.charge(replace(payment.charge(), traceparent=_TRACE))
        (span,) = stripe.spans.get_finished_spans()
        assert stripe.sample("calls_total", operation="charge", outcome="declined") == 1
        assert stripe.sample("call_seconds_count", operation="charge") == 1
    assert span.name == "stripe charge"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == _TRACE.split("-")[1]
    assert span.attributes is not None
    assert span.attributes["payment.id"] == str(payment.id)
    assert span.attributes["payment.outcome"] == "declined"
    assert span.attributes["payment.outcome_code"] == "card_declined"
    sent = stripe.server.seen[0].headers["traceparent"]
    assert sent == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


async def test_trouble_is_logged_with_its_payment() -> None:
    """One line names payment, operation and code; an answer is no news."""
    payment = Payment()
    with structlog.testing.capture_logs() as lines:
        async with watched(_DECLINED, wire.close) as stripe:
            await stripe.gateway.charge(payment.charge())
            await stripe.gateway.inquire(payment.inquiry(Operation.CHARGE, "pi_1"))
    (line,) = lines
    assert line["payment_id"] == str(payment.id)
    assert (line["operation"], line["outcome"], line["code"]) == ("inquire", "unknown", "no_answer")


async def test_a_provider_that_hangs_does_not_delay_the_other() -> None:
    """Each provider has its own slots, connections and circuits."""
    limits = Limits(concurrent_calls_max=2)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    async with wire.serving() as hanging, wire.serving(_DECLINED) as well:
        hanging.then(hanging.hang)
        configs = {**all_configured(well.url), "paypal": configured(PayPalConfig, hanging.url)}
        metrics = Metrics(CollectorRegistry())
        async with gateways(configs, limits, metrics, tracer) as opened:
            stuck = asyncio.gather(*(opened["paypal"].charge(Payment().charge()) for _ in range(9)))
            await eventually(lambda: bool(hanging.seen))
            async with asyncio.timeout(1):
                for _ in range(20):
                    await opened["stripe"].charge(Payment().charge())
            assert not stuck.done()
            hanging.released.set()
            await stuck
