"""What a downstream consumer imports: iterate the messages of topics, from Kafka or from Redis.

    async with aclosing(subscribe_kafka("localhost:9092", ["payments.events"], group="mail")) as it:
        async for message in it:
            await handle(message)

Delivery is at least once: a message is done when the loop's body asks for the next one, and what
is done is committed (Kafka) or acknowledged (Redis) within a second, and when the iteration is
closed. So a body that raises or breaks sees its message again, in the next run of its group.
Messages the iteration has just given are not given twice. Without a group nothing is stored.
"""

from topics.subscribe.kafka import subscribe_kafka
from topics.subscribe.redis import subscribe_redis
from topics.subscribe.selection import Start

__all__ = ["Start", "subscribe_kafka", "subscribe_redis"]
