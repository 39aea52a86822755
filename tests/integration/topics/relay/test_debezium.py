"""A stock Debezium in the relay's place gives consumers the same topics, message by message."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.debezium import HEARTBEATS, PREFIX, SLOT, debezium
from process.addresses import KafkaAddress
from tests.support.fixtures.committer import committer
from tests.support.topics.relays import Relays
from tests.support.verify.world import live
from tests.support.waiting import eventually
from topics.contracts.envelope import Message, from_kafka
from topics.kafka import create_missing
from topics.names import TOPICS

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from tests.support.topics.destinations import KafkaDestination
    from topics.names import Topic

__all__ = ["committer"]

# A Java process on a busy machine.
_PATIENCE_S = 60.0
# What deploy/debezium/README.md says that is written otherwise, or by the relay alone; what the
# message says is compared all the same.
_DIFFER = {"ce_sequence", "ce_sequencetype", "ce_time", "lsn"}


@dataclass(frozen=True)
class _Placed:
    """A message, and the partition it came to."""

    partition: int
    message: Message

    @property
    def told(self) -> dict[str, object]:
        """Everything a consumer can see of it, but what is said to differ."""
        said = replace(self.message, topic=self.message.topic.removeprefix(PREFIX), headers={})
        kept = {name: value for name, value in self.message.headers.items() if name not in _DIFFER}
        return {"partition": self.partition, "message": said, "headers": kept}


async def _whole(bootstrap: str, topic: Topic, count: int) -> dict[str, list[dict[str, object]]]:
    """What each key's messages say, in order, as soon as the topic has so many."""

    async def is_whole() -> bool:
        return len(await _placed(bootstrap, topic)) == count

    await eventually(is_whole, _PATIENCE_S)
    found: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for each in await _placed(bootstrap, topic):
        found[each.message.key].append(each.told)
    return found


async def _placed(bootstrap: str, topic: Topic) -> list[_Placed]:
    """All messages of a topic, in the order of each partition."""
    found = []
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        places = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(at) < ends[at] for at in places]):
            for at, records in (await consumer.getmany(timeout_ms=1000)).items():
                found += [
                    _Placed(at.partition, from_kafka(at.topic, each.key, each.value, each.headers))
                    for each in records
                ]
    return found


async def _is_confirmed(pool: asyncpg.Pool[asyncpg.Record], lsn: str) -> bool:
    asked = """
        SELECT confirmed_flush_lsn > $2::text::pg_lsn FROM pg_replication_slots
        WHERE slot_name = $1
    """
    return bool(await pool.fetchval(asked, SLOT, lsn))


async def test_a_stock_debezium_gives_the_same_topics(
    database: DatabaseAddress,
    kafka: KafkaDestination,
    committer: GroupCommitter,
    pool: asyncpg.Pool[asyncpg.Record],
    tmp_path: Path,
) -> None:
    """Keys, partitions, values, headers and each key's order, with everything that can happen."""
    theirs = tuple(replace(topic, name=PREFIX + topic.name) for topic in TOPICS)
    beats = replace(TOPICS[0], name=HEARTBEATS, partitions=1)
    await create_missing(KafkaAddress(kafka.bootstrap), (*theirs, beats))
    async with (
        Relays(database, kafka).running(),
        debezium(database, kafka.bootstrap, pool, tmp_path),
    ):
        await live(committer)
        rows = await pool.fetch(
            "SELECT aggregatetype, count(*) AS rows FROM outbox GROUP BY aggregatetype"
        )
        expected = {row["aggregatetype"]: row["rows"] for row in rows}
        assert expected.keys() == {topic.name for topic in TOPICS}
        for topic in TOPICS:
            count = expected[topic.name]
            ours = await _whole(kafka.bootstrap, topic, count)
            debeziums = await _whole(
                kafka.bootstrap, replace(topic, name=PREFIX + topic.name), count
            )
            assert debeziums.keys() == ours.keys()
            for key, told in ours.items():
                assert debeziums[key] == told
        # An idle outbox keeps no WAL.
        written = await pool.fetchval("SELECT pg_current_wal_lsn()::text")
        await eventually(lambda: _is_confirmed(pool, written), _PATIENCE_S)
