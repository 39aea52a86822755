"""Relays that read the table, where Postgres decodes no WAL: they lose and repeat as little."""

from __future__ import annotations

import random
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from store.housekeeping import keep_house
from store.pool import long_reading
from tests.support.topics.outbox import Outbox, assert_mirrors, slowly, traffic
from tests.support.topics.relays import Relays, is_ready
from tests.support.waiting import eventually
from verify.relays import Relays as Reached

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    import asyncpg

    from process.addresses import DatabaseAddress
    from tests.support.topics.destinations import Destination

SEED = 20240607
PATIENCE_S = 30.0
WEEK_S = 604_800.0


@pytest.fixture
def relays(database: DatabaseAddress, destination: Destination) -> Relays:
    return Relays(database, destination, reads_table=True)


async def _mirrored(relays: Relays, ids: set[UUID]) -> None:
    async def has_all() -> bool:
        return {message.id for message in await relays.destination.messages()} >= ids

    await eventually(has_all, PATIENCE_S)
    assert_mirrors(await relays.destination.messages(), ids)


async def test_no_slot_is_made(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """What is there already, what comes, and what came meanwhile is published, in order."""
    await outbox.write_many(50)
    async with relays.running():
        await outbox.write_many(200)
        await _mirrored(relays, await outbox.ids())
    await outbox.write_many(50)
    async with relays.running() as again:
        await _mirrored(relays, await outbox.ids())
        assert again.value("refilled_total") == 0
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1"
    assert await pool.fetchval(slots, relays.slot) == 0


async def test_one_that_writes_for_long_is_waited_for(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Its positions are below those of others that are committed: they come when it has ended."""
    async with relays.running(), pool.acquire() as connection:
        async with slowly(connection) as slow:
            await slow.write([uuid4()])
            await outbox.write_many(100)
            await _has_read(pool)
        await _mirrored(relays, await outbox.ids())


async def test_one_that_writes_alone_is_waited_for(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """No transaction that began after it has ended: its number is the greatest there is."""
    async with relays.running(), pool.acquire() as connection:
        await outbox.write_many(100)
        await _mirrored(relays, await outbox.ids())
        async with slowly(connection) as slow:
            await slow.write([uuid4()])
            await _has_read(pool)
        await _mirrored(relays, await outbox.ids())


async def _has_read(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Until the relay has looked at the table once more, from beginning to end."""
    for _ in range(2):
        written_at = await pool.fetchval("SELECT clock_timestamp()")

        async def has_read_since(since: object = written_at) -> bool:
            asked = (
                "SELECT bool_or(query_start > $1) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE '%outbox.position >%'"
                " AND pid <> pg_backend_pid()"
            )
            return bool(await pool.fetchval(asked, since))

        await eventually(has_read_since)


async def test_kill_9_loses_and_repeats_nothing(
    relays: Relays, outbox: Outbox, tmp_path: Path
) -> None:
    """Killed at random points of traffic."""
    chance = random.Random(SEED)
    async with traffic(outbox, rows=20, rows_per_transaction=10, pause_s=0.05):
        for attempt in range(3):
            goal = await relays.destination.count() + chance.choice([1, 20, 200])

            async def has_some(wanted: int = goal) -> bool:
                return await relays.destination.count() >= wanted

            async with relays.process(tmp_path / f"relay-{attempt}.log") as process:
                await eventually(has_some, PATIENCE_S)
                process.send_signal(signal.SIGKILL)
                await process.wait()
    async with relays.running():
        await _mirrored(relays, await outbox.ids())


async def test_what_it_missed_for_longer_than_the_retention_is_kept_for_it(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """The day is not dropped before the sink has it, and then it is."""
    async with relays.running():
        await outbox.write_many(20)
        await _mirrored(relays, await outbox.ids())
    await outbox.write_many(50)
    ids, later = await outbox.ids(), datetime.now(UTC) + timedelta(days=9)
    refusals = [each.refusal for each in await keep_house(pool, later, WEEK_S) if each.refusal]
    assert ["not seen to be in" in each for each in refusals] == [True]
    assert await outbox.ids() == ids
    async with relays.running():
        await _mirrored(relays, ids)
    assert not [each.refusal for each in await keep_house(pool, later, WEEK_S) if each.refusal]
    assert await outbox.ids() == set()


async def test_from_the_wal_to_the_table_and_back(relays: Relays, outbox: Outbox) -> None:
    """The checkpoints of the one are the other's."""
    of_wal = replace(relays, reads_table=False)
    for each in (of_wal, relays, of_wal, relays):
        async with each.running():
            await outbox.write_many(60)
            await _mirrored(relays, await outbox.ids())
        await outbox.write_many(20)
    async with of_wal.running():
        await _mirrored(relays, await outbox.ids())


async def test_a_standby_takes_over_from_one_that_sleeps(
    relays: Relays, outbox: Outbox, tmp_path: Path
) -> None:
    """One reads; when it asks nothing for long the other does, and what wakes publishes nothing."""
    slept = tmp_path / "slept.log"
    async with relays.process(slept) as process:
        await eventually(lambda: is_ready(slept), PATIENCE_S)
        await outbox.write_many(100)
        async with relays.running(is_standby=True) as standby:
            await _mirrored(relays, await outbox.ids())
            process.send_signal(signal.SIGSTOP)
            await eventually(standby.is_active, 2 * PATIENCE_S)
            async with traffic(outbox, rows=20, rows_per_transaction=10, pause_s=0.05):
                process.send_signal(signal.SIGCONT)

                async def stands_by() -> bool:
                    return "standing by" in slept.read_text()

                await eventually(stands_by, PATIENCE_S)
            await _mirrored(relays, await outbox.ids())


async def test_verification_sees_how_far_they_are(
    relays: Relays, outbox: Outbox, database: DatabaseAddress
) -> None:
    """No slot says it: their checkpoints do, and what was written since is behind."""
    async with long_reading(database, application_name="verify") as connection:
        asked = Reached(connection, "table", [relays.destination.name])
        await outbox.write_many(20)
        (violation,) = (await asked.behind(await asked.written())).values()
        assert violation.problem == "has no checkpoint"

        async def has_all() -> bool:
            return not await asked.behind(await asked.written())

        async with relays.running():
            await eventually(has_all, PATIENCE_S)
        assert await has_all()
        await outbox.write_many(5)
        (violation,) = (await asked.behind(await asked.written())).values()
        assert violation.problem == "has 50 positions of the outbox to cover"
