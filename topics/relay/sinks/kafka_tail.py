"""Reads back what Kafka already has: the newest message of each topic, the ids of a window.

Records carry the time their row was recorded, so a window of the topic and a window of the table
are the same rows, whatever order they arrived in: the broker's time index gives the first offset
at or after a time, and nothing before it is newer.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from topics.relay.failures import SinkFailure

_RECORDS_PER_FETCH: Final = 5000
_FETCH_MS: Final = 1000
_STALLED_SECONDS: Final = 15.0
# A relay that was killed may have left requests the broker still works through.
_QUIET_SECONDS: Final = 0.2

Offsets = Mapping[TopicPartition, int]


class KafkaTail:
    """Reads the ends of the partitions; `partitions` is how many each topic has."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Mapping[str, int]) -> None:
        self._consumer = consumer
        self._topics = tuple(partitions)
        self._partitions = [
            TopicPartition(topic, number)
            for topic, count in partitions.items()
            for number in range(count)
        ]

    async def ends(self) -> dict[TopicPartition, int]:
        """The offset after the last message of each partition."""
        return dict(await self._consumer.end_offsets(self._partitions))

    async def newest_ms(self) -> dict[str, int | None]:
        """For each topic the greatest time among the last messages of its partitions."""
        ends = await self.ends()
        begins = await self._consumer.beginning_offsets(self._partitions)
        last = {at: end - 1 for at, end in ends.items() if end > begins[at]}
        newest: dict[str, int | None] = dict.fromkeys(self._topics)
        async for record in self._read(last, ends):
            newest[record.topic] = max(newest[record.topic] or 0, record.timestamp)
        return newest

    async def present(self, since_ms: Mapping[str, int]) -> set[bytes]:
        """The ids of all messages recorded since then, once no more arrive."""
        ids: set[bytes] = set()
        starts = await self._offsets_at(since_ms)
        while True:
            ends = await self.ends()
            async for record in self._read(starts, ends):
                ids.update(value for name, value in record.headers if name == "ce_id")
            starts |= ends
            await asyncio.sleep(_QUIET_SECONDS)
            if await self.ends() == ends:
                return ids

    def rest(self) -> None:
        """Fetch nothing more."""
        self._consumer.unsubscribe()

    async def _offsets_at(self, since_ms: Mapping[str, int]) -> dict[TopicPartition, int]:
        """The first offset of each partition with a message that new; its end if there is none."""
        ends = await self.ends()
        found = await self._consumer.offsets_for_times(
            {at: max(0, since_ms[at.topic]) for at in self._partitions}
        )
        return {at: ends[at] if found[at] is None else found[at].offset for at in ends}

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
            if fetched:
                deadline = loop.time() + _STALLED_SECONDS
            if loop.time() > deadline:
                raise SinkFailure("the broker does not give back what it has")
            unread -= await self._finished(unread, ends)

    async def _finished(self, unread: set[TopicPartition], ends: Offsets) -> set[TopicPartition]:
        finished = {at for at in unread if await self._consumer.position(at) >= ends[at]}
        if finished:
            self._consumer.pause(*finished)
        return finished
