"""Downstream as strangers write it: a plain aiokafka consumer and a plain redis-py client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.acceptance.client import Json

_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """A message, whoever carried it."""

    key: str
    headers: Mapping[str, str]
    value: bytes

    @property
    def type(self) -> str:
        return self.headers["ce_type"]

    @property
    def data(self) -> Json:
        return json.loads(self.value)


@dataclass(frozen=True, slots=True)
class Topics:
    """Where the topics are."""

    kafka: str
    redis: str

    async def from_kafka(
        self, topic: str, key: str, enough: Callable[[list[Received]], bool]
    ) -> list[Received]:
        """The messages of a key from the topic's beginning, once they are enough."""
        found: list[Received] = []
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.kafka, auto_offset_reset="earliest", group_id=None
        )
        async with consumer:

            async def has_enough() -> bool:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found.extend(
                        Received(
                            (record.key or b"").decode(errors="replace"),
                            {name: value.decode() for name, value in record.headers},
                            record.value,
                        )
                        for record in records
                    )
                return enough([each for each in found if each.key == key])

            await eventually(has_enough, within=_WITHIN_S)
        return [each for each in found if each.key == key]

    async def from_redis(
        self, topic: str, key: str, enough: Callable[[list[Received]], bool]
    ) -> list[Received]:
        """The same from the mirrored stream."""
        found: list[Received] = []
        # A whole stream at once may take a busy machine longer than the client's default.
        patient = redis.asyncio.Redis.from_url(
            self.redis, decode_responses=True, socket_timeout=_WITHIN_S
        )
        async with patient as client:

            async def has_enough() -> bool:
                found.clear()
                for _, fields in await client.xrange(topic) or ():
                    headers = {str(name): str(text) for name, text in (fields or {}).items()}
                    own, value = headers.pop("key"), headers.pop("value")
                    found.append(Received(own, headers, value.encode()))
                return enough([each for each in found if each.key == key])

            await eventually(has_enough, within=_WITHIN_S)
        return [each for each in found if each.key == key]

    async def produce(self, topic: str, value: bytes, key: bytes = b"poison") -> None:
        """A message from somebody who is not the relay."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka) as producer:
            await producer.send_and_wait(topic, value, key)
