"""Others' clients of a broker, as tests need them: producers in transactions, members of groups."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Consumer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence


async def create_topic(bootstrap: str, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


@asynccontextmanager
async def transaction(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer in a transaction, which is committed at the end unless it was aborted."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=f"test-{uuid4().hex}"
    ) as producer:
        await producer.begin_transaction()
        yield producer
        if producer._txn_manager.is_in_transaction():  # noqa: SLF001 - it says so nowhere else
            await producer.commit_transaction()


@asynccontextmanager
async def member(bootstrap: str, topic: str, group: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A living consumer of the group, with the topic's partitions assigned."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    async with consumer:
        yield consumer


@contextmanager
def newer_member(bootstrap: str, topics: Sequence[str], group: str) -> Iterator[None]:
    """A living consumer of the newer group protocol (KIP-848) that commits all there is."""
    stopping = threading.Event()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(list(topics))

    def consume() -> None:
        while not stopping.is_set():
            record = consumer.poll(0.1)
            if record is not None and record.error() is None:
                consumer.commit(message=record, asynchronous=False)
        consumer.close()

    thread = threading.Thread(target=consume, name="newer-member")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


async def produce(bootstrap: str, topic: str, count: int, partition: int = 0) -> None:
    """Messages with the time of now, acknowledged by the broker."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        sent = [
            await producer.send(topic, str(i).encode(), partition=partition) for i in range(count)
        ]
        await asyncio.gather(*sent)
