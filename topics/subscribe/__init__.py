"""What a downstream consumer imports: iterate the messages of topics, from Kafka or from Redis.

    async with aclosing(subscribe_kafka("localhost:9092", ["payments.events"], group="mail")) as it:
        async for message in it:
            await handle(message)

Delivery is at least once: a message is done when the loop's body asks for the next one, and what
is done is committed (Kafka) or acknowledged (Redis) within a second, and when the iteration is
closed. So a body that raises or breaks sees its message again, in the next run of its group.
Messages the iteration has just given are not given twice. Without a group nothing is stored.

Order holds per key. On Kafka a partition has one member at a time, so that it holds for a group of
any number; a rebalance waits ten seconds for the body that is running, and what a body had not
ended by then its successor is given, too. Redis hands each entry to whoever asks: there it holds
for a group of one member, and between several there is none. What a living member works on is
renewed, however long it takes, and goes to nobody else; a body must let the event loop turn.

What is none of ours is reported and passed over, and so is what a topic lost before it was given.
"""

from topics.subscribe.kafka import subscribe_kafka
from topics.subscribe.redis import subscribe_redis
from topics.subscribe.reports import Foreign, Gap, Report
from topics.subscribe.selection import Start

__all__ = ["Foreign", "Gap", "Report", "Start", "subscribe_kafka", "subscribe_redis"]
