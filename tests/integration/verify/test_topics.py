"""The readers give back every message of a real broker and a real server, up to their ends."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from local.program import free_port
from process.addresses import KafkaAddress, RedisAddress
from store.pool import long_reading
from tests.support.topics.destinations import KafkaDestination
from tests.support.verify.tape import outbox_rows
from tests.support.verify.world import live
from topics.contracts.envelope import headers_of
from topics.kafka import administration, create_missing
from topics.names import EVENTS
from topics.relay.sinks.partition import partition_of
from verify.database import read_baseline
from verify.messages import compare
from verify.topics import Coverage, Published, kafka, redis_streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg
    import redis.asyncio

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from topics.contracts.envelope import OutboxRow
    from verify.topics import Log


@pytest.fixture
async def rows(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> Sequence[OutboxRow]:
    """The events of a small world."""
    await live(committer)
    return [each for each in await outbox_rows(pool) if each.aggregatetype == EVENTS.name.encode()]


async def test_kafka_is_read_to_its_end(rows: Sequence[OutboxRow], fresh_kafka: str) -> None:
    """Every message, in order per key, with its bytes; then the reading ends."""
    await create_missing(KafkaAddress(fresh_kafka))
    async with AIOKafkaProducer(bootstrap_servers=fresh_kafka) as producer:
        for row in rows:
            await _send(producer, row)
        await producer.send_and_wait(EVENTS.name, b"poison")
    async with kafka(KafkaAddress(fresh_kafka)) as log:
        read = await _read(log)
    assert _by_key(each for each in read if each.message) == _keys(rows)
    (poison,) = [each for each in read if each.message is None]
    assert (poison.value, "payments.events/" in poison.place) == (b"poison", True)
    assert "without a key" in poison.error


async def test_what_a_topic_has_forgotten_to_the_last_is_not_missing(
    rows: Sequence[OutboxRow], database: DatabaseAddress, fresh_kafka: str
) -> None:
    """As it does with its last segment, too, once all in that is as old as it keeps anything."""
    await create_missing(KafkaAddress(fresh_kafka))
    async with AIOKafkaProducer(bootstrap_servers=fresh_kafka) as producer:
        for row in rows:
            await _send(producer, row)
    assert await KafkaDestination(fresh_kafka).purge(EVENTS.name)
    async with (
        long_reading(database, application_name="payments-verify") as connection,
        kafka(KafkaAddress(fresh_kafka)) as log,
    ):
        baseline = await read_baseline(connection, outbox_retention_s=86_400)
        comparison, coverage = await compare(log, [EVENTS.name], baseline)
        results = await comparison.results(connection, coverage, behind=None)
    assert [each for each in results if each.violations] == []


@pytest.mark.parametrize("first", ["poison", "a marker"])
async def test_what_tells_no_time_does_not_say_since_when_a_topic_has_everything(
    rows: Sequence[OutboxRow], fresh_kafka: str, first: str
) -> None:
    """Where that is what was left first: the next message of its partition does."""
    address, row, now = KafkaAddress(fresh_kafka), rows[0], datetime.now(UTC)
    key, hour = row.aggregateid.decode(), timedelta(hours=1)
    await create_missing(address)
    async with (
        AIOKafkaProducer(bootstrap_servers=fresh_kafka) as producer,
        AIOKafkaProducer(bootstrap_servers=fresh_kafka, transactional_id=key) as transactional,
        kafka(address) as log,
    ):
        if first == "poison":
            await _send(producer, row)
            await producer.send_and_wait(EVENTS.name, b"poison", row.aggregateid)
        else:
            # The end of a transaction has a place, too.
            async with transactional.transaction():
                await _send(transactional, row)
        at = partition_of(row.aggregateid, EVENTS.partitions)
        gone = {TopicPartition(EVENTS.name, at): RecordsToDelete(before_offset=1)}
        async with administration(address) as admin:
            await admin.delete_records(gone)
        emptied, told = Coverage(), Coverage()
        await _read(log, emptied)
        await _send(producer, row)
        await _read(log, told)
    assert emptied.may_lack(key, now + hour)
    assert not emptied.may_lack(_key_elsewhere(at), now + hour)
    assert told.may_lack(key, now - hour)
    assert not told.may_lack(key, now + hour)


def _key_elsewhere(at: int) -> str:
    """One that belongs to another partition."""
    keys = map(str, range(1_000))
    return next(key for key in keys if partition_of(key.encode(), EVENTS.partitions) != at)


async def _send(producer: AIOKafkaProducer, row: OutboxRow) -> None:
    await producer.send_and_wait(
        EVENTS.name, row.payload, row.aggregateid, headers=headers_of(row, None)
    )


async def test_a_stream_is_read_to_its_end(
    rows: Sequence[OutboxRow], redis_client: redis.asyncio.Redis, redis_address: RedisAddress
) -> None:
    """Every entry, in order per key, with its bytes; what was trimmed is said."""
    for number, row in enumerate(rows, start=1):
        fields = [*headers_of(row, None), ("key", row.aggregateid), ("value", row.payload)]
        await redis_client.xadd(EVENTS.name, dict(fields), id=f"{number}-1")
    coverage = Coverage()
    async with redis_streams(redis_address) as log:
        assert _by_key(await _read(log, coverage)) == _keys(rows)
        assert coverage == Coverage()
        await redis_client.xtrim(EVENTS.name, maxlen=5, approximate=False)
        read = await _read(log, coverage)
        assert len(read) == 5
        assert read[0].message is not None
        assert coverage.complete_since > read[0].message.occurred_at
        await redis_client.xtrim(EVENTS.name, maxlen=0, approximate=False)
        coverage = Coverage()
        assert await _read(log, coverage) == []
    assert coverage.may_lack(rows[-1].aggregateid.decode(), datetime.now(UTC))


async def test_a_topic_that_does_not_exist_is_empty(
    fresh_kafka: str, redis_address: RedisAddress
) -> None:
    """Before the first relay ran there is nothing to read."""
    async with kafka(KafkaAddress(fresh_kafka)) as log:
        assert await _read(log) == []
    async with redis_streams(redis_address) as log:
        assert await _read(log) == []


async def test_servers_that_are_away_say_so() -> None:
    """They raise what their drivers raise, and do not keep anybody waiting."""
    with pytest.raises(KafkaError):
        async with kafka(KafkaAddress(f"127.0.0.1:{free_port()}")):
            pass
    with pytest.raises(RedisError):
        async with redis_streams(RedisAddress("127.0.0.1", free_port())):
            pass


async def _read(log: Log, coverage: Coverage | None = None) -> list[Published]:
    return [each async for each in log.read(EVENTS.name, coverage or Coverage())]


def _by_key(read: Iterable[Published]) -> dict[str, list[tuple[str, bytes]]]:
    found = defaultdict(list)
    for each in read:
        assert each.message is not None, each.error
        found[each.message.key].append((str(each.message.id), each.value))
    return found


def _keys(rows: Sequence[OutboxRow]) -> dict[str, list[tuple[str, bytes]]]:
    found = defaultdict(list)
    for row in rows:
        found[row.aggregateid.decode()].append((row.id.decode(), row.payload))
    return found
