"""Makes sure that no other relay writes to Kafka, without a transaction around what we write.

A transactional id gives its holder a producer id, whose epoch goes up each time it is asked for.
An empty transaction over every partition leaves a marker of the new epoch in each: from then on a
partition refuses whatever has a lower one, in a transaction or not. So we take the id, mark every
partition, and write as an ordinary idempotent producer of that id: readers need not know of
transactions, and no message waits for one. A marker takes one offset that no consumer receives.
Sources: KIP-98 and KIP-360; `kafka_fence` in docs/decisions/0031 says what was tried.
"""

import asyncio
from collections.abc import Collection
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from process.addresses import KafkaAddress
from topics import kafka

_CLIENT_ID: Final = "payments-relay-fence"
_TRANSACTION_MS_MAX: Final = 10_000
_LOOK_AGAIN_SECONDS: Final = 0.005


class Producing(NamedTuple):
    """What a producer's batches carry, by which brokers tell the newest holder from all others."""

    id: int
    epoch: int


async def take_over(
    address: KafkaAddress, name: str, partitions: Collection[TopicPartition], *, timeout_ms: int
) -> Producing:
    """Become the only writer of these partitions. Raises aiokafka's `KafkaError`."""
    await _epoch_of(address, name, partitions, timeout_ms)
    # The markers are written behind our back; the next epoch is given out when they stand.
    return await _epoch_of(address, name, (), timeout_ms)


async def succeed(address: KafkaAddress, name: str, *, timeout_ms: int) -> Producing:
    """Become the writer after one that has nothing on its way any more; leaves no markers."""
    return await _epoch_of(address, name, (), timeout_ms)


async def _epoch_of(
    address: KafkaAddress, name: str, marked: Collection[TopicPartition], timeout_ms: int
) -> Producing:
    producer = kafka.producer(
        address,
        _CLIENT_ID,
        transactional_id=name,
        transaction_timeout_ms=_TRANSACTION_MS_MAX,
        request_timeout_ms=timeout_ms,
    )
    try:
        await _started(producer)
        if marked:
            await _mark(producer, marked)
        held = producer._txn_manager  # noqa: SLF001 - nothing public says it
        return Producing(held.producer_id, held.producer_epoch)
    finally:
        await producer.stop()


async def _started(producer: AIOKafkaProducer) -> None:
    try:
        await producer.start()
    except AssertionError as error:
        # How aiokafka says that a broker, not long up, knew of none when it was asked.
        raise KafkaConnectionError(str(error)) from error


async def _mark(producer: AIOKafkaProducer, marked: Collection[TopicPartition]) -> None:
    await producer.begin_transaction()
    held = producer._txn_manager  # noqa: SLF001 - partitions join by being written to, or so
    for partition in marked:
        held.maybe_add_partition_to_txn(partition)
    while held.partitions_to_add():  # noqa: ASYNC110 - it has nothing to wait for
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    await producer.commit_transaction()
