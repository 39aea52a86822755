"""The embedded servers: what survives a stop, who may connect, and what a broken start leaves."""

from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from local.embedded import kafka, postgres, valkey
from local.program import Program, StartError, free_port, running
from process.addresses import DatabaseAddress
from store.pool import connect_single
from topics.names import ACCOUNTS


async def test_postgres_keeps_its_data_and_replaces_a_start_that_was_killed(
    tmp_path: Path,
) -> None:
    """A half-made data directory of an earlier try is thrown away, a whole one is used again."""
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18")
    port = free_port()
    for statement in ("CREATE TABLE kept AS SELECT 1 AS one", "TABLE kept"):
        program = await postgres.prepare(tmp_path / "data", port, log=tmp_path / "log")
        async with running(program):
            connection = await connect_single(
                postgres.address(port), application_name="payments migrate"
            )
            await connection.execute(statement)
            await connection.close()
    assert not (tmp_path / "data.new").exists()


async def test_postgres_lets_in_one_role_that_can_replicate_but_not_rule(
    postgres_server: DatabaseAddress,
) -> None:
    """Whoever reaches the port can neither read the machine's files nor become superuser."""
    connection = await connect_single(postgres_server, application_name="payments migrate")
    role = await connection.fetchrow(
        "SELECT rolsuper, rolreplication, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    )
    assert role is not None
    assert tuple(role) == (False, True, True)
    assert await connection.fetchval("SHOW wal_level") == "logical"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("COPY pg_class TO PROGRAM 'cat'")
    await connection.close()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(
            host="127.0.0.1",
            port=postgres_server.port,
            user="postgres",
            database=postgres_server.database,
        )


async def test_valkey_keeps_its_data_over_an_orderly_stop(tmp_path: Path) -> None:
    """The mirrored streams are in it."""
    port = free_port()
    program = await valkey.prepare(tmp_path / "data", port, log=tmp_path / "log")
    async with running(program), redis.asyncio.Redis(port=port) as client:
        await client.xadd("payments.events", {"value": "1"}, id="1-1")
    async with running(program), redis.asyncio.Redis(port=port) as client:
        assert await client.xlen("payments.events") == 1


async def test_the_broker_keeps_its_topics_over_an_orderly_stop(tmp_path: Path) -> None:
    """Each with its partitions and messages; creating them again changes nothing."""
    port = free_port()
    bootstrap = f"127.0.0.1:{port}"
    async with kafka.broker(tmp_path / "data", port, log=tmp_path / "log"):
        await kafka.create_bounded(bootstrap, [ACCOUNTS])
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            await producer.send_and_wait(ACCOUNTS.name, b"opened", partition=3)
    async with kafka.broker(tmp_path / "data", port, log=tmp_path / "log"):
        await kafka.create_bounded(bootstrap, [ACCOUNTS])
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
            assert len(await consumer.topics()) >= 1
            assert len(consumer.partitions_for_topic(ACCOUNTS.name) or ()) == ACCOUNTS.partitions
            partition = TopicPartition(ACCOUNTS.name, 3)
            assert await consumer.end_offsets([partition]) == {partition: 1}


async def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    """Here because the port is somebody else's."""
    port = free_port()
    program = await valkey.prepare(tmp_path / "one", port, log=tmp_path / "log")
    twin = await valkey.prepare(tmp_path / "two", port, log=tmp_path / "twin.log")
    async with running(program):
        with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with running(_never_ready(twin)):
                pytest.fail("two servers on one port")


def _never_ready(program: Program) -> Program:
    async def is_ready() -> bool:
        return False

    return replace(program, is_ready=is_ready)
