"""The embedded servers: what survives a stop, who may connect, and what a broken start leaves."""

import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from local.embedded import kafka, postgres, valkey
from local.program import Program, StartError, free_port, running
from process.addresses import DatabaseAddress, KafkaAddress
from store.pool import connect_single
from topics.kafka import administration


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


async def test_how_much_wal_is_kept_for_a_slot_is_the_operator_s_to_change(tmp_path: Path) -> None:
    """It stands in the server's file, also of a data directory from before it did."""
    port, file = free_port(), tmp_path / "data" / "postgresql.conf"
    ours = "max_slot_wal_keep_size = 4GB\n"
    asked = "SELECT setting || unit FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"
    for theirs, expected in (
        (ours, "4096MB"),
        (ours.replace("4", "16"), "16384MB"),
        ("", "4096MB"),
    ):
        if file.exists():
            lines = [each for each in file.read_text().splitlines() if each[:8] != ours[:8]]
            file.write_text("\n".join([*lines, theirs]))
        program = await postgres.prepare(tmp_path / "data", port, log=tmp_path / "log")
        async with running(program):
            connection = await connect_single(
                postgres.address(port), application_name="payments migrate"
            )
            assert await connection.fetchval(asked) == expected
            await connection.close()
        assert file.read_text().count(ours) == (expected == "4096MB")


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


async def test_the_broker_keeps_what_it_acknowledged_however_it_ends(tmp_path: Path) -> None:
    """Killed or stopped: topics, messages and a group's place; and it is the same cluster."""
    port = free_port()
    program = await kafka.prepare(
        await kafka.installed(os.environ), tmp_path / "data", port, log=tmp_path / "log"
    )
    bootstrap, partition = program.address, TopicPartition("kept", 2)
    kept = 0
    for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGTERM):
        async with running(program, ready_within_seconds=60.0) as process:
            await _create(bootstrap, NewTopic("kept", 3, 1))
            async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
                await producer.send_and_wait("kept", b"told", partition=2)
            async with AIOKafkaConsumer(
                bootstrap_servers=bootstrap, group_id="readers", enable_auto_commit=False
            ) as consumer:
                consumer.assign([partition])
                kept = (await consumer.end_offsets([partition]))[partition]
                assert kept == 1 + (await consumer.committed(partition) or 0)
                await consumer.commit({partition: kept})
            process.send_signal(end)
            await process.wait()
    assert kept == 3


async def test_the_broker_lets_in_nobody_from_elsewhere(tmp_path: Path) -> None:
    """Both of its ports are loopback's alone."""
    program = await kafka.prepare(
        await kafka.installed(os.environ), tmp_path / "data", free_port(), log=tmp_path / "log"
    )
    async with running(program, ready_within_seconds=60.0) as process:
        listening = [
            each.laddr.ip
            for each in psutil.Process(process.pid).net_connections()
            if each.status == psutil.CONN_LISTEN
        ]
    assert len(listening) == 2
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


async def test_the_broker_lives_in_any_folder_and_starts_over_a_half_made_one(
    tmp_path: Path,
) -> None:
    """Its path may have spaces, commas and more than ASCII; what a kill left is thrown away."""
    place = tmp_path / "data, of Zoë"
    (place / "log.new").mkdir(parents=True)
    (place / "log.new" / "meta.properties").write_text("version=1\n")
    async with kafka.broker(place, free_port(), log=tmp_path / "log"):
        assert (place / "log" / "meta.properties").exists()
    assert not (place / "log.new").exists()


async def test_the_broker_does_without_what_java_has_learnt(tmp_path: Path) -> None:
    """A damaged cache of classes costs a second, and no start."""
    installation = await kafka.installed(os.environ)
    assert installation.class_cache is not None
    damaged = tmp_path / "damaged.aot"
    damaged.write_bytes(installation.class_cache.read_bytes()[: 1024 * 1024])
    program = await kafka.prepare(
        replace(installation, class_cache=damaged),
        tmp_path / "data",
        free_port(),
        log=tmp_path / "log",
    )
    async with running(program, ready_within_seconds=60.0):
        pass


async def test_a_taken_port_of_the_broker_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Java's own words are forty lines."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        program = await kafka.prepare(
            await kafka.installed(os.environ), tmp_path / "data", port, log=tmp_path / "log"
        )
        with pytest.raises(StartError, match=f"kafka cannot listen on 127.0.0.1:{port}"):
            async with running(_never_ready(program), ready_within_seconds=60.0):
                pytest.fail("two servers on one port")


async def _create(bootstrap: str, topic: NewTopic) -> None:
    async with administration(KafkaAddress(bootstrap)) as admin:
        if topic.name not in await admin.list_topics():
            await admin.create_topics([topic])


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
