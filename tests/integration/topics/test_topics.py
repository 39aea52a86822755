"""Topics are created as declared; those that exist are left alone and reported."""

from __future__ import annotations

from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from process.addresses import KafkaAddress
from tests.support.topics.raw_names import READABLE, append, batch_of
from tests.support.waiting import in_time
from topics.kafka import Mismatch, create_missing, reader
from topics.names import EVENTS, PUBLIC_TOPICS, TOPICS

# Against a reader that would never get past it.
_READ_WITHIN_S = 30.0


async def test_missing_topics_are_created_once(fresh_kafka: str) -> None:
    """The first call creates all of them, the second finds nothing to do."""
    first = await create_missing(KafkaAddress(fresh_kafka))
    assert set(first.created) == {topic.name for topic in TOPICS}
    second = await create_missing(KafkaAddress(fresh_kafka))
    assert (second.created, second.mismatches) == ((), ())


async def test_a_topic_keeps_messages_as_long_as_declared(fresh_kafka: str) -> None:
    """The retention is the topic's own setting, in milliseconds."""
    await create_missing(KafkaAddress(fresh_kafka))
    admin = AIOKafkaAdminClient(bootstrap_servers=fresh_kafka)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, EVENTS.name)
        ((described, *_),) = [
            answer.resources for answer in await admin.describe_configs([resource])
        ]
    finally:
        await admin.close()
    retention = {entry[0]: entry[1] for entry in described[-1]}["retention.ms"]
    assert int(retention) == 30 * 24 * 3600 * 1000


async def test_a_topic_of_another_size_is_left_alone_and_reported(fresh_kafka: str) -> None:
    """Somebody may have sized it on purpose; the order of keys depends on it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=fresh_kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(EVENTS.name, 3, 1)])
    finally:
        await admin.close()
    declared = (EVENTS, replace(EVENTS, name="payments.other"))
    report = await create_missing(KafkaAddress(fresh_kafka), declared)
    assert report.created == ("payments.other",)
    assert report.mismatches == (Mismatch(EVENTS.name, "partitions", declared=12, actual=3),)


async def test_a_header_whose_name_is_no_text_is_read_past(fresh_kafka: str) -> None:
    """By whatever reads: the broker takes it, and its message is one like any other."""
    await create_missing(KafkaAddress(fresh_kafka))
    for value in (b"first", b"second"):
        await append(fresh_kafka, EVENTS.name, batch_of(b"key", value, [{"ce_id": b"1"}]))
    reading = reader(KafkaAddress(fresh_kafka), "tests", EVENTS.name, auto_offset_reset="earliest")
    async with in_time(_READ_WITHIN_S), reading as opened:
        read = [await opened.getone() for _ in range(2)]
    assert [each.value for each in read] == [b"first", b"second"]
    assert {each.headers for each in read} == {(("ce_id", b"1"), (READABLE, b"odd"))}


def test_work_stays_inside() -> None:
    """Only facts are public; what stages are told to do is not mirrored."""
    assert [topic.name for topic in PUBLIC_TOPICS] == [
        "payments.events",
        "payments.accounts",
        "payments.dlq",
    ]
