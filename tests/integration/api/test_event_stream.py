"""The feed of events as a stream: who listens hears all of it, and is told when that is over."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from api.feed.feed import FeedLimits
from api.feed.listeners import Listener
from local.program import free_port, start, stop, until_ready
from local.program import running as program_running
from store.read.feed import FeedFilters
from store.write.api_keys import revoke_api_key
from tests.support.api.feed import end_of_feed, late, listening, page, read_all, refused
from tests.support.api.ingress import Client, Ingress, Options, running
from tests.support.api.launch import Launch, client_of
from tests.support.api.stage import settle
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from process.addresses import RedisAddress

_LIMITS = FeedLimits(heartbeat_s=0.1, patience_s=0.5)


@pytest.fixture
async def heard(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> AsyncIterator[Ingress]:
    """An ingress that keeps its listeners, and often says that it is there."""
    async with running(pool, redis_address, Options(feed=_LIMITS)) as ingress:
        yield ingress


@pytest.fixture
async def heard_with_keys(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> AsyncIterator[Ingress]:
    """The same, where one needs a key."""
    async with running(pool, redis_address, Options(keys=True, feed=_LIMITS)) as ingress:
        yield ingress


async def test_a_listener_hears_what_was_and_what_comes(heard: Ingress) -> None:
    """The events of a page, the same bytes, in the same order, under their cursors."""
    client = heard.client
    account = await client.account()
    before = [(await client.pay(account)).text("id") for _ in range(3)]
    async with listening(client) as ear:
        assert [each["payment_id"] for each in await ear.hear(3)] == before
        paid = (await client.pay(account)).text("id")
        (created,) = await ear.hear()
        await settle(heard.committer, paid)
        (completed,) = await ear.hear()
        assert [created["payment_id"], completed["payment_id"]] == [paid, paid]
        assert [created["sequence"], completed["sequence"]] == [1, 2]
        assert ear.last_id == completed["cursor"]
    assert ear.events == await read_all(client)


async def test_nothing_between_keeps_it_or_packs_it(heard: Ingress) -> None:
    """The headers that proxies go by; a connection of its own; HEAD has no stream."""
    async with listening(heard.client) as ear:
        headers = ear.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Connection"] == "close"
        assert "Content-Length" not in headers
        assert "Content-Encoding" not in headers
    reply = await heard.client.send("HEAD", "/api/v1/events/stream")
    assert (reply.status, reply.body) == (200, b"")


async def test_a_listener_goes_on_behind_its_last_id(heard: Ingress) -> None:
    """Nothing again and nothing missing; the header is newer than the address is."""
    client = heard.client
    account = await client.account()
    ids = [(await client.pay(account)).text("id") for _ in range(6)]
    begun = await page(client, limit=1)
    async with listening(client, cursor=begun.next_cursor) as ear:
        assert [each["payment_id"] for each in await ear.hear(2)] == ids[1:3]
        last_id = str(ear.events[-1]["cursor"])
    async with listening(client, last_id, cursor=begun.next_cursor) as ear:
        assert [each["payment_id"] for each in await ear.hear(3)] == ids[3:]


async def test_a_heartbeat_moves_the_last_id_on(heard: Ingress) -> None:
    """Of a listener who wants little: what it does not want is behind it all the same."""
    client = heard.client
    account = await client.account()
    async with listening(client, types="payment.failed", cursor=await end_of_feed(client)) as ear:
        await ear.block()
        assert ear.retry is not None
        first_id = ear.last_id
        await client.pay(account)
        end = await end_of_feed(client)
        while ear.last_id != end:
            await ear.block()
        assert ear.last_id != first_id
        assert ear.comments
        assert ear.events == []


async def test_a_listener_never_skips_what_commits_late(heard: Ingress) -> None:
    """Whoever listens hears the late one first, and only then what was committed before it."""
    client = heard.client
    account = await client.account()
    await client.pay(account)
    async with listening(client, cursor=await end_of_feed(client)) as ear:
        async with late(heard.pool):
            position = (await client.pay(account)).headers["Stream-Position"]
            behind = await client.get(f"/api/v1/events?after_position={position}")
            assert (behind.status, behind.code) == (503, "feed_behind")
            # It has looked since; whatever it told this listener came before the next heartbeat.
            heartbeats = len(ear.comments)
            while len(ear.comments) < heartbeats + 10:
                await ear.block()
            assert ear.events == []
        assert [each["type"] for each in await ear.hear(2)] == ["payment.review", "payment.created"]


async def test_listeners_hear_their_own_tenant_alone(heard_with_keys: Ingress) -> None:
    """Each its own events and nobody else's, by one question for all of them."""
    tenants = [await heard_with_keys.tenant(f"tenant-{number}") for number in range(3)]
    accounts = [await each.account() for each in tenants]
    async with (
        listening(tenants[0]) as first,
        listening(tenants[1]) as second,
        listening(tenants[1], types="payment.completed") as third,
    ):
        paid = [
            (await each.pay(account)).text("id")
            for each, account in zip(tenants, accounts, strict=True)
        ]
        assert [each["payment_id"] for each in await first.hear()] == [paid[0]]
        assert [each["payment_id"] for each in await second.hear()] == [paid[1]]
        for ear in (first, second, third):
            seen = len(ear.events)
            while not ear.comments:
                await ear.block()
            assert len(ear.events) == seen


async def test_filters_hold_for_listeners_as_for_pages(heard: Ingress) -> None:
    """Whether an event is read from the table or heard as it comes."""
    client = heard.client
    payer, payee = await client.account(), await client.account()
    body = {
        "source_account_id": payer,
        "destination_account_id": payee,
        "amount": 1,
        "currency": "USD",
    }
    for asked in ({"account_id": payee}, {"types": "transfer.completed"}):
        async with listening(client, **asked, cursor=await end_of_feed(client)) as ear:
            await client.pay(payer)
            moved = (await client.post("/api/v1/transfers", body)).text("id")
            assert [each["payment_id"] for each in await ear.hear()] == [moved]
        assert [each["type"] for each in await read_all(client, **asked)][-1] == (
            "transfer.completed"
        )


async def test_a_hostile_last_id_is_refused(heard: Ingress) -> None:
    """By name, and without a stream; a cursor that is too old is 410 here, too."""
    for sent in ("x", "x" * 22, "A" * 5000, "'--", "1", "\u00e9" * 22, "AAAA,AAAA"):
        reply = await heard.client.send(
            "GET", "/api/v1/events/stream", headers={"Last-Event-ID": sent}
        )
        assert refused(reply) == (422, "invalid_request", "Last-Event-ID"), sent


async def test_who_does_not_read_is_cut_off_and_goes_on_later(heard: Ingress) -> None:
    """It costs nobody anything: what was sent is bounded, and the others hear all the while."""
    client = heard.client
    await client.pay(await client.account())
    await _flood(heard.pool)
    url = urlsplit(client.address)
    with socket.create_connection((url.hostname, url.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(b"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        async with listening(client, types="payment.failed") as ear:
            async with late(heard.pool, "payment.failed"):
                pass
            await ear.hear()
            await eventually(lambda: _ended(heard, "slow") == 1)
            async with late(heard.pool, "payment.failed"):
                pass
            await ear.hear()
    await eventually(lambda: len(heard.deps.feed.listeners) == 0)


async def test_a_listener_that_left_makes_room(heard: Ingress) -> None:
    """Its client is gone, though nothing was said to it meanwhile."""
    async with listening(heard.client):
        assert len(heard.deps.feed.listeners) == 1
    await eventually(lambda: len(heard.deps.feed.listeners) == 0)
    assert _ended(heard, "gone") == 1


async def test_no_more_may_listen_than_there_is_room_for(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """Who comes too many is told when to come again; no tenant takes all of the places."""
    limits = FeedLimits(listeners_max=4)
    async with running(pool, redis_address, Options(keys=True, feed=limits)) as ingress:
        greedy, other = await ingress.tenant("greedy"), await ingress.tenant("other")
        async with listening(greedy), listening(greedy):
            reply = await greedy.get("/api/v1/events/stream")
            assert (reply.status, reply.code) == (503, "overloaded")
            assert int(reply.headers["Retry-After"]) >= 1
            async with listening(other), listening(other):
                assert (await other.get("/api/v1/events/stream")).status == 503
            assert (await greedy.get("/api/v1/events")).status == 200


async def test_a_key_that_was_revoked_hears_no_more(heard_with_keys: Ingress) -> None:
    """By the next heartbeat after it is known to be."""
    token = await heard_with_keys.key("acme")
    client = heard_with_keys.client.with_token(token)
    async with listening(client) as ear:
        async with heard_with_keys.pool.acquire() as connection:
            await revoke_api_key(connection, token.split("_")[1], datetime.now(UTC))
        await ear.end()
    assert ear.comments[-1] == "unauthorized; come again"


async def test_a_revoked_key_hears_no_more_though_there_is_always_news(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """One that is sent no heartbeat, because an event always comes before it."""
    limits = FeedLimits(heartbeat_s=1.0)
    async with running(pool, redis_address, Options(keys=True, feed=limits)) as ingress:
        token, payer = await ingress.key("acme"), await ingress.tenant("acme")
        async with listening(ingress.client.with_token(token)) as ear, asyncio.TaskGroup() as tasks:
            paying = tasks.create_task(_pay_on(payer))
            await ear.hear()
            async with pool.acquire() as connection:
                await revoke_api_key(connection, token.split("_")[1], datetime.now(UTC))
            await ear.end()
            paying.cancel()
    assert ear.comments[-1] == "unauthorized; come again"


async def _pay_on(client: Client) -> None:
    """One payment after the other, until it is cancelled."""
    account = await client.account()
    while True:
        assert (await client.pay(account, "1")).status == 202


async def test_who_is_behind_reads_on_when_its_tenant_has_its_turn(heard: Ingress) -> None:
    """However many of another tenant are behind, and whatever that one reads besides."""
    feed, reads, order = heard.deps.feed, heard.deps.reads, list[str]()

    async def read_on(tenant_id: str) -> None:
        await feed.read_on(Listener(tenant_id, FeedFilters(), 0, lambda: False), 50)
        order.append(tenant_id)

    async with AsyncExitStack() as pages:
        for _ in range(heard.pool.get_max_size() // 2):
            await pages.enter_async_context(reads.of("crowd"))
        async with asyncio.TaskGroup() as tasks:
            for tenant_id in (*["crowd"] * 30, "other"):
                tasks.create_task(read_on(tenant_id))
    assert order.index("other") <= 1
    assert len(order) == 31


async def test_the_feed_goes_on_when_postgres_is_back(heard: Ingress) -> None:
    """Every connection is cut: whoever listened hears all that came."""
    client = heard.client
    account = await client.account()
    async with listening(client, cursor=await end_of_feed(client)) as ear:
        await ear.block()
        async with heard.pool.acquire() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        paid = []

        async def is_paid() -> bool:
            reply = await client.pay(account, key="k")
            paid.append(reply.json.get("id"))
            return reply.status == 202

        await eventually(is_paid)
        assert [each["payment_id"] for each in await ear.hear()] == paid[-1:]


async def test_a_restart_skips_nothing(launch: Launch) -> None:
    """Told to stop, it tells its listeners and ends at once; the next one goes on for them."""
    port = free_port()
    program = launch.program(port)
    process = await start(program)
    await until_ready(program, process, within_seconds=30)
    async with client_of(port) as client:
        account = await client.account()
        async with listening(client) as ear, listening(client, types="payment.failed") as other:
            heard = [(await client.pay(account)).text("id")]
            await ear.hear()
            assert await stop(program, process, within_seconds=20)
            await ear.end()
            await other.end()
        for each in (ear, other):
            assert each.comments[-1] == "closing; come again"
    assert process.returncode == 0
    assert "Traceback" not in program.log.read_text()
    async with program_running(launch.program(port)), client_of(port) as client:
        heard += [(await client.pay(account)).text("id") for _ in range(2)]
        async with listening(client, ear.last_id) as again, listening(client, other.last_id):
            assert [each["payment_id"] for each in await again.hear(2)] == heard[1:]


def _ended(ingress: Ingress, reason: str) -> float | None:
    return ingress.metrics.registry.get_sample_value(
        "payments_feed_listeners_ended_total", {"reason": reason}
    )


async def _flood(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Ten megabytes of events of the tenant there is, more than lies between two sockets."""
    await pool.execute(
        "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, tenant_id, sequence,"
        " occurred_at, recorded_at)"
        " SELECT gen_random_uuid(), aggregatetype, aggregateid, type, jsonb_set("
        "   payload::jsonb, '{payment,description}', to_jsonb(repeat('x', 20000))"
        " )::json, tenant_id, sequence, occurred_at, recorded_at"
        " FROM outbox CROSS JOIN generate_series(1, 500)"
        " WHERE aggregatetype = 'payments.events'"
    )
