"""Messages made by hand, for topics and streams without a relay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from redis.asyncio import Redis
    from redis.typing import EncodableT, FieldT


def envelope(message_id: UUID) -> dict[str, str]:
    """The headers that a reader needs."""
    return {
        "ce_id": str(message_id),
        "ce_type": "payment.created",
        "ce_specversion": "1.0",
        "ce_time": "2024-06-07T12:00:00Z",
        "ce_tenantid": "default",
    }


async def publish(
    bootstrap: str,
    topic: str,
    messages: Sequence[tuple[str, UUID]],
    partition: int | None = None,
    *,
    value: str = "{}",
    more: Mapping[str, str] | None = None,
) -> None:
    """A message of each key with each id, in this order; `more` are further headers."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for key, message_id in messages:
            headers = {**envelope(message_id), **(more or {})}
            await producer.send_and_wait(
                topic,
                value.encode(),
                key=key.encode(),
                headers=[(name, text.encode()) for name, text in headers.items()],
                partition=partition,
            )


async def append(
    client: Redis,
    stream: str,
    messages: Sequence[tuple[str, UUID]],
    *,
    value: str = "{}",
    more: Mapping[str, str] | None = None,
) -> None:
    """The same on a Redis stream."""
    for key, message_id in messages:
        fields: dict[FieldT, EncodableT] = {"key": key, "value": value}
        fields |= {**envelope(message_id), **(more or {})}.items()
        await client.xadd(stream, fields)
