"""Limits and overload: who is asked to slow down, how it is told, what happens without Redis."""

import asyncio

import asyncpg

from api.access.rate_limits import Limit
from process.addresses import RedisAddress
from store.write.group_commit import Limits
from tests.support.api.ingress import Options, running
from tests.support.waiting import eventually


async def test_a_tenant_over_its_limit_is_told_when_to_try_again(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """A burst passes, the next is 429 with Retry-After; other tenants and reads are not touched."""
    limits = {"write": Limit(0.5, 3), "read": Limit(1000, 1000)}
    async with running(pool, redis_address, Options(keys=True, limits=limits)) as ingress:
        acme, other = await ingress.tenant("acme"), await ingress.tenant("other")
        body = {"user_id": "u", "currency": "USD"}
        allowed = [await acme.post("/api/v1/accounts", body) for _ in range(3)]
        assert [reply.status for reply in allowed] == [201, 201, 201]
        assert [reply.headers["RateLimit"].split(";")[1] for reply in allowed] == [
            "r=2",
            "r=1",
            "r=0",
        ]
        assert allowed[0].headers["RateLimit-Policy"] == '"write";q=3;w=6'
        refused = await acme.post("/api/v1/accounts", body)
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert refused.json["retryable"] is True
        assert refused.headers["Retry-After"] == "2"
        assert refused.headers["RateLimit"].startswith('"write";r=0;')
        assert (await other.post("/api/v1/accounts", body)).status == 201
        assert (await acme.get("/api/v1/payments")).status == 200


async def test_a_limit_is_one_for_all_processes(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """However requests are spread, no more than the burst passes."""
    options = Options(limits={"write": Limit(0.01, 10)})
    body = {"user_id": "u", "currency": "USD"}
    async with (
        running(pool, redis_address, options) as one,
        running(pool, redis_address, options) as two,
    ):
        replies = await asyncio.gather(
            *(each.client.post("/api/v1/accounts", body) for _ in range(15) for each in (one, two))
        )
    assert sorted(reply.status for reply in replies) == [201] * 10 + [429] * 20


async def test_an_account_is_limited_by_itself(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """Payments from one source account count against it, and against no other."""
    options = Options(limits={"account": Limit(0.01, 2)})
    async with running(pool, redis_address, options) as ingress:
        hot, cold = await ingress.client.account(), await ingress.client.account()
        statuses = [(await ingress.client.pay(hot, "1")).status for _ in range(4)]
        assert statuses == [202, 202, 429, 429]
        assert (await ingress.client.pay(cold, "1")).status == 202


async def test_a_limit_lets_everybody_pass_while_redis_is_away(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    """Fail open: payments go on, and a metric says that nobody counts."""
    options = Options(limits={"write": Limit(0.01, 1)})
    async with running(pool, RedisAddress("127.0.0.1", 1), options) as ingress:
        body = {"user_id": "u", "currency": "USD"}
        statuses = [(await ingress.client.post("/api/v1/accounts", body)).status for _ in range(3)]
        assert statuses == [201, 201, 201]
        sample = ingress.metrics.registry.get_sample_value
        labels = {"limit": "write", "decision": "unavailable"}
        assert sample("payments_rate_limit_decisions_total", labels) == 3


async def test_a_limit_comes_back_with_time(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """After the time it was told, a client passes again."""
    options = Options(limits={"write": Limit(2, 1)})
    async with running(pool, redis_address, options) as ingress:
        body = {"user_id": "u", "currency": "USD"}
        assert (await ingress.client.post("/api/v1/accounts", body)).status == 201
        assert (await ingress.client.post("/api/v1/accounts", body)).status == 429

        async def passes() -> bool:
            return (await ingress.client.post("/api/v1/accounts", body)).status == 201

        await eventually(passes, within=5)


async def test_a_full_queue_is_503_and_says_when_to_come_back(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """Nothing was done, nothing is remembered, and reading goes on."""
    async with running(pool, redis_address, Options(commits=Limits(queue_max=0))) as ingress:
        reply = await ingress.client.post("/api/v1/accounts", {"user_id": "u", "currency": "USD"})
        assert (reply.status, reply.code) == (503, "overloaded")
        assert int(reply.headers["Retry-After"]) >= 1
        assert reply.json["retryable"] is True
        assert (await ingress.client.get("/api/v1/payments")).status == 200
        sample = ingress.metrics.registry.get_sample_value
        assert sample("payments_http_requests_rejected_total", {"reason": "overload"}) == 1


async def test_who_comes_to_a_full_queue_is_refused_before_the_body_is_read(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """However little there is to be made of it: reading it would be work in vain."""
    async with running(pool, redis_address, Options(commits=Limits(queue_max=0))) as ingress:
        for body in (b"{", b'{"amount": 1}'):
            reply = await ingress.client.post("/api/v1/payments", body)
            assert (reply.status, reply.code) == (503, "overloaded")
