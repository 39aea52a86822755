"""What Postgres can do to a relay: restart, give its slot up, hold a row nobody can place."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from local import program
from local.embedded import postgres
from local.program import free_port
from process.addresses import DatabaseAddress
from store.migrations import migrate_up, read_migrations
from store.pool import connect, connect_single
from store.queries import query
from tests.support.front import Way, front_of
from tests.support.topics.outbox import Outbox, assert_mirrors, slowly
from tests.support.topics.relays import Relays, is_ready
from tests.support.waiting import PATIENCE, eventually
from topics.relay import connection as relay_connection
from topics.relay.failures import SourceFailure
from topics.relay.slot import connected
from topics.relay.source import WalStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    from local.program import Program
    from tests.support.topics.destinations import RedisDestination

# The server gives a slot up at a checkpoint, once it holds back more than this.
_TUNING = {
    **postgres.VOLATILE,
    "max_slot_wal_keep_size": "1MB",
    "min_wal_size": "32MB",
    "max_wal_size": "32MB",
}
_MEBIBYTE = 1024 * 1024
PATIENCE_S = 60.0


@dataclass
class Server:
    """A Postgres that can be restarted."""

    program: Program
    address: DatabaseAddress

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
        async with (
            program.running(self.program),
            await connect(self.address, application_name="tests", size=2) as pool,
        ):
            yield pool


@pytest.fixture
async def server(tmp_path: Path) -> Server:
    return await _server(tmp_path, _TUNING)


async def _server(tmp_path: Path, configuration: dict[str, str]) -> Server:
    port = free_port()
    prepared = await postgres.prepare(
        tmp_path / "data", port, log=tmp_path / "log", configuration=configuration
    )
    address = DatabaseAddress(
        host="127.0.0.1",
        port=port,
        user=postgres.ROLE,
        password="payments",
        database=postgres.DATABASE,
    )
    async with program.running(prepared):
        connection = await connect_single(address, application_name="payments migrate")
        await migrate_up(connection, read_migrations())
        await connection.close()
    return Server(prepared, address)


async def _assert_mirrored(relays: Relays, ids: set[UUID]) -> None:
    async def has_all() -> bool:
        return await relays.destination.count() >= len(ids)

    await eventually(has_all)
    assert_mirrors(await relays.destination.messages(), ids)


async def test_a_restarted_postgres_is_read_on(
    server: Server, redis_streams: RedisDestination
) -> None:
    """The relay connects again when the server is back and goes on where it was."""
    relays = Relays(server.address, redis_streams)
    async with AsyncExitStack() as stack:
        async with server.running() as pool:
            ids = set(await Outbox(pool).write_many(50))
            relay = await stack.enter_async_context(relays.running())
            await _assert_mirrored(relays, ids)
        await eventually(lambda: relay.value("restarts_total", reason="source") >= 1)
        async with server.running() as pool:
            ids |= set(await Outbox(pool).write_many(50))
            await _assert_mirrored(relays, ids)
            await stack.aclose()


async def test_a_connection_that_goes_dark_is_given_up_and_made_anew(
    server: Server, redis_streams: RedisDestination
) -> None:
    """No answer, no error, as when a cable is pulled: it is not taken for a quiet Postgres."""
    address = server.address
    async with server.running() as pool, front_of(address.host, address.port) as front:
        there = replace(address, port=front.port)
        relays = Relays(there, redis_streams, silence_seconds=1.5)
        async with relays.running() as relay:
            ids = set(await Outbox(pool).write_many(20))
            await _assert_mirrored(relays, ids)
            front.go(Way.DARK)
            ids |= set(await Outbox(pool).write_many(20))
            await eventually(lambda: relay.value("restarts_total", reason="source") >= 1)
            assert not relay.is_active()
            front.go(Way.OPEN)
            await _assert_mirrored(relays, ids)


async def test_a_quiet_postgres_is_not_given_up(
    server: Server, redis_streams: RedisDestination
) -> None:
    """It has nothing to say for many times as long, and answers when it is asked."""
    async with server.running() as pool:
        relays = Relays(server.address, redis_streams, silence_seconds=0.3)
        async with relays.running() as relay:
            ids = set(await Outbox(pool).write_many(5))
            await _assert_mirrored(relays, ids)
            began_at = await pool.fetchval("SELECT now()")

            async def is_long_quiet() -> bool:
                told = await pool.fetchval(
                    "SELECT max(reply_time) - $1 FROM pg_stat_replication", began_at
                )
                return bool(told and told > timedelta(seconds=2))

            await eventually(is_long_quiet)
            assert relay.value("restarts_total", reason="source") == 0


async def test_a_lost_slot_is_made_anew_and_the_gap_read_from_the_table(
    server: Server, redis_streams: RedisDestination
) -> None:
    """What was committed while nobody kept the WAL is published all the same, once."""
    relays = Relays(server.address, redis_streams)
    async with server.running() as pool:
        outbox = Outbox(pool)
        async with relays.running():
            await outbox.write_many(50)
            await _assert_mirrored(relays, await outbox.ids())
        await outbox.write_many(50)
        await eventually(lambda: _is_lost(pool, relays.slot), 30)
        await outbox.write_many(50)
        async with relays.running() as relay:
            assert relay.value("restarts_total", reason="slot_lost") == 1
            await outbox.write_many(50)
            await _assert_mirrored(relays, await outbox.ids())


async def _is_lost(pool: asyncpg.Pool[asyncpg.Record], slot: str) -> bool:
    """Write WAL until the server has had enough of keeping it."""
    await pool.execute("SELECT pg_logical_emit_message(false, 'fill', repeat('x', $1))", _MEBIBYTE)
    status = await pool.fetchval(
        "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", slot
    )
    return bool(status == "lost")


async def test_a_row_for_an_unknown_topic_is_never_passed_by(
    outbox: Outbox,
    pool: asyncpg.Pool[asyncpg.Record],
    database: DatabaseAddress,
    redis_streams: RedisDestination,
) -> None:
    """An older relay stays in front of what only a newer one can publish, and says so."""
    # As its migration has it, which declares one topic more.
    await pool.execute("ALTER TABLE outbox DROP CONSTRAINT outbox_topic_is_declared")
    relays = Relays(database, redis_streams)
    async with relays.running() as relay:
        await outbox.write([uuid4()], topic="payments.of_the_future")
        await eventually(lambda: relay.value("restarts_total", reason="undeclared_topic") >= 2)
        relay.abandon()
    assert await pool.fetchval(
        "SELECT count(*) > 0 FROM pg_logical_slot_peek_binary_changes("
        "$1, NULL, NULL, 'proto_version', '1', 'publication_names', 'payments_outbox') "
        "WHERE substr(data, 1, 1) = 'I'",
        relays.slot,
    )


async def test_a_postgres_that_decodes_no_wal_has_its_table_read(
    redis_streams: RedisDestination, tmp_path: Path
) -> None:
    """Told to read the WAL, a relay ends with a sentence that says what to do; else it works."""
    server = await _server(tmp_path, {**postgres.VOLATILE, "wal_level": "replica"})
    relays, log = Relays(server.address, redis_streams), tmp_path / "relay.log"
    async with server.running() as pool:
        async with relays.process(log) as process:
            assert await asyncio.wait_for(process.wait(), 30 * PATIENCE) == 2
        assert "PAYMENTS_OUTBOX_SOURCE=table" in log.read_text()
        await Outbox(pool).write_many(50)
        async with replace(relays, reads_table=True).running() as relay:
            await Outbox(pool).write_many(50)
            await _assert_mirrored(relays, await Outbox(pool).ids())
            # What an idle relay says to move its slot on is nothing here, and no error.
            await pool.execute(query("emit_heartbeat"))
            assert relay.value("restarts_total", reason="source") == 0


async def test_a_server_that_goes_before_it_is_asked_is_a_failure_like_others(
    database: DatabaseAddress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """The relay begins again; what it does not know of would end its process."""
    opened = await relay_connection.connect(database.conninfo("tests-gone"), replication="database")
    stream = WalStream(opened.pgconn, silence_seconds=15.0)
    await pool.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'tests-gone'"
    )
    with pytest.raises(SourceFailure):
        await stream.identify()
    with pytest.raises(SourceFailure):
        await stream.identify()
    await opened.close()


async def test_a_slot_that_another_creates_is_stood_by_for(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> None:
    """Postgres lists it while it waits for whoever is writing; nothing is confirmed of it then."""
    creator, other = tmp_path / "creator.log", tmp_path / "other.log"
    is_listed = "SELECT true FROM pg_replication_slots WHERE slot_name = $1"
    async with AsyncExitStack() as stack:
        async with pool.acquire() as writer, slowly(writer) as late:
            ids = set(await late.write([uuid4()]))
            await stack.enter_async_context(relays.process(creator))
            await eventually(lambda: pool.fetchval(is_listed, relays.slot), PATIENCE_S)
            await stack.enter_async_context(relays.process(other))
            await eventually(lambda: "is creating the slot" in other.read_text(), PATIENCE_S)
        await eventually(lambda: is_ready(creator), PATIENCE_S)
        ids |= set(await outbox.write_many(50))
        await _assert_mirrored(relays, ids)
        assert "crashed" not in other.read_text()


async def test_a_sink_that_is_dropped_while_a_relay_begins_is_a_failure_like_others(
    database: DatabaseAddress,
) -> None:
    """The relay knows it again when it begins anew."""
    async with connected(database.conninfo("tests-relay")) as postgres:
        with pytest.raises(SourceFailure, match="dropped redis"):
            await postgres.take_over("redis", "")
