"""Notices that a Kafka broker went away, even if it is back before anything is sent.

A client reconnects without a word and sends on. That is right for a broker that keeps what it
acknowledged, and wrong for one that forgot its last seconds: later messages would stand before
the lost ones. So the relay holds one connection of its own and asks on it all the time; when that
ends it reads back what the broker has before it sends anything more.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import ApiVersionRequest

from process.addresses import KafkaAddress
from topics.kafka_metadata import Leaders, TopicNow, leaders_now, topics_now
from topics.kafka_security import connection, hang_up
from topics.relay.failures import SinkFailure

# A proxy may hold our side open though the broker is gone, so we ask. Well below the producer's
# own pause before it sends again (`retry_backoff_ms`), which is what this must outrun.
_ASK_EVERY_SECONDS: Final = 0.25
_ANSWER_SECONDS_MAX: Final = 10.0
_CLIENT_ID: Final = "payments-relay-watch"


@contextlib.asynccontextmanager
async def watched(address: KafkaAddress) -> AsyncIterator["BrokerWatch"]:
    """A connection to the first broker of the list that answers. Raises `ConnectionError`."""
    opened = await connection(address, _CLIENT_ID)
    try:
        yield BrokerWatch(opened)
    finally:
        await hang_up(opened)


class BrokerWatch:
    """One connection; `run` raises `SinkFailure` when it ends."""

    def __init__(self, opened: AIOKafkaConnection) -> None:
        self._connection = opened

    async def topics_now(self, topics: Collection[str]) -> dict[str, TopicNow]:
        """Those of these topics that there are. Raises `KafkaError`, or `TimeoutError`."""
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            return await topics_now(self._connection, topics)

    async def leaders_now(self, topics: Collection[str]) -> Leaders:
        """Who leads their partitions. Raises `KafkaError`, or `TimeoutError`."""
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            return await leaders_now(self._connection, topics)

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS_MAX):
                    # The one request that every broker answers to everybody.
                    await self._connection.send(ApiVersionRequest())
            except (KafkaError, OSError) as error:
                raise SinkFailure(f"the broker went away: {error!r}") from error
            await asyncio.sleep(_ASK_EVERY_SECONDS)
