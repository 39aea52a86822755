"""The front of the embedded broker: consumers wait for data instead of asking for ever."""

import asyncio
import struct
import time
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from local.embedded.long_poll import read_frame

pytestmark = pytest.mark.skipif(
    "os.environ.get('PAYMENTS_TEST_KAFKA') == 'apache'", reason="Apache Kafka waits by itself"
)

_API_VERSIONS: Final = 18


async def create_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()


async def ask(bootstrap: str, api_key: int, version: int, body: bytes) -> bytes:
    host, port = bootstrap.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    frame = struct.pack(">hhih", api_key, version, 7, -1) + body
    writer.write(struct.pack(">i", len(frame)) + frame)
    answer = await read_frame(reader)
    writer.close()
    return answer


async def fetch(bootstrap: str, topic: str, max_wait_ms: int) -> bytes:
    name = struct.pack(">h", len(topic)) + topic.encode()
    head = struct.pack(">iiiib", -1, max_wait_ms, 1, 1_000_000, 0)
    one = struct.pack(">i", 1)
    partition = struct.pack(">iqi", 0, 0, 1_000_000)
    return await ask(bootstrap, 1, 4, head + one + name + one + partition)


async def test_a_fetch_of_nothing_is_held_as_long_as_the_client_allows(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    """So an idle consumer asks twice a second, not thousands of times."""
    topic = f"{topic_prefix}empty"
    await create_topic(kafka_bootstrap, topic)
    started = time.monotonic()
    await fetch(kafka_bootstrap, topic, 300)
    # Timers go by whole milliseconds, and may be early by one.
    assert time.monotonic() - started > 0.29


async def test_a_message_ends_the_wait_at_once(kafka_bootstrap: str, topic_prefix: str) -> None:
    """Long before the limit of ten seconds, and the message is in the answer."""
    topic = f"{topic_prefix}soon"
    await create_topic(kafka_bootstrap, topic)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        async with asyncio.timeout(5):
            waiting = asyncio.ensure_future(fetch(kafka_bootstrap, topic, 10_000))
            await producer.send_and_wait(topic, b"the message")
            assert b"the message" in await waiting


async def test_a_group_reads_what_a_producer_wrote(kafka_bootstrap: str, topic_prefix: str) -> None:
    """Metadata and coordinator lead clients to the front, so they never pass it by."""
    topic = f"{topic_prefix}group"
    await create_topic(kafka_bootstrap, topic)
    values = [str(number).encode() for number in range(500)]
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for value in values:
            await producer.send(topic, value)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka_bootstrap,
        group_id=f"{topic_prefix}readers",
        auto_offset_reset="earliest",
    )
    async with consumer, asyncio.timeout(10):
        assert [(await consumer.getone()).value for _ in values] == values
        known = {broker.port for broker in consumer._client.cluster.brokers()}  # noqa: SLF001 # no public way
        assert known == {int(kafka_bootstrap.split(":")[1])}


@pytest.mark.parametrize(("version", "stride", "start"), [(0, 6, 10), (2, 6, 10), (3, 7, 7)])
async def test_only_versions_the_front_reads_are_offered(
    kafka_bootstrap: str, version: int, stride: int, start: int
) -> None:
    """Fetch without sessions, Metadata and FindCoordinator without flexible fields."""
    client = b"\x00\x02a\x021\x00" if version == 3 else b""
    answer = await ask(kafka_bootstrap, _API_VERSIONS, version, client)
    offered = {}
    for place in range(start, start + 39 * stride, stride):
        api_key, _oldest, newest = struct.unpack_from(">hhh", answer, place)
        offered[api_key] = newest
    assert (offered[1], offered[3], offered[10]) == (4, 8, 2)
