"""What holds on every route, as the router has them: methods, limits, overload, outage."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest

from api.access.rate_limits import Limit, RateClass
from api.access.scopes import Everyone
from api.routes import ROUTES
from store.write.group_commit import Limits
from tests.support.api.ingress import Options, running
from tests.support.api.possessions import nobodys, possessions
from tests.support.factories import TENANT

if TYPE_CHECKING:
    import asyncpg

    from process.addresses import RedisAddress
    from tests.support.api.ingress import Client

GUARDED: Final = [route for route in ROUTES if not isinstance(route.scope, Everyone)]
WRITING: Final = [route for route in GUARDED if route.method == "POST"]
CHANGING: Final = [route for route in GUARDED if route.method != "GET"]
# It shows what was measured, and asks nobody.
NOT_OF_THE_DATABASE: Final = {"/api/v1/streams"}
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
NOBODYS: Final = nobodys()


def _methods() -> dict[str, set[str]]:
    taken: defaultdict[str, set[str]] = defaultdict(set)
    for route in ROUTES:
        taken[route.path] |= {"GET", "HEAD"} if route.method == "GET" else {route.method}
    return taken


async def test_another_method_is_405_and_says_what_is_taken(client: Client) -> None:
    """`Allow` lists the methods of the address, HEAD with GET, whatever else was sent."""
    for path, taken in _methods().items():
        for method in set(METHODS) - taken:
            address = re.sub(r"\{\w+\}", "x", path)
            reply = await client.send(method, address, body=b"{" if method == "PUT" else None)
            assert (reply.status, reply.headers["Allow"]) == (405, ", ".join(sorted(taken))), path
            assert method == "HEAD" or reply.code == "method_not_allowed"


async def test_head_is_get_without_its_body(client: Client) -> None:
    """The same status and length on every route that can be got."""
    for route in ROUTES:
        if route.method == "GET" and "{" not in route.path and route.path != "/metrics":
            got, head = await client.get(route.path), await client.send("HEAD", route.path)
            assert (head.status, head.body) == (got.status, b"")


@pytest.mark.parametrize("rate_class", RateClass)
async def test_every_route_counts_against_its_limit(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress, rate_class: RateClass
) -> None:
    """What is left is said with the answer, a refusal's too; then 429, and when to come back."""
    options = Options(keys=True, limits={rate_class.value: Limit(0.01, 1)})
    async with running(pool, redis_address, options) as ingress:
        for route in GUARDED:
            if route.rate_class is not rate_class:
                continue
            client = await ingress.tenant(f"tenant of {route.operation_id}")
            passed = await NOBODYS.ask(client, route)
            assert passed.status in {200, 201, 404}, route.path
            assert passed.headers["RateLimit-Policy"] == f'"{rate_class}";q=1;w=100'
            assert passed.headers["RateLimit"].startswith(f'"{rate_class}";r=0;t=')
            refused = await NOBODYS.ask(client, route)
            assert (refused.status, refused.code) == (429, "rate_limited"), route.path
            assert refused.json["retryable"] is True
            assert 1 <= int(refused.headers["Retry-After"]) <= 100
            assert refused.headers["RateLimit"].startswith(f'"{rate_class}";r=0;t=')


async def test_what_is_refused_early_counts_too(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """A request without a key or with a body nobody can read is one of the tenant's requests."""
    options = Options(keys=True, limits={"write": Limit(0.01, 1)})
    async with running(pool, redis_address, options) as ingress:
        for route in WRITING:
            client = await ingress.tenant(f"tenant of {route.operation_id}")
            path = NOBODYS.path_of(route)
            assert (await client.post(path, b"{", key="a b")).status in {400, 404}, path
            assert (await NOBODYS.ask(client, route)).status == 429, path


async def test_a_parameter_that_no_write_takes_is_refused_by_name(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """Nothing is done, and the key stays free: who sends `dry_run` does not mean to pay."""
    async with running(pool, redis_address, Options()) as ingress:
        owned = await possessions(ingress, ingress.client, TENANT)
        for route in WRITING:
            path, body, key = owned.path_of(route), owned.body_of(route), str(uuid.uuid4())
            before = await pool.fetchval("SELECT count(*) FROM outbox")
            reply = await ingress.client.post(f"{path}?dry_run=true&%ff", body, key=key)
            assert (reply.status, reply.code) == (400, "parameter_unknown"), path
            errors = reply.json["errors"]
            assert isinstance(errors, list)
            assert [each["parameter"] for each in errors] == ["dry_run", "\ufffd"]
            assert {each["reason"] for each in errors} == {"is not known here"}
            assert await pool.fetchval("SELECT count(*) FROM outbox") == before
            assert (await ingress.client.post(f"{path}?", body, key=key)).status != 400


async def test_a_full_queue_is_503_on_every_route_that_writes(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """With a time to come back; nothing was done, so the same request may be sent again."""
    async with running(pool, redis_address, Options()) as ingress:
        owned = await possessions(ingress, ingress.client, TENANT)
    async with running(pool, redis_address, Options(commits=Limits(queue_max=0))) as ingress:
        for route in CHANGING:
            reply = await owned.ask(ingress.client, route)
            assert (reply.status, reply.code) == (503, "overloaded"), route.path
            assert int(reply.headers["Retry-After"]) >= 1
            assert reply.json["retryable"] is True


async def test_without_a_database_every_route_that_needs_it_is_503(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """Whether it reads or writes, in open mode or with keys to look up; never a 500."""
    async with running(pool, redis_address, Options()) as ingress:
        owned = await possessions(ingress, ingress.client, TENANT)
        await pool.close()
        for route in GUARDED:
            if route.path not in NOT_OF_THE_DATABASE:
                reply = await owned.ask(ingress.client, route)
                assert (reply.status, reply.code) == (503, "unavailable"), route.path
                assert reply.headers["Retry-After"] == "1"
                assert reply.json["retryable"] is True
        ready = await ingress.client.get("/health/ready")
        assert (ready.status, ready.text("status")) == (503, "unavailable")
        assert (await ingress.client.get("/health/live")).status == 200
    async with running(pool, redis_address, Options(keys=True)) as ingress:
        stranger = ingress.client.with_token("pk_0123456789abcdef_" + "x" * 43)
        for route in GUARDED:
            reply = await owned.ask(stranger, route)
            assert (reply.status, reply.code) == (503, "unavailable"), route.path
            assert reply.headers["Retry-After"] == "1"
