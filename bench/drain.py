"""A backlog of the outbox to Kafka: our relay, another revision's and Debezium, in turn.

Each has a Postgres, a broker and a schema of its own, by its own migrations, and the same rows. It
begins, catches up with a few, then stops (Debezium stands still, which is not to look for its place
again) while the backlog is written. Measured is from its first message of that to its last: rows a
second, CPU time a row, and the most memory it has had.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Final

import click
import psutil
from aiokafka import TopicPartition

from bench.debezium import HEARTBEATS, PREFIX, debezium
from bench.revisions import OURS, Revision, checked_out
from local.embedded import kafka, postgres
from local.program import Program, free_port, running
from process.addresses import DatabaseAddress, KafkaAddress
from store.pool import connect_single
from topics.kafka import administration, create_missing, reader
from topics.names import TOPICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from local.program import Running

_TOPIC: Final = "payments.events"
_BEATS: Final = replace(TOPICS[0], name=HEARTBEATS, partitions=1)
# As a server is run, not what soon ends.
_JAVA: Final = ("-Xmx1g", "-XX:TieredStopAtLevel=4")
_WARM_UP: Final = 500
_LOOK_EVERY_S: Final = 0.1
_WITHIN_S: Final = 600.0
_MIB: Final = 2**20
# As a payment's events are: five of a key, some 600 bytes each, fifty rows a transaction.
_FILL: Final = """
DO $$
BEGIN
    FOR batch IN 1..{batches} LOOP
        INSERT INTO outbox (
            id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, traceparent,
            occurred_at, recorded_at
        )
        SELECT
            uuidv7(), 'payments.events', md5((batch * 10 + row % 10)::text)::uuid::text,
            'payment.completed',
            json_build_object('payment_id', row, 'filler', repeat('x', 400)), 'default',
            1 + row / 10, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
            clock_timestamp(), clock_timestamp()
        FROM generate_series(0, 49) AS row;
        COMMIT;
    END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Drained:
    """What one made of a backlog."""

    name: str
    rows_per_second: float
    cpu_us_per_row: float
    memory_mib: float


async def compared(revision: str, *, rows: int, rounds: int) -> list[Drained]:
    """Ours, the revision's and Debezium, so many times."""
    found = []
    with TemporaryDirectory(prefix="payments-drain-") as name:
        folder = Path(name)
        async with checked_out(revision, folder) as theirs:
            for number in range(rounds):
                for one in (OURS, theirs, None):
                    called = "Debezium" if one is None else one.name
                    click.echo(f"round {number + 1} of {rounds}: {called} ...", err=True)
                    found.append(await _drained(one, folder / f"{number}-{called}", rows))
                    click.echo(str(found[-1]), err=True)
    return found


def report(found: Sequence[Drained]) -> str:
    """Medians, and ours against each of the others."""
    lines = [f"{'':<14}{'rows/s':>10}{'CPU us/row':>12}{'MiB':>8}"]
    middle: dict[str, tuple[float, float, float]] = {}
    for name in dict.fromkeys(each.name for each in found):
        of_name = [each for each in found if each.name == name]
        middle[name] = (
            median(each.rows_per_second for each in of_name),
            median(each.cpu_us_per_row for each in of_name),
            median(each.memory_mib for each in of_name),
        )
        rate, cpu, memory = middle[name]
        lines.append(f"{name[:13]:<14}{rate:>10,.0f}{cpu:>12,.1f}{memory:>8,.0f}")
    ours = middle[OURS.name]
    for name, theirs in middle.items():
        if name != OURS.name:
            ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
            lines.append("here / {:<7}{:>10.2f}{:>12.2f}{:>8.2f}".format(name[:7], *ratios))
    return "\n".join(lines)


async def _drained(one: Revision | None, folder: Path, rows: int) -> Drained:
    folder.mkdir()  # noqa: ASYNC240 - one folder, before anything runs
    bootstrap = f"127.0.0.1:{free_port()}"
    program = await postgres.prepare(folder / "postgres", free_port(), log=folder / "postgres.log")
    assert program.port is not None
    database = postgres.address(program.port)
    broker = kafka.broker(
        folder / "kafka", int(bootstrap.rpartition(":")[2]), log=folder / "kafka.log"
    )
    async with running(program), broker:
        await _migrated(one or OURS, database)
        theirs = (*(replace(each, name=PREFIX + each.name) for each in TOPICS), _BEATS)
        await create_missing(KafkaAddress(bootstrap), (*TOPICS, *theirs))
        if one is None:
            return await _by_debezium(database, bootstrap, folder, rows)
        return await _by_relay(one, database, bootstrap, folder, rows)


async def _by_relay(
    one: Revision, database: DatabaseAddress, bootstrap: str, folder: Path, rows: int
) -> Drained:
    program = Program(
        name=f"relay of {one.name}",
        command=(one.python, "-m", "topics.relay", "--sink", "kafka"),
        directory=one.tree,
        log=folder / "relay.log",
        address=bootstrap,
        is_ready=lambda: _reads(database),
        environment=_environment(database, bootstrap),
    )
    async with running(program):
        await _fill(database, _WARM_UP)
        await _until(bootstrap, _TOPIC, _WARM_UP)
    await _fill(database, rows)
    before = await _messages(bootstrap, _TOPIC)
    async with running(program) as process:
        backlog = _Backlog(bootstrap, _TOPIC, before, rows)
        return await _measured(one.name, process, backlog)


async def _by_debezium(
    database: DatabaseAddress, bootstrap: str, folder: Path, rows: int
) -> Drained:
    topic = PREFIX + _TOPIC
    connection = await connect_single(database, application_name="bench")
    try:
        async with debezium(database, bootstrap, connection, folder, java=_JAVA) as process:
            await _fill(database, _WARM_UP)
            await _until(bootstrap, topic, _WARM_UP)
            process.send_signal(signal.SIGSTOP)
            await _fill(database, rows)
            before = await _messages(bootstrap, topic)
            process.send_signal(signal.SIGCONT)
            backlog = _Backlog(bootstrap, topic, before, rows)
            return await _measured("Debezium", process, backlog)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class _Backlog:
    """So many rows on their way to a topic that ended before them."""

    bootstrap: str
    topic: str
    before: int
    rows: int


async def _measured(name: str, process: Running, backlog: _Backlog) -> Drained:
    seen, (bootstrap, topic, before, rows) = psutil.Process(process.pid), astuple(backlog)
    first = await _until(bootstrap, topic, before + 100)
    began, cpu = perf_counter(), _cpu_seconds(seen)
    last = await _until(bootstrap, topic, before + rows)
    took, cpu = perf_counter() - began, _cpu_seconds(seen) - cpu
    drained = last - first
    return Drained(name, drained / took, 1e6 * cpu / drained, _peak_mib(process.pid))


async def _until(bootstrap: str, topic: str, count: int) -> int:
    async with asyncio.timeout(_WITHIN_S):
        while not await _partitions(bootstrap, topic):  # noqa: ASYNC110 - another's
            await asyncio.sleep(_LOOK_EVERY_S)
        async with _ends(bootstrap, topic) as ends:
            while (there := await ends()) < count:  # noqa: ASYNC110 - another's
                await asyncio.sleep(_LOOK_EVERY_S)
            return there


async def _messages(bootstrap: str, topic: str) -> int:
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


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_mib(pid: int) -> float:
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


async def _fill(database: DatabaseAddress, rows: int) -> None:
    connection = await connect_single(database, application_name="bench")
    try:
        await connection.execute(_FILL.format(batches=rows // 50))
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
