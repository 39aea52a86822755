"""A database, a broker and a relay by themselves, for what the rest of the platform would blur."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from aiokafka import TopicPartition

from local.embedded import kafka, postgres
from local.program import Program, free_port, running
from process.addresses import DatabaseAddress, KafkaAddress
from store.pool import connect_single
from topics.kafka import administration, create_missing, reader
from topics.names import TOPICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from bench.revisions import Revision

_LOOK_EVERY_S: Final = 0.1
_WITHIN_S: Final = 600.0
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Servers:
    """A database with a schema and a broker with its topics; what they write lies in `folder`."""

    database: DatabaseAddress
    bootstrap: str
    folder: Path


@asynccontextmanager
async def servers(folder: Path, one: Revision) -> AsyncIterator[Servers]:
    """Both, new, with the schema of a revision."""
    folder.mkdir()  # noqa: ASYNC240 - one folder, before anything runs
    port = free_port()
    program = await postgres.prepare(folder / "postgres", free_port(), log=folder / "postgres.log")
    assert program.port is not None
    given = Servers(postgres.address(program.port), f"127.0.0.1:{port}", folder)
    broker = kafka.broker(folder / "kafka", port, log=folder / "kafka.log")
    async with running(program), broker:
        await _migrated(one, given.database)
        await create_missing(KafkaAddress(given.bootstrap), TOPICS)
        yield given


def relay(one: Revision, given: Servers) -> Program:
    """The relay to Kafka of a revision, ready once it reads."""
    return Program(
        name=f"relay of {one.name}",
        command=(one.python, "-m", "topics.relay", "--sink", "kafka"),
        directory=one.tree,
        log=given.folder / "relay.log",
        address=given.bootstrap,
        is_ready=lambda: _reads(given.database),
        environment=_environment(given.database, given.bootstrap),
    )


async def until(bootstrap: str, topic: str, count: int) -> int:
    async with asyncio.timeout(_WITHIN_S):
        while not await _partitions(bootstrap, topic):  # noqa: ASYNC110 - another's
            await asyncio.sleep(_LOOK_EVERY_S)
        async with _ends(bootstrap, topic) as ends:
            while (there := await ends()) < count:  # noqa: ASYNC110 - another's
                await asyncio.sleep(_LOOK_EVERY_S)
            return there


async def messages(bootstrap: str, topic: str) -> int:
    async with _ends(bootstrap, topic) as ends:
        return await ends()


@asynccontextmanager
async def _ends(bootstrap: str, topic: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Asks for the sum of the offsets, markers and all."""
    places = [TopicPartition(topic, number) for number in await _partitions(bootstrap, topic)]
    async with reader(KafkaAddress(bootstrap), "bench") as consumer:

        async def summed() -> int:
            return sum((await consumer.end_offsets(places)).values())

        yield summed


async def _partitions(bootstrap: str, topic: str) -> range:
    async with administration(KafkaAddress(bootstrap)) as admin:
        (described,) = await admin.describe_topics([topic])
        return range(len(described["partitions"]))


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak) * 1024 / _MIB


async def _migrated(one: Revision, database: DatabaseAddress) -> None:
    process = await asyncio.create_subprocess_exec(
        *(one.python, "-m", "cli", "migrate", "up"),
        cwd=one.tree,
        env=_environment(database, ""),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 0:
        raise RuntimeError(f"the schema of {one.name} cannot be made")


async def _reads(database: DatabaseAddress) -> bool:
    connection = await connect_single(database, application_name="bench")
    try:
        asked = "SELECT bool_or(active) FROM pg_replication_slots"
        return bool(await connection.fetchval(asked))
    finally:
        await connection.close()


def _environment(database: DatabaseAddress, bootstrap: str) -> Mapping[str, str]:
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("PAYMENTS_")}
    return {
        **theirs,
        "PAYMENTS_ENV_FILE": "",
        "PAYMENTS_DATABASE_HOST": database.host,
        "PAYMENTS_DATABASE_PORT": str(database.port),
        "PAYMENTS_DATABASE_USER": database.user,
        "PAYMENTS_DATABASE_PASSWORD": database.password,
        "PAYMENTS_DATABASE_DATABASE": database.database,
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
    }
