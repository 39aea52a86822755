"""Limits and overload: who is asked to slow down, how it is told, what happens without Redis."""

import asyncio
from collections import Counter

import aiohttp
import asyncpg

from api.access.rate_limits import Limit
from api.http.observer import OBSERVER
from api.http.turns import Place, Turns
from process.addresses import RedisAddress
from store.write.group_commit import Limits
from tests.support.api.ingress import Client, Ingress, Options, running
from tests.support.api.visitor import visiting
from tests.support.waiting import eventually

# Two hundred payments a second are recorded, whatever the machine can do.
_SLOW = """
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END$$;
    CREATE TRIGGER dawdles BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION dawdle();
"""
_CROWD = 300


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


async def test_a_crowd_before_a_slow_database_is_answered_each_of_it_and_paid_once(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """Accepted, or 503 with when to come back; and who does, however soon, is accepted then.

    Who is let in before it is known how slow it is may wait for longer than anybody should.
    """
    await pool.execute(_SLOW)
    statuses: Counter[tuple[int, str]] = Counter()
    options = Options(commits=Limits(batch_max=16, gather_s=0.01, wait_s=1.0))
    async with (
        running(pool, redis_address, options) as ingress,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        crowd = Client(session, ingress.client.address)
        account = await crowd.account("1000000")

        async def is_accepted(key: str) -> bool:
            reply = await crowd.pay(account, "1", key=key)
            refused = reply.status != 202
            statuses[reply.status, str(reply.code) if refused else ""] += 1
            assert not refused or int(reply.headers["Retry-After"]) >= 1
            return not refused

        async def pays(name: str) -> None:
            for number in range(2):
                while not await is_accepted(f"{name}-{number}"):
                    assert (await crowd.get("/health/live")).status == 200

        async with asyncio.TaskGroup() as payers:
            for number in range(_CROWD):
                payers.create_task(pays(str(number)))
        sample = ingress.metrics.registry.get_sample_value
        rejected = sample("payments_http_requests_rejected_total", {"reason": "overload"}) or 0
    assert statuses.keys() <= {(202, ""), (503, "overloaded"), (503, "unavailable")}, statuses
    assert statuses[202, ""] == 2 * _CROWD
    assert statuses[503, "overloaded"] == rejected > 0
    assert await pool.fetchval("SELECT count(*) FROM payments") == 2 * _CROWD


class _Heard(Turns):
    """Turns that remember who took them."""

    def __init__(self) -> None:
        super().__init__()
        self.askers: list[str] = []

    async def take(self, asker: str, *, is_heard: bool = True) -> Place:
        self.askers.append(asker)
        return await super().take(asker, is_heard=is_heard)


async def test_everybody_takes_turns_of_its_own(guarded: Ingress) -> None:
    """Clients their tenant's, a console its tenant's operators', probes their own, others none."""
    turns = guarded.app[OBSERVER].turns = _Heard()
    secret = await guarded.key("acme")
    async with visiting(guarded) as browser:
        await browser.look("/console/payments")
        await browser.sign_in(secret)
        for _ in range(2):
            turns.askers.clear()
            await browser.look("/console/payments")
        assert turns.askers == ["acme/console"]
        await guarded.pool.execute("DELETE FROM console_sessions")
        assert (await browser.look("/console/payments")).status == 303
        turns.askers.clear()
        await browser.look("/console/payments")
    acme = guarded.client.with_token(secret)
    await acme.get("/api/v1/payments")
    await acme.get("/openapi.json")
    for path in ("/docs", "/openapi.json", "/api/v1/payments", "/health/ready", "/metrics"):
        await guarded.client.get(path)
    clients, others = ["", "acme", "acme"], ["", "", "", "/health/ready", "/metrics"]
    assert turns.askers == clients + others
