"""Messages of Kafka topics for a downstream consumer: a member of a group, or a reader of its own.

A group's offset moves past a message only once its body has come to its end.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError

from process.addresses import KafkaAddress
from topics import kafka
from topics.contracts.envelope import Message, from_kafka
from topics.subscribe.selection import (
    APPEARS_SECONDS,
    BATCH_MESSAGES_MAX,
    COMMIT_EVERY_SECONDS,
    WAIT_MS,
    Interval,
    Selection,
    Start,
)

# An id's time and its record's differ by less, even where clocks do.
_ID_TIME_MARGIN_MS: Final = 60_000
_UUID7_TIME_SHIFT: Final = 80


async def subscribe_kafka(
    bootstrap_servers: str | KafkaAddress,
    topics: Sequence[str],
    *,
    group: str | None = None,
    start: Start = "earliest",
    payment_id: UUID | None = None,
) -> AsyncGenerator[Message, None]:
    """Messages of Kafka topics, in order per key.

    `start` is where to begin: for a group, only where it has committed nothing yet. An id means
    the messages after it, and needs no group. `payment_id` gives that payment's messages only.
    Raises `EnvelopeError` for a message that is none of ours, and aiokafka's `KafkaError`.
    """
    selection = Selection(group, start, payment_id)
    address = bootstrap_servers
    if isinstance(address, str):
        address = KafkaAddress(address)
    consumer = kafka.consumer(
        address,
        "payments-subscribe",
        group_id=group,
        auto_offset_reset="latest" if start == "latest" else "earliest",
    )
    offsets = _GroupOffsets(consumer, group)
    try:
        async with kafka.telling_why(address):
            await consumer.start()
        await _choose(consumer, topics, start, offsets)
        async with contextlib.aclosing(_received(consumer, offsets)) as messages:
            async for message in messages:
                if selection.has(message):
                    yield message
    finally:
        await offsets.commit()
        await consumer.stop()


class _GroupOffsets(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """The offsets a group may commit: after the last message whose body came to its end."""

    def __init__(self, consumer: AIOKafkaConsumer, group: str | None) -> None:
        self._consumer = consumer
        self._group = group
        self._offsets: dict[TopicPartition, int] = {}
        self._until_commit = Interval(COMMIT_EVERY_SECONDS)

    def finished(self, at: TopicPartition, record: ConsumerRecord) -> None:
        self._offsets[at] = record.offset + 1

    async def commit_sometimes(self) -> None:
        if self._until_commit.is_over():
            await self.commit()

    async def commit(self) -> None:
        offsets, self._offsets = self._offsets, {}
        if self._group is None or not offsets:
            return
        # The group has moved on without us: somebody else gets these messages again.
        with contextlib.suppress(CommitFailedError):
            await self._consumer.commit(offsets)

    async def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        await self.commit()

    async def on_partitions_assigned(self, _assigned: Iterable[TopicPartition]) -> None:
        """Nothing to prepare."""


async def _choose(
    consumer: AIOKafkaConsumer, topics: Sequence[str], start: Start, offsets: _GroupOffsets
) -> None:
    """Join the group or take every partition, and go to where an id's messages may begin.

    Topics that do not exist yet are taken once they do.
    """
    consumer.subscribe(list(topics), listener=offsets)
    if not isinstance(start, UUID):
        return
    while not consumer.assignment():  # noqa: ASYNC110  # another process makes the topics
        await asyncio.sleep(APPEARS_SECONDS)
    partitions = list(consumer.assignment())
    since_ms = max(0, (start.int >> _UUID7_TIME_SHIFT) - _ID_TIME_MARGIN_MS)
    # The ends first: what is published meanwhile lies after them.
    ends = await consumer.end_offsets(partitions)
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    for at in partitions:
        consumer.seek(at, ends[at] if found[at] is None else found[at].offset)


async def _received(
    consumer: AIOKafkaConsumer, offsets: _GroupOffsets
) -> AsyncGenerator[Message, None]:
    """Message by message; asking for the next one finishes the one before."""
    while True:
        fetched = await consumer.getmany(timeout_ms=WAIT_MS, max_records=BATCH_MESSAGES_MAX)
        for at, records in fetched.items():
            for record in records:
                if at not in consumer.assignment():
                    break  # another member of the group has the rest
                yield from_kafka(record.topic, record.key, record.value, record.headers)
                offsets.finished(at, record)
                await offsets.commit_sometimes()
        await offsets.commit_sometimes()
