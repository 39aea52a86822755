"""The relay goes by positions: whatever clocks, brokers and operators do, a row is there once."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from tests.support.topics.outbox import Outbox, assert_mirrors, slowly, traffic
from tests.support.topics.relays import Relays, is_ready
from tests.support.waiting import eventually
from topics.contracts.channels import EVENTS
from topics.names import TOPICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    import asyncpg

    from process.addresses import DatabaseAddress
    from tests.support.topics.destinations import KafkaDestination

PATIENCE_S = 30.0


async def _mirrored(relays: Relays, ids: set[UUID]) -> None:
    async def has_all() -> bool:
        return {message.id for message in await relays.destination.messages()} >= ids

    await eventually(has_all, PATIENCE_S)
    assert_mirrors(await relays.destination.messages(), ids)


async def _checkpointed(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Until a checkpoint covers every row there is now."""
    drawn = await pool.fetchval("SELECT max(position) FROM outbox")

    async def covers() -> bool:
        return bool(
            await pool.fetchval("SELECT max(floor_position) >= $1 FROM relay_checkpoints", drawn)
        )

    await eventually(covers, PATIENCE_S)


@pytest.mark.parametrize("minutes", [2, -2])
async def test_a_lost_sink_is_filled_whatever_the_clocks_say(
    relays: Relays, outbox: Outbox, minutes: int
) -> None:
    """The same payments, written by hosts whose clocks differ, first the one then the other."""
    keys = [uuid4() for _ in range(20)]
    async with relays.running():
        outbox.move(timedelta(minutes=minutes))
        await outbox.write(keys, rows_per_key=2)
        outbox.move()
        await outbox.write(keys, rows_per_key=2)
        await _mirrored(relays, await outbox.ids())
    await relays.destination.empty()
    async with relays.running() as relay:
        await _mirrored(relays, await outbox.ids())
        assert relay.value("refilled_total") == 80


async def test_what_is_not_committed_is_covered_by_no_checkpoint(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Though its number is the greatest there is; it ends while no relay reads."""
    async with pool.acquire() as connection:
        async with relays.running() as relay, slowly(connection) as slow:
            await outbox.write_many(100)
            await slow.write([uuid4()])
            await _has_looked(pool)
            relay.abandon()
            await eventually(relay.task.done)
        async with relays.running():
            await _mirrored(relays, await outbox.ids())


async def _has_looked(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Until the relay has asked three times who is at work, or takes all for covered."""
    asked = (
        "SELECT max(query_start) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'tests-relay'"
        " AND (query LIKE '%pg_snapshot_xmin%' OR query LIKE '%INTO relay_checkpoints%')"
    )
    looks = set()

    async def has_looked() -> bool:
        looks.add(await pool.fetchval(asked))
        covers = (
            "SELECT bool_or(floor_position >= last_value) FROM relay_checkpoints, outbox_position"
        )
        return len(looks - {None}) > 3 or bool(await pool.fetchval(covers))

    await eventually(has_looked, PATIENCE_S)


async def test_a_database_of_before_the_sink_was_lost_sends_nothing_again(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Its checkpoint knows places in what was lost; what stands there now was filled since."""
    async with pool.acquire() as connection:
        async with relays.running(), slowly(connection) as slow:
            await outbox.write_many(50)
            await _mirrored(relays, await outbox.ids())
            await _checkpointed(pool)
            await slow.write([uuid4()])
            await outbox.write_many(50)
            await _mirrored(relays, await outbox.ids())
            await _has_looked(pool)
            # What a restore brings back, of what the relay keeps.
            await pool.execute("CREATE TABLE kept AS TABLE relay_checkpoints")
        async with relays.running():
            await _mirrored(relays, await outbox.ids())
    await relays.destination.empty()
    async with relays.running():
        await _mirrored(relays, await outbox.ids())
        await outbox.write_many(20)
        await _mirrored(relays, await outbox.ids())
    await pool.execute("SELECT pg_drop_replication_slot($1)", relays.slot)
    await pool.execute("DELETE FROM relay_checkpoints")
    await pool.execute("INSERT INTO relay_checkpoints TABLE kept")
    async with relays.running():
        await outbox.write_many(20)
        await _mirrored(relays, await outbox.ids())


async def test_what_is_made_anew_under_the_relay_is_filled_before_it_gets_more(
    relays: Relays, outbox: Outbox
) -> None:
    """Somebody deletes topics and makes them again at once, while payments go on."""
    keys = [uuid4() for _ in range(20)]
    async with relays.running():
        await outbox.write(keys, rows_per_key=2)
        await _mirrored(relays, await outbox.ids())
        await relays.destination.recreate()
        await outbox.write(keys, rows_per_key=2)
        await _mirrored(relays, await outbox.ids())


async def test_a_sink_lost_under_the_relay_is_filled(relays: Relays, outbox: Outbox) -> None:
    """It notices, though nothing is sent, and goes on behind what it filled."""
    async with relays.running():
        await outbox.write_many(100)
        await _mirrored(relays, await outbox.ids())
        await relays.destination.empty()
        await _mirrored(relays, await outbox.ids())
        await outbox.write_many(100)
        await _mirrored(relays, await outbox.ids())


async def test_a_filling_that_is_cut_off_is_gone_on_with(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> None:
    """A relay that is killed while it fills a lost sink, again and again."""
    async with relays.running():
        await outbox.write_many(3000)
        await _mirrored(relays, await outbox.ids())
    await relays.destination.empty()
    for goal in (1, 500):
        async with relays.process(tmp_path / f"relay-{goal}.log") as process:

            async def has_some(wanted: int = goal) -> bool:
                return await relays.destination.count() >= wanted

            await eventually(has_some, PATIENCE_S)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await _slot_is_free(pool, relays.slot)
    async with relays.running():
        await _mirrored(relays, await outbox.ids())


async def test_what_a_new_slot_missed_is_read_from_the_table(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> None:
    """Dropped by hand between two relays, of which the second is killed before it has filled."""
    async with relays.running():
        await outbox.write_many(100)
        await _mirrored(relays, await outbox.ids())
    await pool.execute("SELECT pg_drop_replication_slot($1)", relays.slot)
    await outbox.write_many(2000)
    async with relays.process(tmp_path / "relay.log") as process:

        async def has_begun() -> bool:
            return await relays.destination.count() > 100

        await eventually(has_begun, PATIENCE_S)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await _slot_is_free(pool, relays.slot)
    async with relays.running():
        await _mirrored(relays, await outbox.ids())
    assert await pool.fetchval("SELECT bool_or(has_gap) FROM relay_sinks") is False


async def test_one_that_writes_for_long_holds_up_nobody_and_is_not_forgotten(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Its rows have positions far below those of others when it commits at last."""
    async with relays.running(), pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        slow = Outbox(connection)  # type: ignore[arg-type]  # it only executes
        await slow.write([uuid4()])
        ids = set(await outbox.write_many(100))
        await _mirrored(relays, ids)
        await transaction.commit()
        await _mirrored(relays, await outbox.ids())
    async with relays.running() as again:
        await _mirrored(relays, await outbox.ids())
        assert again.value("refilled_total") == 0


async def _slot_is_free(pool: asyncpg.Pool[asyncpg.Record], slot: str) -> None:
    async def is_free() -> bool:
        return not await pool.fetchval(
            "SELECT active FROM pg_replication_slots WHERE slot_name = $1", slot
        )

    await eventually(is_free, PATIENCE_S)


async def test_a_relay_of_another_slot_stands_by(relays: Relays, outbox: Outbox) -> None:
    """Else each would publish everything."""
    other = replace(relays, slot=f"{relays.slot}_other")
    async with relays.running() as first, other.running(is_standby=True) as second:
        await outbox.write_many(100)
        await _mirrored(relays, await outbox.ids())
        assert not second.is_active()
        first.stop.set()
        await eventually(second.is_active, PATIENCE_S)
        await outbox.write_many(100)
        await _mirrored(relays, await outbox.ids())


async def test_a_relay_that_slept_through_its_succession_writes_nothing(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> None:
    """As a machine that was moved: stopped with rows on their way, continued under a successor."""
    slept = tmp_path / "slept.log"
    async with relays.process(slept) as process:
        await eventually(lambda: is_ready(slept), PATIENCE_S)
        async with traffic(outbox, rows=40, rows_per_transaction=20, pause_s=0.01):

            async def flows() -> bool:
                return await relays.destination.count() >= 200

            await eventually(flows, PATIENCE_S)
            process.send_signal(signal.SIGSTOP)
        # It will find these in its socket when it wakes.
        await outbox.write_many(200)
        # The server would notice by itself, within a minute.
        await pool.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE slot_name = $1 AND active",
            relays.slot,
        )
        async with (
            relays.running(),
            traffic(outbox, rows=40, rows_per_transaction=20, pause_s=0.01),
        ):
            before = slept.read_text().count("standing by")
            process.send_signal(signal.SIGCONT)

            async def stands_by() -> bool:
                return slept.read_text().count("standing by") > before

            await eventually(stands_by, PATIENCE_S)
        # The one that slept goes on where its successor stopped.
        await _mirrored(relays, await outbox.ids())


async def test_what_was_sent_before_a_rest_is_covered_once_all_have_ended(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Nothing more is sent, and the checkpoint still catches up with one that wrote for long."""
    async with relays.running():
        await outbox.write_many(20)
        await _mirrored(relays, await outbox.ids())
        await _checkpointed(pool)
        async with pool.acquire() as slow, slow.transaction():
            await slow.execute("SELECT pg_current_xact_id()")
            await outbox.write_many(20)
            written_at = await pool.fetchval("SELECT clock_timestamp()")
            await _mirrored(relays, await outbox.ids())

            async def is_kept_without() -> bool:
                return bool(
                    await pool.fetchval(
                        "SELECT max(taken_at) > $1 FROM relay_checkpoints", written_at
                    )
                )

            await eventually(is_kept_without, PATIENCE_S)
        await _checkpointed(pool)


@asynccontextmanager
async def _administration(kafka: KafkaDestination) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def test_a_topic_emptied_on_purpose_stays_so(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """By retention or by hand: what was there is not sent again, at once or after a restart."""
    async with relays.running():
        await outbox.write_many(200)
        await _mirrored(relays, await outbox.ids())
        await _checkpointed(pool)
    await relays.destination.purge()
    async with relays.running() as relay:
        later = set(await outbox.write_many(20))
        await _mirrored(relays, later)
        assert relay.value("refilled_total") == 0


async def test_partitions_that_are_added_get_what_is_new(
    database: DatabaseAddress, kafka: KafkaDestination, outbox: Outbox
) -> None:
    """Keys move to them with their next message, and nothing is sent again."""
    relays = Relays(database, kafka)
    keys = [uuid4() for _ in range(40)]
    async with relays.running() as relay:
        await outbox.write(keys)
        await _mirrored(relays, await outbox.ids())
        async with _administration(kafka) as admin:
            await admin.create_partitions({EVENTS: NewPartitions(total_count=24)})
        await eventually(lambda: relay.value("restarts_total", reason="sink") >= 1, PATIENCE_S)
        await eventually(lambda: relay.relay.is_ready, PATIENCE_S)
        await outbox.write(keys)
        await eventually(lambda: relay.value("published_total", topic=EVENTS) == 80, PATIENCE_S)
        assert relay.value("refilled_total") == 0


async def test_a_topic_made_by_its_name_gets_its_partitions(
    database: DatabaseAddress, kafka: KafkaDestination, outbox: Outbox
) -> None:
    """As a broker makes one for a consumer that came before us, with a single partition."""
    (declared,) = (topic for topic in TOPICS if topic.name == EVENTS)
    async with _administration(kafka) as admin:
        await admin.create_topics([NewTopic(EVENTS, num_partitions=1, replication_factor=1)])
        async with Relays(database, kafka).running():
            await outbox.write([uuid4() for _ in range(40)])
            await _mirrored(Relays(database, kafka), await outbox.ids())
        (described,) = await admin.describe_topics([EVENTS])
    assert len(described["partitions"]) == declared.partitions


async def test_what_is_purged_between_two_looks_is_not_sent_again(
    relays: Relays,
    outbox: Outbox,
    pool: asyncpg.Pool[asyncpg.Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relay at rest has kept what it sent, though it dies before it looks at anything again."""
    monkeypatch.setattr("topics.relay.relay._LOOK_EVERY_SECONDS", 3600.0)
    async with relays.running() as relay:
        await _mirrored(relays, set(await outbox.write([uuid4()], rows_per_key=50)))

        async def is_kept() -> bool:
            return bool(await pool.fetchval("SELECT count(*) FROM relay_checkpoints"))

        await eventually(is_kept, PATIENCE_S)
        await relays.destination.purge()
        relay.abandon()
        await eventually(relay.task.done)
    async with relays.running():
        await _mirrored(relays, set(await outbox.write_many(20)))
