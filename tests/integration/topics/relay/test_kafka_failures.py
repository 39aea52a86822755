"""What only a broker can do to a relay: forget, stand still, refuse."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from local import program
from local.embedded import kafka
from local.program import free_port
from tests.support.topics.destinations import KafkaDestination
from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually
from topics.contracts.channels import EVENTS

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    import asyncpg

    from local.program import Program
    from process.addresses import DatabaseAddress

# A Java process, on two cores that others use too.
_READY_WITHIN_S: Final = 60.0


@dataclass
class Broker:
    """A broker that can be killed and started again."""

    program: Program
    process: Process
    destination: KafkaDestination

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> None:
        """In order: it is let in again at once, without waiting for a session to end."""
        self.process.terminate()
        await self.process.wait()

    async def start_again(self) -> None:
        self.process = await program.start(self.program)
        await program.until_ready(self.program, self.process, within_seconds=_READY_WITHIN_S)


@asynccontextmanager
async def _broker(directory: Path) -> AsyncIterator[Broker]:
    prepared = await kafka.prepare(
        await kafka.installed(os.environ),
        directory / "data",
        free_port(),
        log=directory / "log",
        options=kafka.SHORT_LIVED,
    )
    process = await program.start(prepared)
    broker = Broker(prepared, process, KafkaDestination(prepared.address))
    try:
        await program.until_ready(prepared, process, within_seconds=_READY_WITHIN_S)
        yield broker
    finally:
        await broker.kill()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with _broker(tmp_path) as started:
        yield started


@pytest.fixture
def relays(database: DatabaseAddress, broker: Broker) -> Relays:
    return Relays(database, broker.destination)


async def _published(relays: Relays, count: int) -> None:
    async def has_all() -> bool:
        return await relays.destination.count() >= count

    await eventually(has_all, 20)


async def test_a_broker_that_forgot_its_last_seconds_gets_them_again(
    relays: Relays, outbox: Outbox, broker: Broker, tmp_path: Path
) -> None:
    """What was acknowledged and lost is published again, in its place among each key's messages."""
    keys = [uuid4() for _ in range(10)]
    older = tmp_path / "older"
    async with relays.running():
        await outbox.write(keys, rows_per_key=5)
        await _published(relays, len(await outbox.ids()))
    await broker.stop()
    shutil.copytree(broker.program.directory, older)
    await broker.start_again()
    async with relays.running() as relay:
        await outbox.write(keys, rows_per_key=5)
        # It has acknowledged these, and its disk never got them.
        await _published(relays, len(await outbox.ids()))
        await broker.kill()
        shutil.rmtree(broker.program.directory)
        older.rename(broker.program.directory)
        await outbox.write(keys, rows_per_key=5)
        await broker.start_again()
        await _published(relays, len(await outbox.ids()))
        assert relay.value("restarts_total", reason="sink") >= 1
        assert_mirrors(await relays.destination.messages(), await outbox.ids())


async def test_a_broker_that_was_away_is_noticed_though_nothing_was_sent(
    relays: Relays, outbox: Outbox, broker: Broker
) -> None:
    """Back before the next message, it is read back first: it may have forgotten its end."""
    async with relays.running() as relay:
        await broker.kill()
        await broker.start_again()
        await eventually(lambda: relay.value("restarts_total", reason="sink") >= 1)
        await outbox.write([uuid4()])
        await _published(relays, 1)


async def test_a_broker_that_is_away_at_first_is_waited_for(
    relays: Relays, outbox: Outbox, broker: Broker
) -> None:
    """The relay tries again with pauses, says so, and publishes everything in the end."""
    await broker.stop()
    ids = set(await outbox.write([uuid4()]))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_first_published(relays, ids))
        await asyncio.sleep(0)
        await broker.start_again()
        await waiting


async def _first_published(relays: Relays, ids: set[UUID]) -> None:
    async with relays.running():
        await _published(relays, len(ids))


async def test_nothing_is_confirmed_before_it_is_acknowledged(
    relays: Relays, outbox: Outbox, broker: Broker, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """While the broker stands still, the slot stands still in front of what it was sent."""

    async def is_behind(position: str) -> bool:
        return bool(
            await pool.fetchval(
                "SELECT confirmed_flush_lsn < $1::text::pg_lsn FROM pg_replication_slots "
                "WHERE slot_name = $2",
                position,
                relays.slot,
            )
        )

    async def is_past(position: str) -> bool:
        return not await is_behind(position)

    async def has_reported(since: datetime) -> bool:
        """Whether the server has heard a position from the relay since then."""
        return bool(
            await pool.fetchval(
                "SELECT reply_time > $1 FROM pg_stat_replication"
                " INNER JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = $2",
                since,
                relays.slot,
            )
        )

    async with relays.running() as relay:
        await outbox.write([uuid4()])
        await _published(relays, 1)
        broker.process.send_signal(signal.SIGSTOP)
        ids = await outbox.write([uuid4()])
        position = await pool.fetchval("SELECT pg_current_wal_insert_lsn()::text")
        await eventually(lambda: relay.value("in_flight") == 1)
        now = await pool.fetchval("SELECT clock_timestamp()")
        await eventually(lambda: has_reported(now))
        assert await is_behind(position)
        broker.process.send_signal(signal.SIGCONT)
        await eventually(lambda: is_past(position))
        await _published(relays, 1 + len(ids))


async def test_a_message_too_large_holds_its_partition_and_no_other(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """It is counted at every refusal, never skipped, and other keys' messages go on."""
    async with relays.running() as relay:
        await pool.execute(
            "INSERT INTO outbox VALUES ($1, $2, $3, 'payment.created', $4::json, 'default', 1, "
            "NULL, NULL, now(), now())",
            uuid4(),
            EVENTS,
            str(uuid4()),
            '"' + "x" * 2_000_000 + '"',
        )
        await outbox.write([uuid4() for _ in range(40)])
        await eventually(lambda: relay.value("oversized_total") >= 1)
        await _published(relays, 30)
        assert relay.value("restarts_total", reason="sink") == 0
        # Told to stop, it would wait for the operator as long as it may.
        relay.abandon()
