"""The relay as a process: told to stop it drains, killed it repeats and loses nothing."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.relays import is_ready
from tests.support.waiting import PATIENCE, eventually
from topics.contracts.envelope import OutboxRow
from topics.relay.pgoutput import Decoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from tests.support.topics.relays import Relays

SEED = 20240607

ROWS_PER_TRANSACTION_MAX = 40
# Some hundred rows a second, so that the slowest machine's relay follows.
PACE_SECONDS = 0.05
# A process starts, recovers and publishes; on a busy machine that takes its time.
PATIENCE_SECONDS = 30.0
_WAITING = """
SELECT data
FROM pg_logical_slot_peek_binary_changes(
    $1, NULL, NULL, 'proto_version', '1', 'publication_names', 'payments_outbox'
)
"""
_XLOG_HEADER = b"w" + bytes(24)


async def test_sigterm_drains_and_confirms(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> None:
    """What was read is acknowledged and confirmed before the process exits 0."""
    log = tmp_path / "relay.log"
    async with relays.process(log) as process:
        await eventually(lambda: is_ready(log), PATIENCE_SECONDS)
        async with _writing(outbox):
            await _eventually_has(relays, 200)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10 * PATIENCE) == 0
    published = {message.id for message in await relays.destination.messages()}

    async def nothing_is_skipped() -> bool:
        return published | await _waiting(pool, relays.slot) == await outbox.ids()

    # The writer does not wait for its WAL to be flushed, and the slot shows only what is.
    await eventually(nothing_is_skipped)
    # A transaction may have been read in part: it comes again as a whole.
    assert len(published & await _waiting(pool, relays.slot)) < ROWS_PER_TRANSACTION_MAX


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="3"), pytest.param(25, id="25", marks=pytest.mark.long)]
)
async def test_kill_9_loses_and_repeats_nothing(
    relays: Relays, outbox: Outbox, tmp_path: Path, kills: int
) -> None:
    """Killed at random points of traffic, relays leave each row once and in order."""
    chance = random.Random(SEED)
    async with _writing(outbox):
        for attempt in range(kills):
            log = tmp_path / f"relay-{attempt}.log"
            published = await relays.destination.count()
            async with relays.process(log) as process:
                # Some are killed while they recover, some in the middle of traffic.
                goal = published + chance.choice([1, 20, 200])
                await _eventually_has(relays, goal)
                process.send_signal(signal.SIGKILL)
                await process.wait()
    async with relays.running():
        await eventually(lambda: _has_all(relays, outbox), PATIENCE_SECONDS)
    assert_mirrors(await relays.destination.messages(), await outbox.ids())


@asynccontextmanager
async def _writing(outbox: Outbox) -> AsyncIterator[None]:
    """A writer that commits transactions of all sizes for as long as the block lasts."""
    stop = asyncio.Event()

    async def write() -> None:
        chance = random.Random(SEED)
        while not stop.is_set():
            size = chance.choice([2, 2, 10, ROWS_PER_TRANSACTION_MAX])
            await outbox.write_many(1, rows_per_transaction=size)
            await asyncio.sleep(PACE_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        try:
            yield
        finally:
            stop.set()


async def _waiting(pool: asyncpg.Pool[asyncpg.Record], slot: str) -> set[UUID]:
    """The events a reader of the slot would get next."""
    decoder = Decoder("outbox")
    changes = await pool.fetch(_WAITING, slot)
    events = [decoder.decode(_XLOG_HEADER + change["data"]) for change in changes]
    return {UUID(event.id.decode()) for event in events if isinstance(event, OutboxRow)}


async def _eventually_has(relays: Relays, count: int) -> None:
    async def has() -> bool:
        return await relays.destination.count() >= count

    await eventually(has, PATIENCE_SECONDS)


async def _has_all(relays: Relays, outbox: Outbox) -> bool:
    return await relays.destination.count() >= len(await outbox.ids())
