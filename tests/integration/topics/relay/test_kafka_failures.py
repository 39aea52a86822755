"""What only a broker can do to a relay: forget, stand still, refuse."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from local import program
from local.embedded import kafka
from local.program import free_port
from tests.support.topics.destinations import KafkaDestination
from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually
from topics.contracts.channels import EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    import asyncpg

    from local.program import Program, Running
    from process.addresses import DatabaseAddress

# A Java process, on two cores that others use too.
_READY_WITHIN_S: Final = 60.0


@dataclass
class Broker:
    """A broker that can be killed and started again."""

    program: Program
    process: Running
    destination: KafkaDestination

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> None:
        """In order: it is let in again at once, without waiting for a session to end."""
        self.process.send_signal(signal.SIGTERM)
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


async def _write(
    pool: asyncpg.Pool[asyncpg.Record], key: UUID, *, size: int = 1, ahead: timedelta = timedelta()
) -> UUID:
    """A row with a payload of so many bytes, recorded by a clock that far ahead."""
    written: UUID = await pool.fetchval(
        "INSERT INTO outbox VALUES (gen_random_uuid(), $1, $2, 'payment.created',"
        " to_json($3::text), 'default', 1, NULL, NULL, now(), now() + $4) RETURNING id",
        EVENTS,
        str(key),
        "x" * size,
        ahead,
    )
    return written


async def _take_larger(destination: KafkaDestination) -> None:
    """From now on the broker takes what was too large for it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=destination.bootstrap)
    await admin.start()
    try:
        larger = {"max.message.bytes": "4000000"}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, EVENTS, configs=larger)]
        )
    finally:
        await admin.close()


async def _ask(pool: asyncpg.Pool[asyncpg.Record], command: str, message_id: UUID) -> None:
    await pool.execute(
        "INSERT INTO relay_commands (sink, command, message_id, actor, reason)"
        " VALUES ('kafka', $1, $2, 'tester', 'a test')",
        command,
        message_id,
    )


async def _of_key(relays: Relays, key: UUID) -> list[UUID]:
    found = await relays.destination.messages()
    return [message.id for message in found if message.key == str(key)]


async def _count(pool: asyncpg.Pool[asyncpg.Record]) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM relay_set_aside"))


@pytest.mark.parametrize("fault", ["too large", "from the future"])
async def test_what_the_broker_refuses_is_set_aside_and_holds_back_its_key_alone(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], fault: str
) -> None:
    """It stays aside over restarts, until a command skips it: the others follow in order."""
    key = uuid4()
    async with relays.running() as relay:
        if fault == "too large":
            refused = await _write(pool, key, size=2_000_000)
        else:
            refused = await _write(pool, key, ahead=timedelta(hours=30))
        behind = [await _write(pool, key) for _ in range(3)]
        others = await outbox.write([uuid4() for _ in range(40)])
        await _published(relays, len(others))

        async def all_are_aside() -> bool:
            return await _count(pool) == 4

        await eventually(all_are_aside, 20)
        assert relay.value("refused_total") == 1
        assert relay.value("restarts_total", reason="sink") == 0
    async with relays.running() as relay:
        reasons = "SELECT count(reason) FROM relay_set_aside WHERE id = $1"
        assert await pool.fetchval(reasons, refused) == 1
        behind.append(await _write(pool, key))
        await outbox.write([uuid4() for _ in range(5)])
        await _published(relays, len(others) + 5)
        assert await _of_key(relays, key) == []
        await _ask(pool, "skip", refused)

        async def have_followed() -> bool:
            return await _of_key(relays, key) == behind and await _count(pool) == 0

        await eventually(have_followed, 20)
        behind.append(await _write(pool, key))

        async def flows() -> bool:
            return await _of_key(relays, key) == behind

        await eventually(flows, 20)


async def test_what_was_set_aside_is_sent_when_the_broker_takes_it(
    relays: Relays, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Tried again too early it is refused again; with the topic's limit raised, all follow."""
    key = uuid4()
    assert isinstance(relays.destination, KafkaDestination)
    async with relays.running() as relay:
        sent = [await _write(pool, key, size=2_000_000), await _write(pool, key)]
        await eventually(lambda: relay.value("refused_total") == 1, 20)
        await _ask(pool, "retry", sent[0])
        await eventually(lambda: relay.value("refused_total") == 2, 20)
        await _take_larger(relays.destination)
        await _ask(pool, "retry", sent[0])

        async def has_both() -> bool:
            return await _of_key(relays, key) == sent

        await eventually(has_both, 20)


# Of each partition of a topic a mark, whose last place is behind what was acknowledged.
_KEPT = """
SELECT coalesce(sum((mark -> 3 ->> 0)::int), 0)
FROM relay_checkpoints, jsonb_each(marks -> $1) AS partition (number, mark)
WHERE kept_for = (SELECT max(kept_for) FROM relay_checkpoints)
"""


@pytest.mark.parametrize("end", ["killed", "stopped"])
async def test_what_was_sent_again_just_before_the_end_is_not_held_back(
    relays: Relays, pool: asyncpg.Pool[asyncpg.Record], end: str
) -> None:
    """Once a checkpoint says that it arrived, it is set aside no more, and its key goes on."""
    key = uuid4()
    assert isinstance(relays.destination, KafkaDestination)
    async with relays.running() as relay:
        sent = [await _write(pool, key, size=2_000_000), await _write(pool, key)]

        async def both_are_aside() -> bool:
            return await _count(pool) == 2

        await eventually(both_are_aside, 20)
        await _take_larger(relays.destination)
        await _ask(pool, "retry", sent[0])
        await eventually(lambda: relay.value("published_total", topic=EVENTS) == 2, 20)
        if end == "killed":

            async def is_kept() -> bool:
                return bool(await pool.fetchval(_KEPT, EVENTS) == 2)

            await eventually(is_kept, 20)
            relay.abandon()
            await eventually(relay.task.done)
    assert await _count(pool) == 0
    async with relays.running():
        sent.append(await _write(pool, key))
        await _published(relays, len(sent))
    assert await _of_key(relays, key) == sent


async def test_a_release_that_was_cut_off_is_gone_on_with(
    relays: Relays, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """What waited behind one that is gone is sent by the next relay, in order."""
    key = uuid4()
    async with relays.running():
        refused = await _write(pool, key, size=2_000_000)
        behind = [await _write(pool, key) for _ in range(3)]

        async def all_are_aside() -> bool:
            return await _count(pool) == 4

        await eventually(all_are_aside, 20)
    # As a relay does that is killed before it has sent the others.
    await pool.execute("DELETE FROM relay_set_aside WHERE id = $1", refused)
    async with relays.running():

        async def have_followed() -> bool:
            return await _of_key(relays, key) == behind and await _count(pool) == 0

        await eventually(have_followed, 20)


async def test_a_replay_of_what_is_refused_stops_nobody(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """It is set aside once more, the replay ends, and what is new goes on."""
    key = uuid4()
    async with relays.running() as relay:
        refused = await _write(pool, key, size=2_000_000)
        await eventually(lambda: relay.value("refused_total") == 1, 20)
        await _ask(pool, "skip", refused)
        await pool.execute(
            "INSERT INTO relay_commands (sink, command, key, actor, reason)"
            " VALUES ('kafka', 'replay', $1, 'tester', 'a test')",
            str(key),
        )

        async def is_done() -> bool:
            waiting = "SELECT count(*) FROM relay_commands WHERE done_at IS NULL"
            return bool(await pool.fetchval(waiting) == 0)

        await eventually(is_done, 20)
        assert relay.value("refused_total") == 2
        written = await outbox.write([uuid4() for _ in range(5)])
        await _published(relays, len(written))
