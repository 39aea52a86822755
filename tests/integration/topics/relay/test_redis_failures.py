"""What Redis can do to a relay: lose its data under an open connection, or have another writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually
from topics.contracts.channels import EVENTS
from topics.relay.sinks.redis_server import WRITER_KEY

if TYPE_CHECKING:
    from uuid import UUID

    import redis.asyncio

    from process.addresses import DatabaseAddress
    from tests.support.topics.destinations import RedisDestination


@pytest.fixture
def relays(database: DatabaseAddress, redis_streams: RedisDestination) -> Relays:
    return Relays(database, redis_streams)


async def _assert_mirrored(relays: Relays, ids: set[UUID]) -> None:
    async def has_all() -> bool:
        return await relays.destination.count() >= len(ids)

    await eventually(has_all)
    assert_mirrors(await relays.destination.messages(), ids)


@pytest.mark.parametrize("lost", ["everything", EVENTS])
async def test_lost_streams_are_filled_again(
    relays: Relays, outbox: Outbox, redis_client: redis.asyncio.Redis, lost: str
) -> None:
    """The next append finds that the data is gone; the relay starts over and refills."""
    async with relays.running():
        await outbox.write_many(100)
        await _assert_mirrored(relays, await outbox.ids())
        await (redis_client.flushall() if lost == "everything" else redis_client.delete(lost))
        await outbox.write_many(100)
        await _assert_mirrored(relays, await outbox.ids())


async def test_a_relay_that_was_replaced_appends_nothing(
    relays: Relays, outbox: Outbox, redis_client: redis.asyncio.Redis
) -> None:
    """Only the relay that connected last may write; the other notices and recovers first."""
    async with relays.running() as relay:
        await redis_client.set(WRITER_KEY, "another relay")
        await outbox.write_many(100)
        await _assert_mirrored(relays, await outbox.ids())
        assert relay.value("restarts_total", reason="sink") == 1


async def test_ids_increase_when_the_wal_begins_anew(
    relays: Relays, outbox: Outbox, redis_client: redis.asyncio.Redis
) -> None:
    """Streams ahead of the WAL, as after a restored Postgres, go on behind their last entry."""
    await redis_client.xadd(
        EVENTS, {"ce_id": "of an earlier history", "timestamp": "1"}, id=f"{1 << 55}-7"
    )
    async with relays.running():
        ids = await outbox.write([uuid4() for _ in range(10)])

        async def has_all() -> bool:
            return int(await redis_client.xlen(EVENTS)) == 1 + len(ids)

        await eventually(has_all)
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis_client.xrange(EVENTS))
    assert [entry_id for entry_id, _ in entries] == [
        b"%d-%d" % (1 << 55, 7 + number) for number in range(1 + len(ids))
    ]


async def test_an_entry_id_is_its_commit(
    relays: Relays, outbox: Outbox, redis_client: redis.asyncio.Redis
) -> None:
    """The first half is the commit's LSN, the second counts the rows of the transaction."""
    async with relays.running():
        await outbox.write([uuid4() for _ in range(3)])
        await _assert_mirrored(relays, await outbox.ids())
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis_client.xrange(EVENTS))
    high, low = entries[0][1][b"lsn"].split(b"/")
    lsn = (int(high, 16) << 32) + int(low, 16)
    assert [entry_id for entry_id, _ in entries] == [b"%d-%d" % (lsn, n) for n in range(3)]
