"""Metrics are declared once, named by one rule, and served to whoever scrapes."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from local.program import is_free
from telemetry.health import OK, UNAVAILABLE, CheckResponse, CheckStatus, HealthResponse
from telemetry.metrics import Metrics, serve
from telemetry.metrics.exposition import CannotListen, health_app

Client = TestClient[web.Request, web.Application]
IDENTIFYING = re.compile(r"id$|tenant|account|path|url|message|key")


class Readiness:
    """How the process is, switched by the test."""

    now = UNAVAILABLE

    async def __call__(self) -> HealthResponse:
        return self.now


@pytest.fixture
def metrics() -> Metrics:
    """All metrics over a registry of their own."""
    return Metrics(CollectorRegistry())


@pytest.fixture
def readiness() -> Readiness:
    """Not ready until the test says so."""
    return Readiness()


@pytest.fixture
async def client(metrics: Metrics, readiness: Readiness) -> AsyncIterator[Client]:
    """A client of the pages a process serves."""
    async with TestClient(TestServer(health_app(metrics, readiness))) as opened:
        yield opened


def test_every_name_has_the_prefix_a_help_and_few_labels(metrics: Metrics) -> None:
    """payments_*, a sentence, and no label that takes as many values as there are payments."""
    for family in metrics.registry.collect():
        if family.name.startswith("python_gc"):  # the client library's own
            continue
        assert family.name.startswith("payments_")
        assert family.documentation
        for sample in family.samples:
            assert not [label for label in sample.labels if IDENTIFYING.search(label)]


def test_two_over_one_registry_are_refused(metrics: Metrics) -> None:
    """A metric has one owner."""
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(metrics.registry)


def test_a_child_is_found_again_by_its_labels(metrics: Metrics) -> None:
    """The same labels are the same child; others are another."""
    requests = metrics.http.requests
    child = requests.labels("/api/v1/payments", "POST", "2xx")
    assert requests.labels("/api/v1/payments", "POST", "2xx") is child
    assert requests.labels("/api/v1/payments", "POST", "5xx") is not child


def test_a_wrong_number_of_labels_is_refused(metrics: Metrics) -> None:
    """And not remembered as a child."""
    with pytest.raises(ValueError, match="label"):
        metrics.http.requests.labels("/api/v1/payments")


def test_clearing_forgets_children(metrics: Metrics) -> None:
    """A partition that is gone is not shown for ever, and one set anew is."""
    lag = metrics.lag.messages
    lag.labels("g", "t", "0").set(5)
    lag.labels("g", "t", "1").set(6)
    lag.clear()
    lag.labels("g", "t", "1").set(7)
    (family,) = [f for f in metrics.registry.collect() if f.name == "payments_stage_lag_messages"]
    assert [(s.labels["partition"], s.value) for s in family.samples] == [("1", 7)]


async def test_the_page_is_prometheus_text_by_default(client: Client, metrics: Metrics) -> None:
    """It can be parsed, and holds what was counted."""
    metrics.http.requests.labels("/api/v1/payments", "POST", "2xx").inc(3)
    response = await client.get("/metrics")
    families = {f.name: f for f in parse_text(await response.text())}
    assert response.headers["Content-Type"].startswith("text/plain")
    assert families["payments_http_requests"].samples[0].value == 3
    assert "payments_process_resident_memory_bytes" in families


async def test_the_page_is_openmetrics_when_asked(client: Client) -> None:
    """With its own content type and end mark."""
    accept = "application/openmetrics-text; version=1.0.0"
    response = await client.get("/metrics", headers={"Accept": accept})
    text = await response.text()
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    assert list(parse_openmetrics(text))  # type: ignore[no-untyped-call] # it has no types


async def test_ready_follows_the_process_and_live_does_not(
    client: Client, readiness: Readiness
) -> None:
    """A process that warms up is alive, and not ready."""
    assert [(await client.get(p)).status for p in ("/health", "/health/live")] == [200, 200]
    assert (await client.get("/health/ready")).status == 503
    readiness.now = OK
    assert (await client.get("/health/ready")).status == 200


@pytest.mark.parametrize(("status", "http"), [("unavailable", 503), ("degraded", 200), ("ok", 200)])
async def test_ready_says_what_was_found(
    client: Client, readiness: Readiness, status: str, http: int
) -> None:
    """Whoever wonders why no requests come need not look into a log."""
    check = CheckResponse(status=CheckStatus(status), seconds=0.5, detail="takes no writes")
    readiness.now = HealthResponse(status=check.status, checks={"postgres": check})
    answer = await client.get("/health/ready")
    assert (answer.status, await answer.json()) == (
        http,
        {
            "status": status,
            "checks": {"postgres": {"status": status, "seconds": 0.5, "detail": "takes no writes"}},
        },
    )


async def test_serving_begins_and_ends_with_its_context(
    metrics: Metrics, readiness: Readiness
) -> None:
    """The port answers inside, and is free again afterwards."""
    port = unused_port()
    url = f"http://127.0.0.1:{port}/health/live"
    async with aiohttp.ClientSession() as session:
        async with serve(metrics, "127.0.0.1", port, readiness), session.get(url) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


async def test_port_zero_serves_nothing(metrics: Metrics, readiness: Readiness) -> None:
    """Off means off: no socket is opened."""
    before = {t for t in asyncio.all_tasks() if t is not asyncio.current_task()}
    async with serve(metrics, "127.0.0.1", 0, readiness):
        assert {t for t in asyncio.all_tasks() if t is not asyncio.current_task()} == before


async def test_of_several_ports_the_first_that_is_free_is_taken(
    metrics: Metrics, readiness: Readiness
) -> None:
    """So that processes with one environment do not share a port, nor a scrape."""
    first = next(port for port in iter(unused_port, 0) if is_free(port + 1))
    async with AsyncExitStack() as stack:
        for expected in (first, first + 1):
            serving = serve(metrics, "127.0.0.1", first, readiness, ports=2)
            assert await stack.enter_async_context(serving) == expected
        with pytest.raises(CannotListen, match=f"ports {first} to {first + 1} are taken"):
            await stack.enter_async_context(serve(metrics, "127.0.0.1", first, readiness, 2))
    async with serve(metrics, "127.0.0.1", first, readiness, ports=2) as port:
        assert port == first


async def test_a_host_that_is_not_ours_is_one_sentence(
    metrics: Metrics, readiness: Readiness
) -> None:
    """And no other port of it is tried."""
    # From Python 3.13 on asyncio says that of all addresses it tried.
    cannot = r"on 192\.0\.2\.1:9100: .*(cannot assign|could not bind)"
    with pytest.raises(CannotListen, match=cannot):
        async with serve(metrics, "192.0.2.1", 9100, readiness, ports=1000):
            pass
