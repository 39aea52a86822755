"""A backlog of the outbox to Kafka: our relay, another revision's and Debezium, in turn.

Each has a Postgres, a broker and a schema of its own, by its own migrations, and the same rows. It
begins, catches up with a few, then stops (Debezium stands still, which is not to look for its place
again) while the backlog is written. Measured is from its first message of that to its last: rows a
second, CPU time a row, and the most memory it has had.
"""

from __future__ import annotations

import signal
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Final

import click
import psutil

from bench.debezium import HEARTBEATS, PREFIX, debezium
from bench.relaying import cpu_seconds, messages, peak_mib, relay, servers, until
from bench.revisions import OURS, Revision, checked_out
from local.program import running
from process.addresses import KafkaAddress
from store.pool import connect_single
from topics.kafka import create_missing
from topics.names import TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.relaying import Servers
    from local.program import Running
    from process.addresses import DatabaseAddress

_TOPIC: Final = "payments.events"
_BEATS: Final = replace(TOPICS[0], name=HEARTBEATS, partitions=1)
# As a server is run, not what soon ends.
_JAVA: Final = ("-Xmx1g", "-XX:TieredStopAtLevel=4")
_WARM_UP: Final = 500
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
    async with servers(folder, one or OURS) as given:
        if one is not None:
            return await _by_relay(one, given, rows)
        theirs = (*(replace(each, name=PREFIX + each.name) for each in TOPICS), _BEATS)
        await create_missing(KafkaAddress(given.bootstrap), theirs)
        return await _by_debezium(given, rows)


async def _by_relay(one: Revision, given: Servers, rows: int) -> Drained:
    program = relay(one, given)
    async with running(program):
        # The first may still come from the table; what follows comes by the WAL, as the backlog.
        for count in (_WARM_UP, 2 * _WARM_UP):
            await _fill(given.database, _WARM_UP)
            await until(given.bootstrap, _TOPIC, count)
    await _fill(given.database, rows)
    before = await messages(given.bootstrap, _TOPIC)
    async with running(program) as process:
        backlog = _Backlog(given.bootstrap, _TOPIC, before, rows)
        return await _measured(one.name, process, backlog)


async def _by_debezium(given: Servers, rows: int) -> Drained:
    topic, database, bootstrap = PREFIX + _TOPIC, given.database, given.bootstrap
    connection = await connect_single(database, application_name="bench")
    try:
        async with debezium(database, bootstrap, connection, given.folder, java=_JAVA) as process:
            await _fill(database, _WARM_UP)
            await until(bootstrap, topic, _WARM_UP)
            process.send_signal(signal.SIGSTOP)
            await _fill(database, rows)
            before = await messages(bootstrap, topic)
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
    first = await until(bootstrap, topic, before + 100)
    began, cpu = perf_counter(), cpu_seconds(seen)
    last = await until(bootstrap, topic, before + rows)
    took, cpu = perf_counter() - began, cpu_seconds(seen) - cpu
    drained = last - first
    return Drained(name, drained / took, 1e6 * cpu / drained, peak_mib(process.pid))


async def _fill(database: DatabaseAddress, rows: int) -> None:
    connection = await connect_single(database, application_name="bench")
    try:
        await connection.execute(_FILL.format(batches=rows // 50))
    finally:
        await connection.close()
