"""Reads back what Kafka has: where each partition begins and ends, and which ids lie there."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from topics.relay.failures import SinkFailure

_RECORDS_PER_FETCH: Final = 5000
_FETCH_MS: Final = 1000
_STALLED_SECONDS: Final = 15.0

Offsets = Mapping[TopicPartition, int]


class KafkaTail:
    """Reads the ends of the partitions."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    async def begins(self) -> dict[TopicPartition, int]:
        """The offset of the first message of each partition."""
        return dict(await self._consumer.beginning_offsets(self._partitions))

    async def ends(self) -> dict[TopicPartition, int]:
        """The offset after the last message of each partition."""
        return dict(await self._consumer.end_offsets(self._partitions))

    async def ids(self, starts: Offsets, ends: Offsets) -> set[bytes]:
        """The ids of all messages between these offsets."""
        ids: set[bytes] = set()
        async for record in self._read(starts, ends):
            ids.update(value for name, value in record.headers if name == "ce_id")
        self._consumer.unsubscribe()
        return ids

    async def _read(self, starts: Offsets, ends: Offsets) -> AsyncIterator[ConsumerRecord]:
        """Every record from `starts` up to `ends`. Raises `SinkFailure` when they do not come."""
        unread = {at for at, start in starts.items() if start < ends[at]}
        if not unread:
            return
        self._consumer.assign(list(unread))
        for at in unread:
            self._consumer.seek(at, starts[at])
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _STALLED_SECONDS
        while unread:
            fetched = await self._consumer.getmany(
                *unread, timeout_ms=_FETCH_MS, max_records=_RECORDS_PER_FETCH
            )
            for record in itertools.chain.from_iterable(fetched.values()):
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
            finished = await self._finished(unread, ends)
            if fetched or finished:
                deadline = loop.time() + _STALLED_SECONDS
            if loop.time() > deadline:
                raise SinkFailure("the broker does not give back what it has")
            unread -= finished

    async def _finished(self, unread: set[TopicPartition], ends: Offsets) -> set[TopicPartition]:
        finished = {at for at in unread if await self._consumer.position(at) >= ends[at]}
        if finished:
            self._consumer.pause(*finished)
        return finished
