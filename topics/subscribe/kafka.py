"""Messages of Kafka topics for a downstream consumer: a member of a group, or a reader of its own.

A group's offset moves past a message only once its body has come to its end, and only while its
partition is this member's. Messages are taken one at a time from what was fetched, so that
nothing is given that a rebalance has made another member's.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from process.addresses import KafkaAddress
from topics import kafka
from topics.contracts.envelope import EnvelopeError, Message, from_kafka
from topics.subscribe.place_of_id import Places, go_behind
from topics.subscribe.reports import Foreign, Gap, Report, log_report
from topics.subscribe.selection import (
    APPEARS_SECONDS,
    COMMIT_EVERY_SECONDS,
    WAIT_MS,
    Interval,
    Selection,
    Start,
)

# Partitions that are added are looked for so often; Kafka's clients wait for five minutes.
_METADATA_AGE_MS: Final = 5_000
# A rebalance waits so long for the body that is running: then its message is another's, too. A
# group waits for five minutes, but as long nobody in it is given anything.
_HANDOVER_SECONDS_MAX: Final = 10.0
# At the end, for a broker that does not answer.
_LAST_COMMIT_SECONDS_MAX: Final = 5.0


async def subscribe_kafka(
    bootstrap_servers: str | KafkaAddress,
    topics: Sequence[str],
    *,
    group: str | None = None,
    start: Start = "earliest",
    payment_id: UUID | None = None,
    report: Report = log_report,
) -> AsyncGenerator[Message, None]:
    """Messages of Kafka topics, in order per key, whichever member of the group has the key.

    `start` is where to begin: for a group, only where it has committed nothing yet. An id means
    what stands behind that message on its partition; of other partitions, which have no order
    with it, what is newer than a minute before it, so that some may come again and none is missed.
    It needs no group. `payment_id` gives that payment's messages only. What is not ours is
    reported and passed over, as are messages that the topic lost before they could be given.
    Raises aiokafka's `KafkaError`.
    """
    selection = Selection(group, start, payment_id)
    address = bootstrap_servers
    if isinstance(address, str):
        address = KafkaAddress(address)
    consumer = kafka.consumer(
        address,
        "payments-subscribe",
        group_id=group,
        # Where to begin, and what to make of a gap, is decided here and not passed by in silence.
        auto_offset_reset="none",
        isolation_level="read_committed",
        metadata_max_age_ms=_METADATA_AGE_MS,
    )
    offsets = GroupOffsets(consumer, group)
    try:
        async with kafka.telling_why(address):
            await consumer.start()
        await _choose(consumer, topics, start, offsets, report)
        received = _Received(consumer, offsets, selection, report)
        async with contextlib.aclosing(received.messages(is_latest=start == "latest")) as messages:
            async for message in messages:
                yield message
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_COMMIT_SECONDS_MAX):
                await offsets.commit()
        await consumer.stop()


class GroupOffsets(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """The offsets a group may commit: after the last message whose body came to its end.

    An `era` ends when partitions are taken away: what was given in one and ends in another is no
    longer this member's to commit.
    """

    def __init__(self, consumer: AIOKafkaConsumer, group: str | None) -> None:
        self.era = 0
        self._consumer = consumer
        self._group = group
        self._offsets: dict[TopicPartition, int] = {}
        self._until_commit = Interval(COMMIT_EVERY_SECONDS)
        self._no_body_runs = asyncio.Event()
        self._no_body_runs.set()

    @contextlib.contextmanager
    def body(self, at: TopicPartition, record: ConsumerRecord) -> Iterator[None]:
        """Around a message's body: if it comes to its end, the message is done."""
        era = self.era
        self._no_body_runs.clear()
        try:
            yield
            if era == self.era:
                self._offsets[at] = record.offset + 1
        finally:
            self._no_body_runs.set()

    @property
    def is_of_group(self) -> bool:
        return self._group is not None

    def begins(self, at: TopicPartition, offset: int) -> None:
        """A reader without a group stands there before it was given anything."""
        if self._group is None:
            self._offsets[at] = offset

    def passed_over(self, at: TopicPartition, record: ConsumerRecord) -> None:
        self._offsets[at] = record.offset + 1

    async def commit_sometimes(self) -> None:
        if self._until_commit.is_over():
            await self.commit()

    @property
    def remembered(self) -> Mapping[TopicPartition, int]:
        """Where a reader without a group stands: nobody else knows."""
        return self._offsets if self._group is None else {}

    async def commit(self) -> None:
        if self._group is None or not self._offsets:
            return
        offsets, self._offsets = self._offsets, {}
        try:
            await self._consumer.commit(offsets)
        # The group has moved on without us: somebody else gets these messages again.
        except (CommitFailedError, IllegalStateError):
            self.era += 1

    async def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANDOVER_SECONDS_MAX):
                await self._no_body_runs.wait()
        await self.commit()
        self.era += 1

    async def on_partitions_assigned(self, _assigned: Iterable[TopicPartition]) -> None:
        """Nothing to prepare."""


class _Received:
    """What a consumer receives, message by message; asking for one finishes the one before."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        offsets: GroupOffsets,
        selection: Selection,
        report: Report,
    ) -> None:
        self._consumer = consumer
        self._offsets = offsets
        self._selection = selection
        self._report = report
        self._at_first: frozenset[TopicPartition] | None = None

    async def messages(self, *, is_latest: bool) -> AsyncGenerator[Message, None]:
        while True:
            for at, record in await self._next(is_latest=is_latest):
                message = self._read(record)
                if message is None or not self._selection.has(message):
                    self._offsets.passed_over(at, record)
                    continue
                with self._offsets.body(at, record):
                    yield message
            await self._offsets.commit_sometimes()

    async def _next(self, *, is_latest: bool) -> list[tuple[TopicPartition, ConsumerRecord]]:
        """One record, or none within a moment."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=1)
        except NoOffsetForPartitionError as error:
            await self._begin(error.args[0], is_latest=is_latest)
            return []
        except OffsetOutOfRangeError as error:
            for at, offset in error.args[0].items():
                await self._go_on_behind_gap(at, offset)
            return []
        return [(at, record) for at, records in fetched.items() for record in records]

    async def _begin(self, at: TopicPartition, *, is_latest: bool) -> None:
        """Where the group has committed nothing yet, or there is no group.

        Then whatever is added to the topic places all partitions anew: each goes on where it was,
        and one that was not there when the reader began has nothing that is too old for it.
        """
        if at not in self._consumer.assignment():
            return
        if self._at_first is None:
            self._at_first = self._consumer.assignment()
        if at in self._offsets.remembered:
            self._consumer.seek(at, self._offsets.remembered[at])
        elif is_latest and (self._offsets.is_of_group or at in self._at_first):
            await self._consumer.seek_to_end(at)
            self._offsets.begins(at, await self._consumer.position(at))
        else:
            await self._consumer.seek_to_beginning(at)

    async def _go_on_behind_gap(self, at: TopicPartition, offset: int) -> None:
        first = (await self._consumer.beginning_offsets([at]))[at]
        if at not in self._consumer.assignment():
            return
        # Behind its end it is another topic of that name, or one that lost its data.
        lost = first - offset if first > offset else None
        self._report(Gap(at.topic, f"{at.partition}/{first}", lost))
        self._consumer.seek(at, first)

    def _read(self, record: ConsumerRecord) -> Message | None:
        try:
            return from_kafka(record.topic, record.key, record.value, record.headers)
        except EnvelopeError as error:
            self._report(Foreign(record.topic, f"{record.partition}/{record.offset}", str(error)))
            return None


async def _choose(
    consumer: AIOKafkaConsumer,
    topics: Sequence[str],
    start: Start,
    offsets: GroupOffsets,
    report: Report,
) -> None:
    """Join the group or take every partition, and go to where an id's messages may begin.

    Topics that do not exist yet are taken once they do.
    """
    consumer.subscribe(list(topics), listener=offsets)
    if not isinstance(start, UUID):
        return
    while not consumer.assignment():  # noqa: ASYNC110  # another process makes the topics
        await asyncio.sleep(APPEARS_SECONDS)
    if not await go_behind(Places(consumer), start):
        report(Gap(topics[0], f"message {start}", None))
    for at in consumer.assignment():
        offsets.begins(at, await consumer.position(at))
