"""The broker the acceptance suite runs on under `make test-kafka` is a whole Apache Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.fixtures.apache_kafka import apache_kafka

pytestmark = pytest.mark.kafka

_RECORDS = [(f"key-{number}".encode(), f"value-{number}".encode()) for number in range(100)]


async def _create_topic(address: str, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


async def _produce(address: str, topic: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True) as producer:
        for key, value in _RECORDS:
            await producer.send(topic, value, key)
        await producer.flush()


async def _consume(address: str, topic: str, group: str) -> list[tuple[bytes, bytes]]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=address, group_id=group, auto_offset_reset="earliest"
    )
    async with consumer:
        records = [await consumer.getone() for _ in _RECORDS]
        await consumer.commit()
    return [(record.key, record.value) for record in records]


async def test_a_group_reads_what_an_idempotent_producer_wrote(tmp_path: Path) -> None:
    """Records written across partitions reach a consumer group whole, each once."""
    async with apache_kafka(tmp_path) as address:
        await _create_topic(address, "figures", partitions=3)
        await _produce(address, "figures")
        assert sorted(await _consume(address, "figures", "readers")) == sorted(_RECORDS)


async def test_a_broker_started_again_has_its_address_and_its_records(tmp_path: Path) -> None:
    """A second start in the same folder is the same broker after a restart."""
    async with apache_kafka(tmp_path) as first:
        await _create_topic(first, "figures", partitions=1)
        await _produce(first, "figures")
    async with apache_kafka(tmp_path) as second:
        assert second == first
        assert await _consume(second, "figures", "late readers") == _RECORDS
