"""A key's answer is one of this database: none that a backup or a lost primary knows nothing of."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from local import program
from local.embedded import postgres
from local.program import free_port
from store.migrations import migrate_up, read_migrations
from store.pool import connect, connect_single
from tests.support.api.ingress import Options, running
from tests.support.fixtures.postgres import fresh_database
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress
    from tests.support.api.ingress import Client, Ingress, Reply


async def _assert_made_anew(client: Client, account: str, key: str, before: Reply) -> None:
    """The payment is gone with its database: the same request makes another one, which is there."""
    again = await client.pay(account, key=key)
    assert again.status == 202
    assert "Idempotent-Replayed" not in again.headers
    assert again.text("id") != before.text("id")
    assert (await client.get(again.headers["Location"])).status == 200
    assert (await client.pay(account, key=key)).body == again.body


async def _paid_and_cached(ingress: Ingress, account: str, key: str) -> Reply:
    """The answer, once it is the cache that gives it again."""
    before = _from_cache(ingress)

    async def is_cached() -> bool:
        await ingress.client.pay(account, key=key)
        return _from_cache(ingress) > before

    reply = await ingress.client.pay(account, key=key)
    await eventually(is_cached)
    return reply


async def _made_known(client: Client, account: str, key: str) -> None:
    """The cache is asked for keys that an ingress has seen: now this one is, for nothing."""
    body = {"source_account_id": account, "payment_type": "external_payment", "provider": "stripe"}
    amount = {"amount": "1.00", "currency": "USD"}
    refused = await client.post("/api/v1/payments", body | amount, key=key, If_Match='"999"')
    assert refused.status == 412


def _from_cache(ingress: Ingress) -> float:
    counted = "payments_idempotency_replays_total"
    return ingress.metrics.registry.get_sample_value(counted, {"source": "cache"}) or 0.0


async def test_a_backup_knows_nothing_of_what_came_after_it(
    postgres_server: DatabaseAddress, database: DatabaseAddress, redis_address: RedisAddress
) -> None:
    """Restored beside the database it was of, with the Redis that served that one."""
    key = str(uuid.uuid4())
    async with _at_work(database, redis_address) as ingress:
        account = await ingress.client.account()
    async with fresh_database(postgres_server, f"TEMPLATE {database.database}") as backup:
        async with _at_work(database, redis_address) as ingress:
            paid = await _paid_and_cached(ingress, account, key)
        async with _at_work(backup, redis_address) as ingress:
            await _made_known(ingress.client, account, key)
            await _assert_made_anew(ingress.client, account, key, paid)


async def test_a_server_put_back_under_a_running_ingress_is_another_one(
    redis_address: RedisAddress, tmp_path: Path
) -> None:
    """Its files are those of before, its system identifier and timeline too."""
    port, key = free_port(), str(uuid.uuid4())
    server = await postgres.prepare(
        tmp_path / "data", port, log=tmp_path / "log", configuration=postgres.VOLATILE
    )
    address = postgres.address(port)
    async with program.running(server):
        connection = await connect_single(address, application_name="payments migrate")
        await migrate_up(connection, read_migrations())
        await connection.close()
        async with _at_work(address, redis_address) as ingress:
            account = await ingress.client.account()
    await _copied(server.directory, tmp_path / "backup")
    process = await program.start(server)
    await program.until_ready(server, process, within_seconds=30)
    async with _at_work(address, redis_address) as ingress:
        paid = await _paid_and_cached(ingress, account, key)
        await program.stop(server, process, within_seconds=10)
        shutil.rmtree(server.directory)
        await _copied(tmp_path / "backup", server.directory)
        async with program.running(server):
            await eventually(lambda: _is_ready(ingress), 30)
            await _paid_and_cached(ingress, account, str(uuid.uuid4()))
            await _assert_made_anew(ingress.client, account, key, paid)


async def test_a_table_written_anew_is_another_one(
    ingress: Ingress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """As a dump is restored into a database that stays: seen within seconds, by itself."""
    account, key = await ingress.client.account(), str(uuid.uuid4())
    before = await _paid_and_cached(ingress, account, key)
    await pool.execute("TRUNCATE idempotency_keys")

    async def is_made_anew() -> bool:
        return (await ingress.client.pay(account, key=key)).body != before.body

    await eventually(is_made_anew)


@asynccontextmanager
async def _at_work(address: DatabaseAddress, redis_address: RedisAddress) -> AsyncIterator[Ingress]:
    async with (
        await connect(address, application_name="tests", size=4) as pool,
        running(pool, redis_address, Options()) as ingress,
    ):
        yield ingress


async def _is_ready(ingress: Ingress) -> bool:
    return (await ingress.client.get("/health/ready")).status == 200


async def _copied(source: Path, target: Path) -> None:
    """With their owners, who differ from us where we are root."""
    copying = await asyncio.create_subprocess_exec("cp", "-a", str(source), str(target))
    assert await copying.wait() == 0
