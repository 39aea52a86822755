"""What every sink promises, on a real Postgres, Kafka-protocol broker and Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.support.topics.destinations import Destination, RedisDestination
from tests.support.topics.outbox import TRACEPARENT, TRACESTATE, Outbox, assert_mirrors
from tests.support.waiting import eventually
from topics.contracts.channels import ACCOUNTS, DEAD_LETTERS, EVENTS

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from process.addresses import RedisAddress
    from tests.support.topics.relays import Relays, RunningRelay


@pytest.fixture
def redis_cluster_streams(cluster_address: RedisAddress) -> RedisDestination:
    return RedisDestination(cluster_address)


@pytest.fixture(params=["kafka", "redis_streams", "redis_cluster_streams"])
def destination(request: pytest.FixtureRequest) -> Destination:
    found: Destination = request.getfixturevalue(request.param)
    return found


async def _published(relays: Relays, count: int, topic: str = EVENTS) -> None:
    async def has_all() -> bool:
        return await relays.destination.count(topic) >= count

    await eventually(has_all)


async def _all_confirmed(pool: asyncpg.Pool[asyncpg.Record], relays: Relays) -> None:
    """Until the slot's confirmed position has reached the end of the WAL as it is now."""
    end = await pool.fetchval("SELECT pg_current_wal_lsn()::text")

    async def has_confirmed() -> bool:
        return bool(
            await pool.fetchval(
                "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots "
                "WHERE slot_name = $2",
                end,
                relays.slot,
            )
        )

    await eventually(has_confirmed)


async def _assert_mirrored(relays: Relays, ids: set[UUID], topic: str = EVENTS) -> None:
    await _published(relays, len(ids), topic)
    assert_mirrors(await relays.destination.messages(topic), ids)


async def test_a_message_is_its_outbox_row(relays: Relays, outbox: Outbox) -> None:
    """Key, value and every header come from the row; the trace context is untouched."""
    payment_id = uuid4()
    async with relays.running():
        (event_id,) = await outbox.write([payment_id])
        await _published(relays, 1)
    (message,) = await relays.destination.messages()
    assert (message.id, message.key, message.sequence) == (event_id, str(payment_id), 1)
    assert message.traceparent == TRACEPARENT
    assert message.tracestate == TRACESTATE
    assert message.headers["id"] == message.headers["ce_id"] == str(event_id).encode()
    assert message.headers["ce_specversion"] == b"1.0"
    assert message.headers["ce_source"] == b"/payments"
    assert message.headers["content-type"] == b"application/json"
    assert message.headers["ce_time"].endswith(b"Z")
    assert b"/" in message.headers["lsn"]
    assert "ce_causationid" not in message.headers


async def test_messages_of_a_key_keep_their_order(relays: Relays, outbox: Outbox) -> None:
    """However rows are grouped into transactions, each payment's come as they were committed."""
    keys = [uuid4() for _ in range(20)]
    async with relays.running():
        for round_ in range(20):
            await outbox.write(keys[round_ % 7 :], rows_per_key=1 + round_ % 3)
        await _assert_mirrored(relays, await outbox.ids())


async def test_a_backlog_is_published_at_start(relays: Relays, outbox: Outbox) -> None:
    """Rows written while no relay ran are published by the next one, each once."""
    async with relays.running():
        await outbox.write_many(100)
    await outbox.write_many(500)
    async with relays.running():
        await outbox.write_many(100)
        await _assert_mirrored(relays, await outbox.ids())


async def test_a_restart_repeats_nothing(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """After a clean stop the position is confirmed and the next relay publishes nothing."""
    async with relays.running():
        ids = set(await outbox.write_many(300))
        await _published(relays, len(ids))
    async with relays.running() as again:
        await _all_confirmed(pool, relays)
        assert again.value("refilled_total") == 0
        assert again.value("published_total", topic=EVENTS) == 0
    await _assert_mirrored(relays, ids)


async def test_rows_before_the_first_relay_are_published(relays: Relays, outbox: Outbox) -> None:
    """What was committed before the slot existed is read from the table."""
    ids = set(await outbox.write_many(100))
    async with relays.running() as relay:
        assert relay.value("refilled_total") == len(ids)
        await _assert_mirrored(relays, ids)


async def test_a_sink_that_came_back_empty_is_refilled(relays: Relays, outbox: Outbox) -> None:
    """A broker that lost everything gets it again from the outbox, once, in order."""
    async with relays.running():
        ids = set(await outbox.write_many(1000))
        await _published(relays, len(ids))
    await relays.destination.empty()
    async with relays.running() as relay:
        assert relay.value("refilled_total") == len(ids)
        ids |= set(await outbox.write_many(100))
        await _assert_mirrored(relays, ids)


async def test_every_topic_is_its_own(relays: Relays, outbox: Outbox) -> None:
    """A row appears on the topic it names and nowhere else."""
    written: dict[str, set[UUID]] = {}
    async with relays.running():
        for topic in (EVENTS, ACCOUNTS, DEAD_LETTERS):
            written[topic] = set(await outbox.write([uuid4() for _ in range(5)], topic=topic))
        for topic, ids in written.items():
            await _assert_mirrored(relays, ids, topic)


async def test_a_lost_connection_repeats_and_loses_nothing(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """When Postgres ends the stream, the relay reads on, and counts that it had to."""
    async with relays.running() as relay:
        for _ in range(3):
            await outbox.write_many(200)
            await _end_stream(pool, relays, relay)
        await _assert_mirrored(relays, await outbox.ids())
    assert relay.value("restarts_total", reason="source") >= 1


async def _end_stream(
    pool: asyncpg.Pool[asyncpg.Record], relays: Relays, relay: RunningRelay
) -> None:
    await pool.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
        "WHERE slot_name = $1 AND active",
        relays.slot,
    )
    await eventually(lambda: not relay.relay.is_ready)
    await eventually(lambda: relay.relay.is_ready)


async def test_a_standby_takes_over(relays: Relays, outbox: Outbox) -> None:
    """One relay reads the slot, the other waits, is ready, and goes on where the first stopped."""
    async with relays.running() as first, relays.running(is_standby=True) as second:
        ids = set(await outbox.write_many(200))
        await _published(relays, len(ids))
        assert first.is_active()
        assert not second.is_active()
        first.stop.set()
        await eventually(second.is_active)
        ids |= set(await outbox.write_many(200))
        await _assert_mirrored(relays, ids)
