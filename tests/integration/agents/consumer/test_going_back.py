"""What Faust has fetched and thrown away comes again, whatever was committed before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer

from agents.consumer import app as faust_app
from process.addresses import KafkaAddress
from tests.support.waiting import eventually
from topics.kafka import create_missing
from topics.names import CHARGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faust.types import EventT

_PATIENCE_S = 30.0


async def test_what_was_fetched_as_the_flow_stopped_is_taken_once_it_goes_on(
    fresh_kafka: str,
) -> None:
    """Of partitions of which nothing was ever committed, too."""
    address = KafkaAddress(fresh_kafka)
    await create_missing(address, (CHARGES,))
    taken: set[bytes | None] = set()

    async def consume(events: AsyncIterator[EventT[bytes]]) -> None:
        async for event in events:
            taken.add(event.message.value)

    subscription = faust_app.Subscription("charge", "tests.going-back", CHARGES.name, address, None)
    app = faust_app.build(subscription, consume)
    await app.start()
    try:
        consumer: Any = app.consumer
        fetch, thrown_away = consumer._getmany, asyncio.Event()  # noqa: SLF001 - where a rebalance meets it

        async def fetched(**asked: object) -> object:
            """As a rebalance stops it while this is on its way."""
            records = await fetch(**asked)
            if records and not thrown_away.is_set():
                consumer.stop_flow()
                thrown_away.set()
            return records

        consumer._getmany = fetched  # noqa: SLF001 - likewise
        async with AIOKafkaProducer(bootstrap_servers=fresh_kafka) as producer:
            await producer.send_and_wait(CHARGES.name, b"first", partition=0)
        await asyncio.wait_for(thrown_away.wait(), _PATIENCE_S)
        assert taken == set()
        consumer.resume_flow()
        await eventually(lambda: taken == {b"first"}, _PATIENCE_S)
    finally:
        await app.stop()
