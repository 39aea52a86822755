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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from faust.types import EventT, StreamT

# A killed worker's partitions move on after this; Faust's default is a minute.
_SESSION_TIMEOUT_S: Final = 10.0
_COMMIT_INTERVAL_S: Final = 1.0
# Faust makes folders for tables when it starts, in the current directory unless told where.
_NO_TABLES: Final = Path(tempfile.gettempdir(), "payments-faust")


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stage reads, and as which member of its consumer group, if it is a named one.

    A member that comes back under the same `member` id gets its partitions back
    without a rebalance, and does not leave the group when it stops (static membership).
    """

    stage: str
    group: str
    topic: str
    bootstrap_servers: str
    member: str | None


def build(
    subscription: Subscription, consume: Callable[[AsyncIterator[EventT[bytes]]], Awaitable[None]]
) -> faust.App:
    """An app with one agent that hands the topic's events to `consume`, none of them acked."""
    app = faust.App(
        subscription.group,
        broker=f"kafka://{subscription.bootstrap_servers.replace(',', ';kafka://')}",
        store="memory://",
        datadir=_NO_TABLES,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
        # What waits for a provider must hold up no rebalance and no stop: it comes again.
        stream_wait_empty=False,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=subscription.member,
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_SESSION_TIMEOUT_S / 3,
        broker_commit_interval=_COMMIT_INTERVAL_S,
    )
    topic = app.topic(subscription.topic, key_serializer="raw", value_serializer="raw")

    async def agent(stream: StreamT[bytes]) -> None:
        # The interface lacks `noack`; only the class has it.
        await consume(cast("faust.Stream[bytes]", stream).noack().events())

    app.agent(topic, name=subscription.stage, concurrency=1)(agent)
    return app
