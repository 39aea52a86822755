"""Publishes to Kafka: idempotent, acknowledged by all replicas, one batch a partition at a time.

The next batch of a partition is built while the one before it is on its way, and sent only once
that was acknowledged: order is kept without trusting how a broker treats what follows a failed
batch, and batches grow with the load by themselves. Nothing is retried across a lost connection;
the session fails, and the next one reads back what the broker has.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import RecordMetadata

from process.addresses import KafkaAddress
from topics import kafka
from topics.contracts.envelope import headers_of, unix_ms
from topics.kafka import create_missing
from topics.names import TOPICS, Topic
from topics.relay.failures import SinkFailure
from topics.relay.pgoutput import lsn_text
from topics.relay.sinks.broker_watch import BrokerWatch, watched
from topics.relay.sinks.kafka_tail import KafkaTail
from topics.relay.sinks.partition import partition_of
from topics.relay.sinks.sink import Acknowledge, OutgoingMessage, PresentMessages, ResumePoint

log = structlog.get_logger()

_CLIENT_ID: Final = "payments-relay"
# A quarter of what a broker takes as one batch by default (message.max.bytes, 1 MiB).
_BATCH_BYTES_MAX: Final = 262_144
_REQUEST_TIMEOUT_MS: Final = 15_000
# Half of the server's patience with a replication connection (wal_sender_timeout, 60 s): when the
# slot of a relay that was cut off is given away, it has nothing left to send.
_UNACKED_SECONDS_MAX: Final = 30.0
# Longer than it takes to notice a lost connection: nothing is sent again behind our back.
_RETRY_BACKOFF_MS: Final = 1_000
_LOOK_EVERY_SECONDS: Final = 1.0
_OVERSIZED_RETRY_SECONDS: Final = 5.0


class KafkaSink:
    """The project's topics on one cluster; `oversized` hears of each message it refuses to take."""

    name = "kafka"

    def __init__(
        self,
        address: KafkaAddress,
        oversized: Callable[[], None],
        declared: tuple[Topic, ...] = TOPICS,
    ) -> None:
        self.topics = frozenset(topic.name for topic in declared)
        self._address = address
        self._oversized = oversized
        self._declared = declared

    @contextlib.asynccontextmanager
    async def open(
        self, acknowledge: Acknowledge, resume: ResumePoint
    ) -> AsyncIterator["KafkaSession"]:
        """Connect, create missing topics. Where the source stands does not matter to Kafka."""
        del resume
        async with contextlib.AsyncExitStack() as stack:
            try:
                watch = await stack.enter_async_context(watched(self._address))
                await self._create_topics()
                producer = await stack.enter_async_context(_producing(self._address))
                consumer = await stack.enter_async_context(
                    kafka.reader(
                        self._address,
                        _CLIENT_ID,
                        auto_offset_reset="none",
                        max_partition_fetch_bytes=_BATCH_BYTES_MAX * 4,
                        request_timeout_ms=_REQUEST_TIMEOUT_MS,
                    )
                )
                partitions = {
                    topic: len(await producer.partitions_for(topic)) for topic in self.topics
                }
            except (KafkaError, OSError) as error:
                raise SinkFailure(f"Kafka does not answer: {error}") from error
            yield KafkaSession(
                producer,
                KafkaTail(consumer, partitions),
                watch,
                partitions=partitions,
                acknowledge=acknowledge,
                oversized=self._oversized,
            )

    async def _create_topics(self) -> None:
        report = await create_missing(self._address, self._declared)
        if report.created:
            log.info("created topics", topics=report.created)
        for mismatch in report.mismatches:
            log.warning(
                "a topic has another number of partitions than declared",
                topic=mismatch.topic,
                declared=mismatch.declared,
                actual=mismatch.actual,
            )


class _PartitionQueue:
    """One partition: what waits, and the one batch on its way."""

    __slots__ = ("batch_rows_max", "in_flight", "last_offset", "sent_at", "to", "waiting")

    def __init__(self, to: TopicPartition) -> None:
        self.to = to
        self.waiting: deque[OutgoingMessage] = deque()
        self.in_flight: list[OutgoingMessage] = []
        self.sent_at = 0.0
        self.last_offset = -1
        self.batch_rows_max: int | None = None


class KafkaSession:
    """One producer's life; see `Session`."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        tail: KafkaTail,
        watch: BrokerWatch,
        *,
        partitions: Mapping[str, int],
        acknowledge: Acknowledge,
        oversized: Callable[[], None],
    ) -> None:
        self._producer = producer
        self._tail = tail
        self._watch = watch
        self._acknowledge = acknowledge
        self._oversized = oversized
        self._partitions = {topic.encode(): count for topic, count in partitions.items()}
        self._queues: dict[tuple[bytes, int], _PartitionQueue] = {}
        self._ready: deque[_PartitionQueue] = deque()
        self._wake = asyncio.Event()
        self._failure: SinkFailure | None = None

    async def newest_ms(self) -> Mapping[str, int | None]:
        with _as_sink_failure():
            return await self._tail.newest_ms()

    async def present(self, since_ms: Mapping[str, int]) -> PresentMessages:
        with _as_sink_failure():
            ids = await self._tail.present(since_ms)
        self._tail.rest()
        return PresentMessages(ids, since_ms)

    def publish(self, message: OutgoingMessage) -> None:
        row = message.row
        topic = row.aggregatetype
        number = partition_of(row.aggregateid, self._partitions[topic])
        queue = self._queues.get((topic, number))
        if queue is None:
            to = TopicPartition(topic.decode(), number)
            queue = self._queues[topic, number] = _PartitionQueue(to)
        if not queue.waiting and not queue.in_flight:
            self._ready.append(queue)
        queue.waiting.append(message)

    def flush(self) -> None:
        if self._ready:
            self._wake.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            tasks.create_task(self._look_for_stalls())
            tasks.create_task(self._send_ready())

    async def check(self) -> None:
        """The end of each partition must not lie before what was acknowledged."""
        with _as_sink_failure():
            ends = await self._tail.ends()
        for queue in self._queues.values():
            if ends[queue.to] <= queue.last_offset:
                raise SinkFailure(f"{queue.to} lost what it had acknowledged")

    async def _send_ready(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            while self._ready:
                queue = self._ready.popleft()
                with _as_sink_failure():
                    await self._send(queue)

    async def _send(self, queue: _PartitionQueue) -> None:
        batch = self._producer.create_batch()
        waiting = queue.waiting
        messages = queue.in_flight
        while waiting and len(messages) != queue.batch_rows_max:
            row = waiting[0].row
            commit_lsn = waiting[0].transaction.commit_lsn
            lsn = None if commit_lsn is None else lsn_text(commit_lsn).encode()
            fits = batch.append(
                timestamp=unix_ms(row.recorded_at),
                key=row.aggregateid,
                value=row.payload,
                headers=headers_of(row, lsn),
            )
            if fits is None:
                break
            messages.append(waiting.popleft())
        queue.sent_at = asyncio.get_running_loop().time()
        delivery = await self._producer.send_batch(
            batch, queue.to.topic, partition=queue.to.partition
        )
        delivery.add_done_callback(partial(self._delivered, queue))

    def _delivered(
        self, queue: _PartitionQueue, delivery: "asyncio.Future[RecordMetadata]"
    ) -> None:
        if delivery.cancelled():
            return
        messages, queue.in_flight = queue.in_flight, []
        match delivery.exception():
            case None:
                self._acked(queue, messages, delivery.result().offset)
            case MessageSizeTooLargeError() | RecordListTooLargeError():
                self._refused(queue, messages)
            case error:
                self._fail(SinkFailure(f"{queue.to} did not take a batch: {error!r}"))

    def _acked(self, queue: _PartitionQueue, messages: list[OutgoingMessage], offset: int) -> None:
        # A broker that recognises a batch it already had answers -1.
        if 0 <= offset <= queue.last_offset:
            self._fail(SinkFailure(f"{queue.to} lost what it had acknowledged"))
            return
        queue.last_offset = max(queue.last_offset, offset + len(messages) - 1)
        queue.batch_rows_max = None
        self._acknowledge(messages)
        self._requeue(queue)

    def _refused(self, queue: _PartitionQueue, messages: list[OutgoingMessage]) -> None:
        """Find the message that is too large, say so, and try until the broker's limit is raised.

        Messages of its partition wait behind it; skipping it would lose it.
        """
        queue.waiting.extendleft(reversed(messages))
        if len(messages) > 1:
            queue.batch_rows_max = 1
            self._requeue(queue)
            return
        self._oversized()
        log.error(
            "the broker refuses a message as too large; raise its max.message.bytes",
            id=messages[0].row.id.decode(),
            topic=queue.to.topic,
            bytes=len(messages[0].row.payload),
        )
        loop = asyncio.get_running_loop()
        loop.call_later(_OVERSIZED_RETRY_SECONDS, self._requeue, queue)

    def _requeue(self, queue: _PartitionQueue) -> None:
        if queue.waiting:
            self._ready.append(queue)
            self._wake.set()

    def _fail(self, failure: SinkFailure) -> None:
        self._failure = self._failure or failure
        self._wake.set()

    async def _look_for_stalls(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            latest = loop.time() - _UNACKED_SECONDS_MAX
            for queue in self._queues.values():
                if queue.in_flight and queue.sent_at < latest:
                    raise SinkFailure(f"{queue.to} acknowledged nothing for too long")


@contextlib.asynccontextmanager
async def _producing(address: KafkaAddress) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that is flushed when all went well and abandoned when it did not."""
    producer = kafka.producer(
        address,
        _CLIENT_ID,
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_batch_size=_BATCH_BYTES_MAX,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        retry_backoff_ms=_RETRY_BACKOFF_MS,
    )
    try:
        await producer.start()
        yield producer
    except BaseException:
        await _abandon(producer)
        raise
    else:
        await producer.stop()


async def _abandon(producer: AIOKafkaProducer) -> None:
    """End the producer without sending anything more: what it holds will be read back and resent.

    `stop` would go on trying to send, out of order once others have published, and an idempotent
    producer tries for ever. There is no public way to make it stop trying. A request on its way
    comes to its end first, which takes a live client: so the client is closed last.
    """
    sender = producer._sender.sender_task  # noqa: SLF001  # see the docstring
    if sender is not None:
        sender.cancel()
        await asyncio.wait((sender,))
    producer._message_accumulator.fail_all(KafkaError("abandoned"))  # noqa: SLF001  # as above
    await producer.stop()


@contextlib.contextmanager
def _as_sink_failure() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise SinkFailure(f"Kafka does not answer: {error!r}") from error
