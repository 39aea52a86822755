"""Lag is seen from outside: of groups that work, that died, that never ran, and of lost servers."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg
import orjson
import pytest
import redis.asyncio
from aiokafka.structs import TopicPartition
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from cli.lag import tables
from lag import GroupLag, GroupState, LagExporter, LagTargets, StreamsReport
from local.program import free_port
from process.addresses import DatabaseAddress, KafkaAddress, RedisAddress
from telemetry.metrics import Metrics
from tests.support.fixtures.kafka import broker
from tests.support.project.alerts import firing
from tests.support.topics.broker_clients import create_topic, member, produce
from tests.support.topics.destinations import RedisDestination
from tests.support.topics.outbox import Outbox
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually

MINUTE: Final = 60.0


class Clock:
    """The measurement's clock: real time, moved forward by the test."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def targets(
    kafka_bootstrap: str, database: DatabaseAddress, redis_address: RedisAddress
) -> LagTargets:
    """Where the test's servers are; nothing is expected on them, and every group is looked at."""
    return LagTargets(
        kafka=KafkaAddress(kafka_bootstrap),
        redis=redis_address,
        database=database,
        groups={},
        others=("*",),
        slots=(),
        redis_streams=(),
    )


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of a process that measures."""
    return Metrics(CollectorRegistry())


@pytest.fixture
def clock() -> Clock:
    """Real time until the test moves it."""
    return Clock()


@asynccontextmanager
async def exporter_of(
    targets: LagTargets, metrics: Metrics, clock: Callable[[], float] = time.time
) -> AsyncIterator[LagExporter]:
    exporter = LagExporter(targets, metrics, clock=clock)
    try:
        yield exporter
    finally:
        await exporter.close()


@pytest.fixture
async def topic(kafka_bootstrap: str, topic_prefix: str) -> str:
    """A topic of two partitions."""
    await create_topic(kafka_bootstrap, f"{topic_prefix}work", 2)
    return f"{topic_prefix}work"


def group_of(report: StreamsReport, group: str) -> GroupLag:
    (found,) = [g for g in report.groups if g.group == group]
    return found


async def test_a_group_that_is_behind_is_measured_in_messages_and_seconds(
    targets: LagTargets, metrics: Metrics, clock: Clock, topic: str
) -> None:
    """Per partition: end minus committed, and the age of the first message not acknowledged."""
    group, bootstrap = f"{topic}.group", targets.kafka.bootstrap_servers
    await produce(bootstrap, topic, 10, partition=0)
    await produce(bootstrap, topic, 3, partition=1)
    async with member(bootstrap, topic, group) as consumer, exporter_of(
        targets, metrics, clock
    ) as exporter:  # fmt: skip
        await consumer.commit({TopicPartition(topic, 0): 4, TopicPartition(topic, 1): 3})
        clock.ahead = MINUTE
        lag = group_of(await exporter.refresh(), group)
        assert (lag.topic, lag.members, lag.messages, lag.state) == (topic, 1, 6, GroupState.OK)
        assert lag.seconds == pytest.approx(MINUTE, abs=15.0)
        first, second = lag.partitions
        assert (first.committed, first.end, first.messages) == (4, 10, 6)
        assert (second.committed, second.end, second.messages) == (3, 3, 0)
        assert first.seconds == lag.seconds
        assert second.seconds == 0.0


async def test_a_group_that_catches_up_has_a_rate_and_no_lag(
    targets: LagTargets, metrics: Metrics, clock: Clock, topic: str
) -> None:
    """The rate is over the sampled time; a caught-up group needs no time to drain."""
    group, bootstrap = f"{topic}.group", targets.kafka.bootstrap_servers
    await produce(bootstrap, topic, 50)
    async with member(bootstrap, topic, group) as consumer, exporter_of(
        targets, metrics, clock
    ) as exporter:  # fmt: skip
        await consumer.commit({TopicPartition(topic, 0): 0})
        await exporter.refresh()
        await consumer.commit({TopicPartition(topic, 0): 25})
        clock.ahead = 10.0
        half = group_of(await exporter.refresh(), group)
        assert half.per_second == pytest.approx(2.5, rel=0.3)
        assert half.drain_seconds == pytest.approx(10.0, rel=0.3)
        await consumer.commit({TopicPartition(topic, 0): 50})
        done = group_of(await exporter.refresh(), group)
        assert (done.messages, done.seconds, done.drain_seconds) == (0, 0.0, 0.0)
        # The worst of a quarter of a minute, and of how many these were.
        (*_, latest) = (each for each in exporter.trail[group, topic] if each is not None)
        assert latest in {25, 50}


async def test_a_group_whose_members_are_gone_is_stopped_and_its_lag_still_known(
    targets: LagTargets, metrics: Metrics, topic: str
) -> None:
    """The dead cannot say how far behind they are; the broker can."""
    group, bootstrap = f"{topic}.group", targets.kafka.bootstrap_servers
    async with member(bootstrap, topic, group) as consumer:
        await consumer.commit({TopicPartition(topic, 0): 0})
    await produce(bootstrap, topic, 7)
    async with exporter_of(targets, metrics) as exporter:
        lag = group_of(await exporter.refresh(), group)
        assert (lag.state, lag.members, lag.messages) == (GroupState.STOPPED, 0, 7)


async def test_a_stage_that_never_ran_is_stopped_with_everything_before_it(
    targets: LagTargets, metrics: Metrics, topic: str
) -> None:
    """What was deployed but never started must not look like no lag."""
    await produce(targets.kafka.bootstrap_servers, topic, 4)
    expected = {f"{topic}.never": topic, f"{topic}.nowhere": f"{topic}.absent"}
    async with exporter_of(replace(targets, groups=expected), metrics) as exporter:
        report = await exporter.refresh()
        never, nowhere = (group_of(report, f"{topic}.{name}") for name in ("never", "nowhere"))
        assert (never.state, never.messages) == (GroupState.STOPPED, 4)
        assert never.partitions[0].committed is None
        assert (nowhere.state, nowhere.messages, nowhere.partitions) == (GroupState.STOPPED, 0, ())


async def test_a_group_that_stands_still_is_stalled(
    targets: LagTargets, metrics: Metrics, clock: Clock, topic: str
) -> None:
    """A living member, lag, and no progress in the time of four commits."""
    group, bootstrap = f"{topic}.group", targets.kafka.bootstrap_servers
    await produce(bootstrap, topic, 5)
    async with member(bootstrap, topic, group) as consumer, exporter_of(
        targets, metrics, clock
    ) as exporter:  # fmt: skip
        await consumer.commit({TopicPartition(topic, 0): 1})
        states, began_at = [], clock()
        for after in (0.0, 5.0, 10.0, 15.0):
            # However long a measurement takes.
            clock.ahead = began_at + after - time.time()
            states.append(group_of(await exporter.refresh(), group).state)
        assert states == [GroupState.OK] * 3 + [GroupState.STALLED]


async def test_a_new_group_with_members_and_no_commit_is_seen(
    targets: LagTargets, metrics: Metrics, topic: str
) -> None:
    """What it was assigned tells what it reads."""
    group, bootstrap = f"{topic}.group", targets.kafka.bootstrap_servers
    await produce(bootstrap, topic, 2)
    async with member(bootstrap, topic, group), exporter_of(targets, metrics) as exporter:
        lag = group_of(await exporter.refresh(), group)
        assert (lag.members, lag.messages, len(lag.partitions)) == (1, 2, 2)


@asynccontextmanager
async def slot_in(
    database: DatabaseAddress,
) -> AsyncIterator[tuple[str, "asyncpg.Connection[asyncpg.Record]"]]:
    """A logical slot nobody reads, and a connection to write with."""
    name = f"slot_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(
        host=database.host, port=database.port, user=database.user, password=database.password,
        database=database.database,
    )  # fmt: skip
    try:
        await connection.execute(
            "SELECT pg_create_logical_replication_slot($1::name, 'pgoutput')", name
        )
        yield name, connection
    finally:
        await connection.close()


async def test_a_slot_that_is_not_read_falls_behind_in_bytes_and_seconds(
    targets: LagTargets, metrics: Metrics, clock: Clock, database: DatabaseAddress
) -> None:
    """Bytes are the server's; seconds come from when the WAL passed the confirmed position."""
    async with slot_in(database) as (name, connection), exporter_of(
        replace(targets, slots=(name, "payments_absent")), metrics, clock
    ) as exporter:  # fmt: skip
        await exporter.refresh()
        await connection.execute(
            "SELECT pg_logical_emit_message(true, 'test', repeat('x', 100000))"
        )
        clock.ahead = MINUTE

        async def is_behind() -> bool:  # the server's own WAL writer takes its time
            slot, absent = (await exporter.refresh()).slots
            assert (slot.slot, slot.active, slot.wal_status) == (name, False, "reserved")
            assert (absent.slot, absent.wal_status, absent.bytes) == (
                "payments_absent",
                "missing",
                None,
            )
            return (slot.bytes or 0) >= 100_000 and (slot.seconds or 0.0) > 0.0

        await eventually(is_behind)
        assert max(each or 0 for each in exporter.trail["", name]) >= 100_000
        assert ("", "payments_absent") not in exporter.trail


async def test_a_relay_that_reads_the_table_is_measured_as_a_slot_is(  # noqa: PLR0917 - fixtures
    targets: LagTargets,
    metrics: Metrics,
    clock: Clock,
    database: DatabaseAddress,
    pool: "asyncpg.Pool[asyncpg.Record]",
    redis_address: RedisAddress,
) -> None:
    """Whether anybody reads, and how long the oldest message waits; the same alerts tell it."""
    relays = Relays(database, RedisDestination(redis_address), reads_table=True)
    outbox, read = Outbox(pool), {"redis": "payments_redis"}
    async with exporter_of(replace(targets, tables=read), metrics, clock) as exporter:
        await outbox.write_many(3)
        clock.ahead = MINUTE
        (away,) = (await exporter.refresh()).slots
        assert (away.slot, away.active, away.wal_status) == ("payments_redis", False, "table")
        assert away.seconds == pytest.approx(MINUTE, abs=15.0)
        page = generate_latest(metrics.registry).decode()
        assert firing(page, "relay") == {
            ("SlotNotRead", "payments_redis"), ("SlotBehind", "payments_redis"),
        }  # fmt: skip
        async with relays.running():

            async def has_all() -> bool:
                (slot,) = (await exporter.refresh()).slots
                return slot.active and slot.seconds == 0.0

            await eventually(has_all)
            assert firing(generate_latest(metrics.registry).decode(), "relay") == set()

        async def is_left() -> bool:
            (slot,) = (await exporter.refresh()).slots
            assert slot.seconds == 0.0
            return not slot.active

        # Its session ends a moment after it.
        await eventually(is_left)


async def test_a_redis_group_is_measured_by_what_it_was_not_given_and_did_not_acknowledge(
    targets: LagTargets, metrics: Metrics, clock: Clock, redis_client: redis.asyncio.Redis
) -> None:
    """Ids are positions there, so the age is the event's own time."""
    stream, streams = "payments.events", ("payments.events", "payments.absent")
    occurred_at = datetime.now(UTC) - timedelta(seconds=30)
    for i in range(1, 6):
        stamp = (occurred_at + timedelta(seconds=i)).isoformat().replace("+00:00", "Z")
        await redis_client.xadd(stream, {"ce_time": stamp}, id=f"{i}-1")
    await redis_client.xgroup_create(stream, "webhooks", id="0")
    await redis_client.xgroup_create(stream, "console", id="0")
    await redis_client.xreadgroup("webhooks", "w1", {stream: ">"}, count=2)
    await redis_client.xack(stream, "webhooks", "1-1")
    async with exporter_of(replace(targets, redis_streams=streams), metrics, clock) as exporter:
        console, webhooks = (await exporter.refresh()).redis_groups
        assert (console.group, console.messages, console.pending) == ("console", 5, 0)
        assert console.seconds == pytest.approx(29.0, abs=5.0)
        assert (webhooks.group, webhooks.messages, webhooks.pending) == ("webhooks", 3, 1)
        assert webhooks.consumers == 1
        assert webhooks.seconds == pytest.approx(28.0, abs=5.0)


async def test_a_redis_group_that_is_done_has_no_age(
    targets: LagTargets, metrics: Metrics, redis_client: redis.asyncio.Redis
) -> None:
    """Nothing to deliver, nothing to acknowledge: zero."""
    await redis_client.xadd("payments.events", {"ce_time": "2020-01-01T00:00:00Z"}, id="1-1")
    await redis_client.xgroup_create("payments.events", "webhooks", id="$")
    async with exporter_of(
        replace(targets, redis_streams=("payments.events",)), metrics
    ) as exporter:
        (webhooks,) = (await exporter.refresh()).redis_groups
        assert (webhooks.pending, webhooks.seconds) == (0, 0.0)


async def test_a_redis_group_of_any_name_is_shown_and_hides_no_other(
    targets: LagTargets, metrics: Metrics, redis_client: redis.asyncio.Redis
) -> None:
    """Names are bytes there, and whoever may read a stream may choose one."""
    stream = "payments.events"
    await redis_client.xadd(stream, {b"\xff": b"\xfe", "ce_time": b"\xfd"}, id="1-1")
    await redis_client.xadd(stream, {"ce_time": "0001-01-01T00:00:00"}, id="2-1")
    for group in (b"\xff\x1b[2J\n", b"webhooks"):
        await redis_client.xgroup_create(stream, group, id="0")
        read = ("XREADGROUP", "GROUP", group, b"\xfe", "COUNT", 1, "STREAMS", stream, ">")
        await redis_client.execute_command(*read)  # type: ignore[no-untyped-call] # left bare
    await redis_client.xack(stream, b"webhooks", "1-1")
    async with exporter_of(replace(targets, redis_streams=(stream,)), metrics) as exporter:
        report = await exporter.refresh()
    assert report.unavailable == ()
    webhooks, odd = report.redis_groups
    assert (odd.group, odd.pending, odd.messages) == ("\\xff\\x1b[2J\\n", 1, 1)
    assert (webhooks.group, webhooks.messages) == ("webhooks", 1)
    # No time can be read in the one, and none that a clock knows in the other.
    assert (odd.seconds, webhooks.seconds) == (None, None)


async def test_a_kafka_group_of_any_name_is_shown(
    targets: LagTargets, metrics: Metrics, topic: str
) -> None:
    """A name may be any text, and a terminal would obey some."""
    group = f"{topic}\x1b[2J[/red]\u202e"
    async with member(targets.kafka.bootstrap_servers, topic, group) as consumer:
        await consumer.commit({TopicPartition(topic, 0): 0})
        async with exporter_of(targets, metrics) as exporter:
            report = await exporter.refresh()
    assert group_of(report, f"{topic}\\x1b[2J[/red]\\u202e").members == 1
    # Nor does the table of `payments lag` take it for markup.
    with (console := Console(width=300)).capture() as printed:
        console.print(tables(report))
    assert "[/red]" in printed.get()


async def test_work_past_its_time_is_counted_although_nobody_does_it(
    targets: LagTargets, metrics: Metrics, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    """Parked dead letters, but none that only waits behind another, and nothing else here."""
    await pool.executemany(
        """
        INSERT INTO dead_letters (
            id, tenant_id, stage, reason, error, topic, message_partition, message_offset,
            message_headers, attempts, state,
            first_failed_at, last_failed_at, version
        ) VALUES (
            $1, 't', 'charge', $2, 'x', 'payments.charges', 0, 7, '{}', 1, 'parked',
            now() - interval '1 hour', now(), 1
        )
        """,
        [(uuid4(), "undecodable"), (uuid4(), "waits_behind")],
    )
    await pool.execute(
        "INSERT INTO housekeeping VALUES"
        " ('drop_partitions', now() - interval '3 hours', now(), 'pg_dump'),"
        " ('make_partitions', now() - interval '1 hour', now(), 'pg_dump')"
    )
    async with exporter_of(targets, metrics) as exporter:
        waiting = {work.kind: work for work in (await exporter.refresh()).waiting}
        assert {kind: work.count for kind, work in waiting.items()} == {
            "payments": 0,
            "refunds": 0,
            "dead_letters": 1,
            "breaks": 0,
            "housekeeping": 1,
            "webhooks": 0,
        }
        assert waiting["dead_letters"].oldest_seconds == pytest.approx(3600.0, abs=60.0)


@pytest.mark.parametrize(
    ("lost", "unavailable"),
    [
        ("kafka", {"kafka", "kafka_others"}),
        ("redis", {"redis"}),
        ("database", {"slots", "waiting", "providers"}),
    ],
)
async def test_a_source_that_is_away_hides_no_other(
    targets: LagTargets, metrics: Metrics, lost: str, unavailable: set[str]
) -> None:
    """The report names it, its gauge is 0, and the rest is measured."""
    port = free_port()
    away: dict[str, object] = {
        "kafka": KafkaAddress(f"127.0.0.1:{port}"),
        "redis": RedisAddress("127.0.0.1", port),
        "database": replace(targets.database, port=port),
    }
    broken = replace(targets, redis_streams=("payments.events",), **{lost: away[lost]})  # type: ignore[arg-type] # one of three fields
    async with exporter_of(broken, metrics) as exporter:
        report = await exporter.refresh()
    assert {source.source for source in report.unavailable} == unavailable
    up = {
        sample.labels["source"]: sample.value
        for family in metrics.registry.collect()
        if family.name == "payments_lag_source_up"
        for sample in family.samples
    }
    assert {source for source, value in up.items() if value == 0} == unavailable
    assert len(up) == 6


async def test_the_exporter_keeps_the_report_and_the_gauges_fresh(
    targets: LagTargets, metrics: Metrics, topic: str
) -> None:
    """In the background, until its context ends."""
    group, bootstrap = f"{topic}.group", targets.kafka.bootstrap_servers
    async with member(bootstrap, topic, group) as consumer:
        await consumer.commit({TopicPartition(topic, 0): 0})
        exporter = LagExporter(targets, metrics, refresh_seconds=0.05)
        labels = {"group": group, "topic": topic, "partition": "0"}

        def gauge() -> float | None:
            return metrics.registry.get_sample_value("payments_stage_lag_messages", labels)

        async with exporter.running():
            await eventually(lambda: gauge() == 0.0)
            await produce(bootstrap, topic, 9)
            await eventually(lambda: gauge() == 9.0)
            assert group_of(exporter.report, group).messages == 9
            assert orjson.loads(exporter.report.to_json())["unavailable"] == []


async def test_a_broker_that_comes_back_is_measured_again(
    targets: LagTargets, metrics: Metrics, tmp_path: Path
) -> None:
    """A source opens anew by itself: away, there, away, there."""
    port = free_port()
    mine = replace(targets, kafka=KafkaAddress(f"127.0.0.1:{port}"))
    exporter = LagExporter(mine, metrics, refresh_seconds=0.05)

    def is_away() -> bool:
        return any(source.source == "kafka" for source in exporter.report.unavailable)

    async with exporter.running():
        for _ in range(2):
            await eventually(is_away)
            async with broker(tmp_path / "kafka", port):
                await eventually(lambda: not is_away(), within=30.0)
