"""What a stage commits reaches as far as what is done, whatever offsets nobody was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer, TopicPartition

from agents.consumer import app as faust_app
from agents.consumer import leaving
from process.addresses import KafkaAddress
from tests.support.waiting import eventually
from topics.kafka import administration, create_missing
from topics.names import CHARGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faust.types import EventT

_GROUP = "tests.committing"
_TRANSACTIONS = 5
_PATIENCE_S = 30.0


async def test_one_commit_reaches_over_all_that_nobody_was_given(fresh_kafka: str) -> None:
    """Each transaction ends with a marker; a commit for each of them would never keep up."""
    address = KafkaAddress(fresh_kafka)
    await create_missing(address, (CHARGES,))
    taken: list[int] = []

    async def consume(events: AsyncIterator[EventT[bytes]]) -> None:
        async for event in events:
            event.ack()
            taken.append(event.message.offset)

    subscription = faust_app.Subscription("charge", _GROUP, CHARGES.name, address, None)
    app = faust_app.build(subscription, consume)
    # Only what the test asks for is committed.
    app.conf.broker_commit_interval = 3600.0
    async with AIOKafkaProducer(
        bootstrap_servers=fresh_kafka, transactional_id="tests"
    ) as producer:
        for number in range(_TRANSACTIONS):
            async with producer.transaction():
                await producer.send_and_wait(CHARGES.name, b"%d" % number, partition=0)
    await app.start()
    try:
        await eventually(lambda: len(taken) == _TRANSACTIONS, _PATIENCE_S)
        await leaving.commit(app)
        async with administration(address) as admin:
            committed = await admin.list_consumer_group_offsets(_GROUP)
    finally:
        await app.stop()
    assert taken == [0, 2, 4, 6, 8]
    assert committed[TopicPartition(CHARGES.name, 0)].offset == taken[-1] + 1
