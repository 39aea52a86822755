"""One key, one effect, one answer: retried, raced, replayed from Redis and from Postgres."""

import asyncio
import uuid

import asyncpg
import redis.asyncio
from prometheus_client import CollectorRegistry

from process.addresses import RedisAddress
from tests.support.api.ingress import Client, Ingress, Options, Reply, running
from tests.support.api.stage import settle


def _replayed(reply: Reply) -> bool:
    return reply.headers.get("Idempotent-Replayed") == "true"


def _counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def _payments(client: Client) -> int:
    data = (await client.get("/api/v1/payments?limit=100")).json["data"]
    assert isinstance(data, list)
    return len(data)


async def test_thirty_requests_with_one_key_are_one_payment(client: Client) -> None:
    """Sent at once, they make one payment and get thirty equal answers."""
    account, key = await client.account(), str(uuid.uuid4())
    replies = await asyncio.gather(*(client.pay(account, key=key) for _ in range(30)))
    assert {reply.status for reply in replies} == {202}
    assert len({reply.body for reply in replies}) == 1
    assert sum(not _replayed(reply) for reply in replies) == 1
    assert await _payments(client) == 1
    held = (await client.get(f"/api/v1/accounts/{account}/balance")).json
    assert held["pending"] == "50.00"


async def test_a_replay_is_byte_for_byte_from_redis_and_from_postgres(
    ingress: Ingress, redis_client: redis.asyncio.Redis
) -> None:
    """The first answer comes back from the cache and, after Redis was emptied, from Postgres."""
    client, key = ingress.client, str(uuid.uuid4())
    account = await client.account()
    first = await client.pay(account, key=key)
    assert not _replayed(first)
    for source in ("cache", "postgres", "cache"):
        if source == "postgres":
            await redis_client.flushall()
        again = await client.pay(account, key=key)
        assert _replayed(again)
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    replays = "payments_idempotency_replays_total"
    assert _counted(ingress.metrics.registry, replays, source="cache") == 2
    assert _counted(ingress.metrics.registry, replays, source="postgres") == 1
    assert await _payments(client) == 1


async def test_without_redis_nothing_changes_but_a_metric(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    """With Redis away, keys are as good as ever, and the metric says what was done without."""
    nowhere = RedisAddress("127.0.0.1", 1)
    async with running(pool, nowhere, Options()) as ingress:
        account, key = await ingress.client.account(), str(uuid.uuid4())
        replies = [await ingress.client.pay(account, key=key) for _ in range(3)]
        assert len({reply.body for reply in replies}) == 1
        assert [_replayed(reply) for reply in replies] == [False, True, True]
        degraded = "payments_redis_degraded_total"
        assert _counted(ingress.metrics.registry, degraded, use="idempotency_cache") > 0


async def test_the_same_key_for_another_request_is_refused(
    ingress: Ingress, redis_client: redis.asyncio.Redis
) -> None:
    """Another body, path or method is 422, whether Redis or Postgres remembers the key."""
    client, key = ingress.client, str(uuid.uuid4())
    account = await client.account()
    payment = (await client.pay(account, key=key)).text("id")
    for flushed in (False, True):
        if flushed:
            await redis_client.flushall()
        for reply in (
            await client.pay(account, "51.00", key=key),
            await client.pay(account, currency="EUR", key=key),
            await client.post(f"/api/v1/payments/{payment}/refund", {}, key=key),
            await client.post("/api/v1/accounts", {"user_id": "u", "currency": "USD"}, key=key),
        ):
            assert (reply.status, reply.code) == (422, "idempotency_key_reused")
            assert not _replayed(reply)
    assert await _payments(client) == 1


async def test_the_same_request_may_be_written_differently(client: Client) -> None:
    """Spaces, order and the digits of an equal number are no other request; nor are quotes."""
    account, key = await client.account(), str(uuid.uuid4())
    compact = (
        f'{{"payment_type":"external_payment","source_account_id":"{account}","amount":50,'
        '"currency":"USD","provider":"stripe"}'
    )
    spaced = (
        '{ "provider": "stripe", "currency": "USD", "amount": 50.00, '
        f'"source_account_id": "{account}", "payment_type": "external_payment" }}'
    )
    replies = [
        await client.post("/api/v1/payments", body.encode(), key=sent)
        for body in (compact, spaced)
        for sent in (key, f'"{key}"')
    ]
    assert {reply.status for reply in replies} == {202}
    assert len({reply.body for reply in replies}) == 1


async def test_an_id_in_capitals_is_the_same_id(ingress: Ingress) -> None:
    """In the path as anywhere: the same request, found and answered as it was."""
    client = ingress.client
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingress.committer, payment)
    paths = [f"/api/v1/payments/{written}/refund" for written in (payment, payment.upper())]
    for first, second in (paths, paths[::-1]):
        key = str(uuid.uuid4())
        made = await client.post(first, {"amount": "1.00"}, key=key)
        assert made.status == 202
        again = await client.post(second, {"amount": "1.00"}, key=key)
        assert (again.status, again.body) == (made.status, made.body)
        assert _replayed(again)
    shown = await client.get(f"/api/v1/payments/{payment.upper()}")
    assert (shown.status, shown.text("refundable")) == (200, "48.00")


async def test_a_business_refusal_is_replayed_too(client: Client) -> None:
    """A payment that was refused stays refused under its key, whatever has changed since."""
    account, key = await client.account("10.00"), str(uuid.uuid4())
    first = await client.pay(account, key=key)
    assert (first.status, first.code) == (422, "insufficient_funds")
    rich = await client.account("100.00")
    body = {
        "source_account_id": rich,
        "destination_account_id": account,
        "amount": 90,
        "currency": "USD",
    }
    assert (await client.post("/api/v1/transfers", body)).status == 201
    again = await client.pay(account, key=key)
    assert (again.status, again.body) == (first.status, first.body)
    assert _replayed(again)
    assert (await client.pay(account)).status == 202


async def test_what_is_not_acceptable_leaves_the_key_free(client: Client) -> None:
    """A request that was never understood had no effect, so its key may be used rightly."""
    account, key = await client.account(), str(uuid.uuid4())
    assert (await client.pay(account, "abc", key=key)).status == 422
    assert (await client.post("/api/v1/payments", b"{", key=key)).status == 400
    assert (await client.pay(account, key=key)).status == 202


async def test_a_key_belongs_to_its_tenant(guarded: Ingress) -> None:
    """Two tenants may use one key; neither sees the other's answer."""
    acme, other = await guarded.tenant("acme"), await guarded.tenant("other")
    key = str(uuid.uuid4())
    accounts = {client: await client.account() for client in (acme, other)}
    replies = [await client.pay(account, key=key) for client, account in accounts.items()]
    assert [reply.status for reply in replies] == [202, 202]
    assert replies[0].text("id") != replies[1].text("id")
    again = [await client.pay(account, key=key) for client, account in accounts.items()]
    assert [reply.body for reply in again] == [reply.body for reply in replies]
    assert all(map(_replayed, again))


async def test_where_a_key_is_required_it_is_asked_for(client: Client) -> None:
    """Payments, transfers, refunds and captures need one; accounts and cancels take one."""
    payment = (await client.pay(await client.account())).text("id")
    for path in (
        "/api/v1/payments",
        "/api/v1/transfers",
        f"/api/v1/payments/{payment}/refund",
        f"/api/v1/payments/{payment}/capture",
    ):
        reply = await client.post(path, {}, key=None)
        assert (reply.status, reply.code) == (400, "idempotency_key_missing"), path
        reply = await client.post(path, {}, key="a b")
        assert (reply.status, reply.code) == (400, "idempotency_key_invalid"), path
    account, key = {"user_id": "u", "currency": "USD"}, str(uuid.uuid4())
    opened = [await client.post("/api/v1/accounts", account, key=key) for _ in range(2)]
    assert opened[0].body == opened[1].body
    cancels = [await client.post(f"/api/v1/payments/{payment}/cancel", key="c") for _ in range(2)]
    assert [reply.status for reply in cancels] == [200, 200]
    assert cancels[0].body == cancels[1].body
    assert (await client.post(f"/api/v1/payments/{payment}/cancel", key=None)).status == 409
