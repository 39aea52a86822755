"""Nobody stops everybody: an ingress beside a lock, a primary that takes no writes, and readers.

`python -m api` as an operator runs it, in front of a real Postgres with somebody else's sessions.
What is said of others is counted while the fault is there.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from api.access.authentication import new_secret
from api.handling.reads import Reads
from local.program import free_port, running
from store.read.api_keys import ApiKey
from store.write.api_keys import insert_api_key
from tests.support.api.ingress import ALL_SCOPES
from tests.support.api.launch import client_of
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from process.addresses import DatabaseAddress
    from tests.support.api.ingress import Client, Reply
    from tests.support.api.launch import Launch

    Pool = asyncpg.Pool[asyncpg.Record]

# A client of this patience sees everything that is promised within six seconds.
_SECONDS = 30.0


@pytest.fixture
async def client(launch: Launch) -> AsyncIterator[Client]:
    """Of an ingress in open mode."""
    port = free_port()
    async with running(launch.program(port)), client_of(port) as opened:
        yield opened


@asynccontextmanager
async def holding(pool: Pool, statement: str, *arguments: object) -> AsyncIterator[None]:
    """Somebody else's transaction, with what the statement locks."""
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute(statement, *arguments)
        # Longer than ours allows to its own.
        await holder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


def told(replies: list[Reply]) -> Counter[tuple[int, object]]:
    """How they were answered, by status and code."""
    return Counter((each.status, each.code if each.status >= 400 else None) for each in replies)


async def test_a_locked_account_is_its_owners_trouble(client: Client, pool: Pool) -> None:
    """All others' payments are accepted; its own are refused in time, and are not in flight."""
    locked, free = await client.account(), await client.account()
    lock = "SELECT FROM accounts WHERE id = $1 FOR UPDATE"
    keys = [str(uuid.uuid4()) for _ in range(5)]

    async def tried() -> list[Reply]:
        return await asyncio.gather(*(client.pay(locked, "1", key=each) for each in keys))

    async with holding(pool, lock, uuid.UUID(locked)):
        async with in_time(_SECONDS):
            waiting = asyncio.ensure_future(tried())
            for _ in range(10):
                others = await asyncio.gather(*(client.pay(free, "1") for _ in range(10)))
                assert told(others) == {(202, None): 10}
            refused = await waiting
        assert told(refused) == {(503, "unavailable"): 5}
        assert {each.headers["Retry-After"] for each in refused} == {"1"}
    assert told(await tried()) == {(202, None): 5}
    assert told(await tried()) == {(202, None): 5}
    assert await pool.fetchval("SELECT count(*) FROM payments") == 105


async def test_a_locked_outbox_is_a_503_in_time_and_no_key_is_in_flight(
    client: Client, pool: Pool
) -> None:
    """Everybody needs it; with the same keys all is done once when it is free again."""
    account, keys = await client.account(), [str(uuid.uuid4()) for _ in range(20)]

    async def tried() -> list[Reply]:
        return await asyncio.gather(*(client.pay(account, "1", key=each) for each in keys))

    async with holding(pool, "LOCK TABLE outbox"), in_time(_SECONDS):
        assert told(await tried()) == {(503, "unavailable"): 20}
    assert told(await tried()) == {(202, None): 20}
    assert await pool.fetchval("SELECT count(*) FROM payments") == 20


async def test_while_the_primary_takes_no_writes_it_is_not_ready_and_then_it_is(
    client: Client, pool: Pool, database: DatabaseAddress
) -> None:
    """503 and not 500, reading goes on, readiness says why; and nobody restarts anything."""
    account = await client.account()
    await pool.execute(f"ALTER DATABASE {database.database} SET default_transaction_read_only = on")
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'payments-api-%'"
    )

    async def is_told_why() -> bool:
        ready = await client.get("/health/ready")
        return ready.status == 503 and b"takes no writes" in ready.body

    await eventually(is_told_why)
    replies = [await client.pay(account, "1") for _ in range(5)]
    assert told(replies) == {(503, "unavailable"): 5}
    assert {each.headers["Retry-After"] for each in replies} == {"1"}
    assert (await client.get(f"/api/v1/accounts/{account}")).status == 200
    await pool.execute(f"ALTER DATABASE {database.database} RESET default_transaction_read_only")

    async def is_ready() -> bool:
        return (await client.get("/health/ready")).status == 200

    async def is_accepted() -> bool:
        return (await client.pay(account, "1")).status == 202

    await eventually(is_ready)
    await eventually(is_accepted)
    assert told([await client.pay(account, "1") for _ in range(10)]) == {(202, None): 10}


async def test_readers_who_wait_keep_nobody_else_waiting(launch: Launch, pool: Pool) -> None:
    """Neither readiness, nor a key that was never seen, nor a payment."""
    port = free_port()
    tokens = [await _key(pool) for _ in range(6)]
    # One tenant would have half of the connections.
    reading = [tokens[0], await _key(pool, "other")]
    async with (
        running(launch.program(port, PAYMENTS_AUTH_MODE="keys")),
        client_of(port) as nobody,
    ):
        account = await nobody.with_token(tokens[0]).account()
        async with holding(pool, "LOCK TABLE dead_letters"), in_time(_SECONDS):
            readers = [
                asyncio.ensure_future(nobody.with_token(each).get("/api/v1/dead-letters"))
                for each in reading * 20
            ]
            await eventually(lambda: _are_waiting(pool))
            ready = [await nobody.get("/health/ready") for _ in range(10)]
            paid = [await nobody.with_token(each).pay(account, "1") for each in tokens]
            strangers = [
                await nobody.with_token(new_secret().text).get("/api/v1/payments")
                for _ in range(20)
            ]
        assert told(ready) == {(200, None): 10}
        assert told(paid) == {(202, None): len(tokens)}
        assert told(strangers) == {(401, "unauthorized"): 20}
        await asyncio.gather(*readers)


async def test_who_reads_events_leaves_others_their_half(launch: Launch, pool: Pool) -> None:
    """The feed as any list: one tenant's pages stand before a lock, and another reads on."""
    port = free_port()
    async with (
        running(launch.program(port, PAYMENTS_AUTH_MODE="keys")),
        client_of(port) as nobody,
    ):
        greedy = nobody.with_token(await _key(pool, "greedy"))
        other = nobody.with_token(await _key(pool, "other"))
        account = await other.account()
        async with holding(pool, "LOCK TABLE outbox_dropped"), in_time(_SECONDS):
            pages = [asyncio.ensure_future(greedy.get("/api/v1/events")) for _ in range(40)]
            await eventually(lambda: _is_one_waiting(pool))
            read = [await other.get(f"/api/v1/accounts/{account}") for _ in range(20)]
        assert told(read) == {(200, None): 20}
        await asyncio.gather(*pages)


async def _is_one_waiting(pool: Pool) -> bool:
    """Whether a connection that reads for clients stands before the lock."""
    waiting = await pool.fetchval(
        "SELECT bool_or(wait_event_type = 'Lock') FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'payments-api-read'"
    )
    return bool(waiting)


async def _are_waiting(pool: Pool) -> bool:
    """Whether every connection that reads for clients stands before the lock."""
    waiting = await pool.fetchval(
        "SELECT bool_and(wait_event_type = 'Lock') FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'payments-api-read'"
    )
    return bool(waiting)


async def _key(pool: Pool, tenant_id: str = "acme") -> str:
    """A new key of the tenant."""
    secret = new_secret()
    key = ApiKey(
        id=secret.key_id,
        tenant_id=tenant_id,
        name="test",
        secret_sha256=secret.secret_sha256,
        scopes=frozenset(ALL_SCOPES),
        created_at=datetime.now(UTC),
    )
    async with pool.acquire() as connection:
        await insert_api_key(connection, key)
    return secret.text


async def test_no_tenant_reads_on_more_than_half_of_the_connections(pool: Pool) -> None:
    """Others find the other half; it goes on when one of its own is done."""
    reads, entered, over = Reads(pool), list[str](), asyncio.Event()

    async def read(tenant_id: str) -> None:
        async with reads.of(tenant_id):
            entered.append(tenant_id)
            await over.wait()

    greedy = [asyncio.ensure_future(read("greedy")) for _ in range(5)]
    await eventually(lambda: len(entered) == 2)
    others = [asyncio.ensure_future(read(each)) for each in ("one", "other")]
    await eventually(lambda: len(entered) == 4)
    assert sorted(entered) == ["greedy", "greedy", "one", "other"]
    over.set()
    await asyncio.gather(*greedy, *others)
    assert len(entered) == 7
