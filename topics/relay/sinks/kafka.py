"""Publishes to Kafka: idempotent, acknowledged by all replicas, one batch a partition at a time.

The next batch of a partition is made once the one before it was acknowledged: order is kept without
trusting how a broker treats what follows a failed batch, and batches grow with the load by
themselves. Nothing is tried again; the session fails, and the next one reads back what the broker
has. Nobody else writes between: see `kafka_fence`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from itertools import chain
from typing import Final, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownError,
)

from process.addresses import KafkaAddress
from topics import kafka
from topics.contracts.envelope import OutboxRow, headers_of, unix_ms
from topics.kafka import create_missing
from topics.kafka_metadata import TopicNow
from topics.names import TOPICS, Topic
from topics.relay.failures import SinkFailure
from topics.relay.pgoutput import lsn_text
from topics.relay.positions import ADOPTED_ROWS, Extent, Partition, Place
from topics.relay.sinks import kafka_fence
from topics.relay.sinks.broker_watch import BrokerWatch, watched
from topics.relay.sinks.kafka_produce import Batch, Leader, Written, batch_builder, leaders
from topics.relay.sinks.kafka_tail import KafkaTail
from topics.relay.sinks.partition import partition_of
from topics.relay.sinks.sink import Answers, OutgoingMessage, Writer

log = structlog.get_logger()

_CLIENT_ID: Final = "payments-relay"
# A quarter of what a broker takes as one batch by default (message.max.bytes, 1 MiB).
_BATCH_BYTES_MAX: Final = 262_144
_REQUEST_TIMEOUT_MS: Final = 15_000
_OPEN_SECONDS_MAX: Final = 30.0
_UNACKED_SECONDS_MAX: Final = 30.0
# While one is on its way the next is made: two keep a broker and us busy. One has what is ready.
_REQUESTS_PER_LEADER: Final = 2
_BATCHES_PER_REQUEST: Final = 64
_LOOK_EVERY_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.05
# What is wrong with a message itself: no other is refused for it, and it will not pass as it is.
_REFUSED_FOR_CONTENT: Final = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
)
_UNANSWERED: Final = Written(-1, UnknownError("the broker did not say"))


class KafkaSink:
    """The project's topics on one cluster."""

    name = "kafka"
    keeps: int | None = None

    def __init__(self, address: KafkaAddress, declared: tuple[Topic, ...] = TOPICS) -> None:
        self.topics = frozenset(topic.name for topic in declared)
        self._address = address
        self._declared = declared

    @contextlib.asynccontextmanager
    async def open(self, answers: Answers, writer: Writer) -> AsyncIterator["KafkaSession"]:
        """Connect, create missing topics, become the only writer."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_OPEN_SECONDS_MAX):
                    session = await self._opened(stack, answers, writer)
            except (KafkaError, OSError) as error:  # a timeout is one
                raise SinkFailure(f"Kafka does not answer: {error!r}") from error
            yield session

    async def _opened(
        self, stack: contextlib.AsyncExitStack, answers: Answers, writer: Writer
    ) -> "KafkaSession":
        watch = await stack.enter_async_context(watched(self._address))
        await self._create_topics()
        consumer = await stack.enter_async_context(
            kafka.reader(
                self._address,
                _CLIENT_ID,
                auto_offset_reset="none",
                max_partition_fetch_bytes=_BATCH_BYTES_MAX * 4,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
            )
        )
        while self.topics - (topics := await watch.topics_now(self.topics)).keys():  # noqa: ASYNC110
            # Those that were just made are known a moment later.
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        partitions = [
            TopicPartition(name, number)
            for name, topic in sorted(topics.items())
            for number in range(topic.partitions)
        ]
        tail = KafkaTail(consumer, partitions)
        unused = {at for at, end in (await tail.ends()).items() if not end}
        await self._grow(topics, unused)
        producing = await self._take_over(writer, partitions)
        leading = await stack.enter_async_context(leaders(self._address, watch, topics, partitions))
        begins, ends = await tail.begins(), await tail.ends()
        # Our own marker is no message.
        begins |= {at: ends[at] for at in unused if ends[at] <= 1}
        extents = {
            Partition(*at): Extent(
                topics[at.topic].id,
                begin=Place(begins[at]),
                recent=Place(max(begins[at], end - ADOPTED_ROWS)),
                end=Place(end),
            )
            for at, end in ends.items()
        }
        return KafkaSession(
            _Clients(producing, leading, tail, watch),
            topics=topics,
            extents=extents,
            answers=answers,
        )

    async def _take_over(
        self, writer: Writer, partitions: list[TopicPartition]
    ) -> kafka_fence.Producing:
        if writer.was_drained:
            return await kafka_fence.succeed(
                self._address, writer.name, timeout_ms=_REQUEST_TIMEOUT_MS
            )
        return await kafka_fence.take_over(
            self._address, writer.name, partitions, timeout_ms=_REQUEST_TIMEOUT_MS
        )

    async def _create_topics(self) -> None:
        report = await create_missing(self._address, self._declared)
        if report.created:
            log.info("created topics", topics=report.created)
        for mismatch in report.mismatches:
            log.warning("a topic is not what is declared", **asdict(mismatch))

    async def _grow(
        self, topics: Mapping[str, TopicNow], unused: AbstractSet[TopicPartition]
    ) -> None:
        """A topic that somebody's consumer or broker made by naming it gets its partitions.

        While it has never had a message, no key moves by that. Raises `SinkFailure`, to begin
        again with what it is then.
        """
        small = [
            topic
            for topic in self._declared
            if (actual := topics[topic.name].partitions) < topic.partitions
            and all(TopicPartition(topic.name, number) in unused for number in range(actual))
        ]
        if small and await kafka.grow(self._address, small):
            raise SinkFailure(f"{', '.join(topic.name for topic in small)} had too few partitions")


class _PartitionQueue:
    """One partition: what waits, and the one batch on its way. `sent` counts what was taken."""

    __slots__ = (
        "batch_rows_max", "in_flight", "leader", "next_offset", "sent", "sent_at", "to", "waiting"
    )  # fmt: skip

    def __init__(self, to: TopicPartition, leader: Leader, next_offset: int) -> None:
        self.to = to
        self.leader = leader
        self.next_offset = next_offset
        self.waiting: deque[OutgoingMessage] = deque()
        self.in_flight: list[OutgoingMessage] = []
        self.sent = 0
        self.sent_at = 0.0
        self.batch_rows_max: int | None = None

    def batch(self, producing: kafka_fence.Producing) -> Batch:
        """The next of what waits, on its way from now on."""
        builder = batch_builder(producing, self.sent, _BATCH_BYTES_MAX)
        append, waiting, messages = builder.append, self.waiting, self.in_flight
        while waiting and len(messages) != self.batch_rows_max:
            row, transaction, _ = waiting[0]
            commit_lsn = transaction.commit_lsn
            lsn = None if commit_lsn is None else lsn_text(commit_lsn).encode()
            fits = append(
                len(messages),
                unix_ms(row.recorded_at),
                row.aggregateid,
                row.payload,
                headers_of(row, lsn),
            )
            if fits is None:
                break
            messages.append(waiting.popleft())
        self.sent_at = asyncio.get_running_loop().time()
        return Batch(self.to, builder.build())


class _Clients(NamedTuple):
    """What a session writes with, reads with, and notices with that the broker went away."""

    producing: kafka_fence.Producing
    leaders: Mapping[TopicPartition, Leader]
    tail: KafkaTail
    watch: BrokerWatch


class KafkaSession:
    """One producer's life; see `Session`."""

    def __init__(
        self,
        clients: _Clients,
        *,
        topics: Mapping[str, TopicNow],
        extents: Mapping[Partition, Extent],
        answers: Answers,
    ) -> None:
        self._producing, leaders, self._tail, self._watch = clients
        self.extents = extents
        self._answers = answers
        self._topics = topics
        # Of each topic, in the order of their numbers.
        self._queues = {
            name.encode(): [
                self._queue(TopicPartition(name, number), leaders)
                for number in range(topic.partitions)
            ]
            for name, topic in topics.items()
        }
        self._ready: dict[Leader, deque[_PartitionQueue]] = {
            leader: deque() for leader in leaders.values()
        }
        self._wakes = {leader: asyncio.Event() for leader in self._ready}

    def _queue(
        self, at: TopicPartition, leaders: Mapping[TopicPartition, Leader]
    ) -> _PartitionQueue:
        return _PartitionQueue(at, leaders[at], self.extents[Partition(*at)].end.first)

    async def present(self, read_from: Mapping[Partition, Place]) -> set[bytes]:
        starts = {
            TopicPartition(*at): max(place.first, self.extents[at].begin.first)
            for at, place in read_from.items()
        }
        ends = {TopicPartition(*at): extent.end.first for at, extent in self.extents.items()}
        with _as_sink_failure():
            return await self._tail.ids(starts, ends)

    def partition_of(self, row: OutboxRow) -> Partition:
        return Partition(*self._queue_of(row).to)

    def acknowledged(self) -> Mapping[Partition, Place]:
        return {Partition(*each.to): Place(each.next_offset) for each in self._all()}

    def publish(self, message: OutgoingMessage) -> None:
        queue = self._queue_of(message.row)
        if not queue.waiting and not queue.in_flight:
            self._ready[queue.leader].append(queue)
        queue.waiting.append(message)

    def _queue_of(self, row: OutboxRow) -> _PartitionQueue:
        queues = self._queues[row.aggregatetype]
        return queues[partition_of(row.aggregateid, len(queues))]

    def _all(self) -> Iterator[_PartitionQueue]:
        return chain.from_iterable(self._queues.values())

    def flush(self) -> None:
        for leader, ready in self._ready.items():
            if ready:
                self._wakes[leader].set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            tasks.create_task(self._look_for_stalls())
            for leader in self._ready:
                tasks.create_task(leader.watch.run())
                for _ in range(_REQUESTS_PER_LEADER):
                    tasks.create_task(self._send_ready(leader))

    async def check(self) -> None:
        """Each topic must be the one it was, and end where, or behind, it was acknowledged."""
        with _as_sink_failure():
            if await self._watch.topics_now(self._topics) != self._topics:
                raise SinkFailure("topics were deleted, made anew or given more partitions")
            # What was acknowledged before the ends are asked.
            acknowledged = [(each.to, each.next_offset) for each in self._all()]
            ends = await self._tail.ends()
        for at, offset in acknowledged:
            if ends[at] < offset:
                raise SinkFailure(f"{at} lost what it had acknowledged")

    async def _send_ready(self, leader: Leader) -> None:
        """Send what waits for a leader, a few batches a request, one request after the other."""
        ready, wake = self._ready[leader], self._wakes[leader]
        while True:
            while not ready:
                wake.clear()
                await wake.wait()
            sent = [ready.popleft() for _ in range(min(len(ready), _BATCHES_PER_REQUEST))]
            batches = [queue.batch(self._producing) for queue in sent]
            with _as_sink_failure():
                written = await leader.produce(batches)
            for queue in sent:
                self._written(queue, written.get(queue.to, _UNANSWERED))

    def _written(self, queue: _PartitionQueue, written: Written) -> None:
        messages, queue.in_flight = queue.in_flight, []
        match written.error:
            case None:
                self._acked(queue, messages, written.offset)
            case refusal if isinstance(refusal, _REFUSED_FOR_CONTENT):
                self._refused(queue, messages, refusal)
            case error:
                raise SinkFailure(f"{queue.to} did not take a batch: {error!r}")

    def _acked(self, queue: _PartitionQueue, messages: list[OutgoingMessage], offset: int) -> None:
        # A broker that recognises a batch it already had may answer -1.
        if 0 <= offset < queue.next_offset:
            raise SinkFailure(f"{queue.to} lost what it had acknowledged")
        queue.sent += len(messages)
        queue.next_offset = max(queue.next_offset, offset) + len(messages)
        self._answers.acknowledge(messages)
        self._requeue(queue)

    def _refused(
        self, queue: _PartitionQueue, messages: list[OutgoingMessage], refusal: BaseException
    ) -> None:
        """Find the message it is about, by halves; what came after it with its key stays behind."""
        if len(messages) > 1:
            queue.waiting.extendleft(reversed(messages))
            queue.batch_rows_max = len(messages) // 2
        else:
            (refused,) = messages
            key = refused.row.aggregateid
            behind = [message for message in queue.waiting if message.row.aggregateid == key]
            if behind:
                queue.waiting = deque(
                    message for message in queue.waiting if message.row.aggregateid != key
                )
            queue.batch_rows_max = None
            self._answers.refuse([refused, *behind], f"{queue.to.topic}: {refusal!r}")
        self._requeue(queue)

    def _requeue(self, queue: _PartitionQueue) -> None:
        if queue.waiting:
            self._ready[queue.leader].append(queue)
            self._wakes[queue.leader].set()

    async def _look_for_stalls(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            latest = loop.time() - _UNACKED_SECONDS_MAX
            for queue in self._all():
                if queue.in_flight and queue.sent_at < latest:
                    raise SinkFailure(f"{queue.to} acknowledged nothing for too long")


@contextlib.contextmanager
def _as_sink_failure() -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:  # a timeout is one
        raise SinkFailure(f"Kafka does not answer: {error!r}") from error
