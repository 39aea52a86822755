"""One trace from a client's request to the webhook that tells what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from tests.support.acceptance.client import client_of
from tests.support.acceptance.running import Installation
from tests.support.acceptance.simulator import Simulator
from tests.support.agents.webhooks import street
from tests.support.collector import collecting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.support.collector import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = "00f067aa0ba902b7"
# What the client's own tracing system keeps beside it.
_STATE = "congo=t61rcWkgMzE"
# What a payment goes through that needed a second try, and who says so.
_WHOLE = {
    ("payments-api", "POST /api/v1/payments"),
    ("payments-relay-kafka", "payments.charges publish"),
    ("payments-agents-charge", "charge attempt"),
    ("payments-relay-kafka", "payments.events publish"),
    ("payments-relay-redis", "payments.events publish"),
    ("payments-agents-deliver", "payment.completed deliver"),
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as opened:
        yield opened


@pytest.fixture
async def watched(tmp_path: Path, collector: Collector) -> AsyncIterator[Installation]:
    """A platform whose processes all export their spans."""
    started = Installation.in_folder(
        tmp_path,
        PAYMENTS_OBSERVABILITY_OTLP_ENDPOINT=collector.url,
        PAYMENTS_WEBHOOK_KEY="a key of tests",
        PAYMENTS_WEBHOOK_NETWORKS="127.0.0.0/8",
    )
    try:
        await started.start()
        yield started
    finally:
        started.end()


async def test_a_trace_tells_a_payments_whole_story(
    watched: Installation, collector: Collector
) -> None:
    """The request, messages on their way, both tries and the webhook: below the client's span."""
    async with (
        street() as shops,
        client_of(watched.url) as client,
        aiohttp.ClientSession(watched.record.addresses.simulator) as http,
    ):
        front, account = shops.shop(), await client.account()
        made = await client.post("/api/v1/webhook-endpoints", {"url": front.url})
        assert made.status == 201, made.body
        await Simulator(http).fail("error_before")
        body = {
            "payment_type": "external_payment", "source_account_id": account, "amount": "50.00",
            "currency": "USD", "provider": "stripe",
        }  # fmt: skip
        headers = {"traceparent": f"00-{TRACE}-{_PARENT}-01", "tracestate": _STATE}
        accepted = await client.post("/api/v1/payments", body, **headers)
        assert (await client.ended(accepted.body["id"], within=60))["status"] == "completed"

        def is_told() -> bool:
            told = [orjson.loads(each.body)["type"] for each in front.received]
            return "payment.completed" in told

        await eventually(is_told, within=30)
        # Each process exports after some seconds, and what is below a span before it.
        await eventually(lambda: _is_whole(_ours(collector)), within=60)
    spans = _ours(collector)
    known = {each.span_id for _, each in spans} | {bytes.fromhex(_PARENT)}
    assert [each.name for _, each in spans if each.parent_span_id not in known] == []
    # Providers are outside, and are told of the trace alone.
    inside = [(of, each) for of, each in spans if of != "payments-simulator"]
    assert {each.name for _, each in inside if each.trace_state != _STATE} == set()


def _is_whole(spans: list[tuple[str, Span]]) -> bool:
    names = [(of, each.name) for of, each in spans]
    assert names.count(("payments-agents-charge", "charge attempt")) >= 2
    return set(names) >= _WHOLE


def _ours(collector: Collector) -> list[tuple[str, Span]]:
    wanted = bytes.fromhex(TRACE)
    return [(of, each) for of, each in collector.spans() if each.trace_id == wanted]
