"""What the ingress says about itself: health, metrics, its OpenAPI document, its pages."""

import asyncio
import re

import asyncpg
import orjson
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from api.app import build
from api.contract.documents import DOCUMENTS
from api.routes import ROUTES
from payments.outcome import Declined
from process.addresses import DatabaseAddress, RedisAddress
from store.pool import connect_single
from tests.support.api.ingress import Ingress, Options, Reply, running
from tests.support.api.stage import settle
from tests.support.waiting import eventually


async def test_the_document_is_equal_to_the_router(ingress: Ingress) -> None:
    """What is served is documented, and what is documented is served."""
    hidden = {route.path for route in ROUTES if not route.documented}
    served = {
        (route.method, route.resource.canonical)
        for route in ingress.app.router.routes()
        if route.resource
        and route.method != "HEAD"
        and route.resource.canonical not in hidden
        # Pages are for people.
        and not route.resource.canonical.startswith("/console")
    }
    document = orjson.loads((await ingress.client.get("/openapi.json")).body)
    documented = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert documented == served
    assert hidden == {"/", "/docs/assets/{name}"}


async def test_answers_are_as_documented(ingress: Ingress) -> None:
    """Each kind of answer, as it is sent, fits its schema."""
    document = orjson.loads(ingress.app[DOCUMENTS].openapi)
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account, metadata={"a": [1, 0.5, None]})).text("id")
    await settle(ingress.committer, payment)
    refund = await client.post(f"/api/v1/payments/{payment}/refund", {"amount": 1})
    failed = (await client.pay(account)).text("id")
    await settle(ingress.committer, failed, Declined("no", "No."))
    for path, template in (
        (f"/api/v1/accounts/{account}", "/api/v1/accounts/{id}"),
        (f"/api/v1/accounts/{account}/balance", "/api/v1/accounts/{id}/balance"),
        (f"/api/v1/accounts/{account}/transactions", "/api/v1/accounts/{id}/transactions"),
        (f"/api/v1/payments/{payment}?expand=events", "/api/v1/payments/{id}"),
        (f"/api/v1/payments/{failed}", "/api/v1/payments/{id}"),
        ("/api/v1/payments", "/api/v1/payments"),
        (f"/api/v1/refunds/{refund.text('id')}", "/api/v1/refunds/{id}"),
        ("/health/ready", "/health/ready"),
    ):
        reply = await client.get(path)
        answers = document["paths"][template]["get"]["responses"]
        content = answers[str(reply.status)]["content"][reply.headers["Content-Type"]]
        schema = content["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(orjson.loads(reply.body))


async def test_a_route_nobody_declared_stops_the_start(ingress: Ingress) -> None:
    """An address that was added to the router alone has no rule who may use it."""

    async def secret(_: web.Request) -> web.Response:
        return web.Response()

    app = build(ingress.deps)
    app.router.add_get("/secret", secret)
    runner = web.AppRunner(app)
    with pytest.raises(RuntimeError, match="GET /secret"):
        await runner.setup()
    await runner.cleanup()


async def test_the_pages_need_no_other_host(ingress: Ingress) -> None:
    """Every script and style comes from here, and the pages say that nothing else may load."""
    page = await ingress.client.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert len(links) == 4
    for link in links:
        assert link.startswith("/docs/assets/")
        assert (await ingress.client.get(link)).status == 200
    problems = (await ingress.client.get("/docs/problems")).body.decode()
    refused = await ingress.client.get("/api/v1/payments?limit=0")
    anchor = refused.text("type").removeprefix("/docs/problems#")
    assert f'<tr id="{anchor}">' in problems


async def test_the_first_page_leads_on(ingress: Ingress) -> None:
    """Whoever opens the address alone finds the documentation, the document and the health."""
    page = await ingress.client.get("/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    links = set(re.findall(r'href="([^"]+)"', page.body.decode()))
    assert links == {"/docs", "/docs/problems", "/openapi.json", "/health/ready"}
    await _ready(ingress, 200)
    for link in links - {"/health/ready"}:
        assert (await ingress.client.get(link)).status == 200
    assert "/api/v1" in page.body.decode()


async def test_ready_says_what_it_found_and_how_long_it_took(ingress: Ingress) -> None:
    """Postgres, its migrations and Redis, each with its time."""
    reply = await _ready(ingress, 200, b'"status":"ok"')
    checks = reply.json["checks"]
    assert isinstance(checks, dict)
    assert {name: check["status"] for name, check in checks.items()} == {
        "postgres": "ok",
        "migrations": "ok",
        "redis": "ok",
    }
    assert all(0 < check["seconds"] < 1 for check in checks.values())
    ingress.deps.readiness.drain()
    assert (await ingress.client.get("/health/ready")).status == 503
    assert (await ingress.client.get("/health")).status == 200


async def test_without_redis_it_is_ready_and_degraded(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """200, because payments go on; `degraded`, because something is done without."""
    async with running(pool, RedisAddress("127.0.0.1", 1), Options()) as ingress:
        await _ready(ingress, 200, b'"status":"degraded"')


async def test_a_database_without_the_schema_is_not_ready(ingress: Ingress) -> None:
    """A migration that was not applied is named."""
    async with ingress.pool.acquire() as connection:
        await connection.execute("DELETE FROM schema_migrations WHERE version = 1")
    await _ready(ingress, 503, b"not applied: 0001_initial")


async def test_requests_are_counted_by_route_and_class(ingress: Ingress) -> None:
    """By the route's template, never by an id; unknown addresses and methods share a name."""
    account = await ingress.client.account()
    for _ in range(2):
        await ingress.client.get(f"/api/v1/accounts/{account}")
    await ingress.client.get(f"/api/v1/accounts/{account}/nowhere")
    await ingress.client.send("PROPFIND", "/api/v1/payments")
    page = (await ingress.client.get("/metrics")).body.decode()
    assert (
        'payments_http_requests_total{method="GET",route="/api/v1/accounts/{id}",status="2xx"} 2.0'
        in page
    )
    assert 'payments_http_requests_total{method="GET",route="unmatched",status="4xx"} 1.0' in page
    assert 'payments_http_requests_total{method="other",route="unmatched",status="4xx"} 1.0' in page
    assert account not in page
    await ingress.client.pay(account)
    page = (await ingress.client.get("/metrics")).body.decode()
    assert 'payments_accepted_total{provider="stripe",type="external_payment"} 1.0' in page
    assert "payments_http_requests_in_flight 1.0" in page


async def test_ready_answers_within_a_second_while_postgres_hangs(
    ingress: Ingress, database: DatabaseAddress
) -> None:
    """A table somebody holds locked stands for a database that takes questions and no answers."""
    connection = await connect_single(database, application_name="payments migrate")
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE schema_migrations")
            async with asyncio.timeout(3):
                replies = [await ingress.client.get("/health/ready") for _ in range(2)]
        for reply in replies:
            assert (reply.status, reply.text("status")) == (503, "unavailable")
            checks = reply.json["checks"]
            assert isinstance(checks, dict)
            assert checks["migrations"]["detail"] == "does not answer"
            assert checks["postgres"]["status"] == "ok"
    finally:
        await connection.close()
    await _ready(ingress, 200)


async def _ready(ingress: Ingress, status: int, saying: bytes = b"") -> Reply:
    """What readiness answers once it is that: on a busy machine Postgres may take its time."""
    replies = []

    async def is_so() -> bool:
        replies.append(await ingress.client.get("/health/ready"))
        return replies[-1].status == status and saying in replies[-1].body

    await eventually(is_so)
    return replies[-1]
