"""One Faust app a stage: its own consumer group, so it lags, scales and fails alone.

Everything Faust would do by itself that could lose an event is off: decoding (raw
bytes in), acknowledging (the stage does), concurrency (the stage's own), its web
server, its leader topic. What is left is a consumer group with rebalancing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import faust

from agents.consumer.transport import reading_committed
from topics.faust_credentials import credentials
from topics.kafka import faust_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from faust.types import EventT, StreamT

    from agents.consumer.transport import PassesOver
    from process.addresses import KafkaAddress

# A topic that was made anew, or was given partitions, is looked at again so soon; Kafka's clients
# wait for five minutes.
_METADATA_AGE_MS: Final = 5_000
# Faust makes folders for tables when it starts, in the current directory unless told where.
_NO_TABLES: Final = Path(tempfile.gettempdir(), "payments-faust")


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stage reads, and as which member of its consumer group, if it is a named one.

    It looks for messages every `gather_s` seconds at the most, and not at those that it
    `passes_over`.
    """

    stage: str
    group: str
    topic: str
    kafka: KafkaAddress
    member: str | None
    gather_s: float = 0.0
    passes_over: PassesOver | None = None


def build(
    subscription: Subscription, consume: Callable[[AsyncIterator[EventT[bytes]]], Awaitable[None]]
) -> faust.App:
    """An app with one agent that hands the topic's events to `consume`, none of them acked."""
    app = faust.App(
        subscription.group,
        **faust_options(subscription.kafka, subscription.member),
        broker_credentials=credentials(subscription.kafka),
        store="memory://",
        consumer_metadata_max_age_ms=_METADATA_AGE_MS,
        datadir=_NO_TABLES,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
        # What waits for a provider must hold up no rebalance and no stop: it comes again.
        stream_wait_empty=False,
    )
    app.transport = reading_committed(app, subscription.gather_s, subscription.passes_over)
    topic = app.topic(subscription.topic, key_serializer="raw", value_serializer="raw")

    async def agent(stream: StreamT[bytes]) -> None:
        # The interface lacks `noack`; only the class has it.
        await consume(cast("faust.Stream[bytes]", stream).noack().events())

    app.agent(topic, name=subscription.stage, concurrency=1)(agent)
    return app
